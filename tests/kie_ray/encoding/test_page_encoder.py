from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from kie_ray.encoding import EncodedPage, LabelSet, PageEncoder, Window, train_tokenizer
from kie_ray.encoding.batching import batches_by_tokens, collate
from kie_ray.encoding.tokenizer import SubwordTokenizer
from kie_ray.errors import ConfigError
from kie_ray.records import Line, Page

LABELS = LabelSet.from_classes(["OTHER", "QUESTION", "ANSWER", "HEADER"])


@pytest.fixture(scope="module")
def tokenizer() -> SubwordTokenizer:
    return train_tokenizer(["name of the applicant", "申请人姓名", "answer 12"] * 5, 400)


def page_of(texts: list[str], labels: list[str] | None = None, width: int = 1000, height: int = 0) -> Page:
    lines = []
    for k, text in enumerate(texts):
        y = 10.0 + 20 * k
        label = labels[k] if labels else "OTHER"
        lines.append(Line(k, text, (10.0, y, 200.0, y, 200.0, y + 10, 10.0, y + 10), label=label))
    return Page(0, width, height or 40 + 20 * len(texts), lines, source="page.png")


def long_page(lines: int = 200) -> Page:
    cycle = ["HEADER", "QUESTION", "ANSWER", "OTHER"]
    return page_of([f"name of the applicant {k} 申请人" for k in range(lines)], [cycle[k % 4] for k in range(lines)])


def test_every_token_of_a_long_page_is_in_a_window(tokenizer: SubwordTokenizer) -> None:
    page = long_page()
    encoded = PageEncoder(tokenizer, LABELS, max_tokens=128, overlap_tokens=32).encode(page, gold=True)
    whole = PageEncoder(tokenizer, LABELS, max_tokens=100_000, overlap_tokens=0).encode(page, gold=True).windows
    assert len(encoded.windows) > 10
    assert len(whole) == 1
    seen = np.zeros(encoded.num_tokens, int)
    for window in encoded.windows:
        part = slice(window.start, window.start + len(window))
        seen[part] += 1
        assert len(window) <= 128
        for name in ("input_ids", "bbox", "line_index", "labels"):
            np.testing.assert_array_equal(getattr(window, name), getattr(whole[0], name)[part])
    assert seen.min() == 1
    assert encoded.uncovered_lines == []


def test_gold_labels_start_every_line_with_b(tokenizer: SubwordTokenizer) -> None:
    page = page_of(["name 1", "申请", "x", "of"], ["question", "ANSWER", "other", "HEADER"])
    (window,) = PageEncoder(tokenizer, LABELS).encode(page, gold=True).windows
    assert window.labels is not None
    assert window.labels.tolist() == [1, 2, 3, 4, 0, 5]
    assert window.line_index.tolist() == [0, 0, 1, 1, 2, 3]
    assert window.labels.dtype == window.line_index.dtype == window.bbox.dtype == window.input_ids.dtype == np.int64


def test_blank_lines_keep_their_index(tokenizer: SubwordTokenizer) -> None:
    page = page_of(["name", "  ", "", "申请"], ["QUESTION", "ANSWER", "ANSWER", "HEADER"])
    encoded = PageEncoder(tokenizer, LABELS).encode(page, gold=True)
    assert encoded.order == [0, 1, 2, 3]
    assert encoded.line_index.tolist() == [0, 3, 3]
    assert encoded.entity_positions(1) == []
    assert encoded.entity_positions(3) == [(0, 1)]


def test_a_page_without_text_has_no_window(tokenizer: SubwordTokenizer) -> None:
    encoder = PageEncoder(tokenizer, LABELS)
    for page in (page_of([]), page_of(["", " "]), Page(0, 0, 0)):
        encoded = encoder.encode(page, gold=True)
        assert encoded.windows == []


def test_boxes_are_truncated_and_clamped(tokenizer: SubwordTokenizer) -> None:
    inside = Line(0, "name", (123, 45, 678, 45, 678, 90, 123, 90))
    outside = Line(1, "name", (-50, 45, 5000, 45, 5000, 9000, -50, 9000))
    page = Page(0, 2480, 3508, [inside, outside])
    ours = PageEncoder(tokenizer, reading_order="none").encode(page).windows[0]
    assert ours.bbox.tolist() == [[49, 12, 273, 25], [0, 12, 1000, 1000]]
    paddle = PageEncoder(tokenizer, reading_order="none", clamp=False).encode(page).windows[0]
    assert paddle.bbox.tolist() == [[49, 12, 273, 25], [-20, 12, 2016, 2565]]


def test_entity_positions_point_at_the_first_token(tokenizer: SubwordTokenizer) -> None:
    page = long_page(60)
    encoder = PageEncoder(tokenizer, LABELS, max_tokens=64, overlap_tokens=24)
    encoded = encoder.encode(page)
    ids = encoder.tokenize([page])[0]
    several = 0
    for line in range(60):
        positions = encoded.entity_positions(line)
        assert positions
        several += len(positions) > 1
        for window, token in positions:
            found = encoded.windows[window]
            assert found.line_index[token] == line
            assert token == 0 or found.line_index[token - 1] != line
            assert found.input_ids[token] == ids[line][0]
    assert several


def test_first_window_mode_reports_what_it_leaves_out(tokenizer: SubwordTokenizer) -> None:
    page = long_page(50)
    encoded = PageEncoder(tokenizer, LABELS, max_tokens=100, first_window_only=True, overlap_tokens=0).encode(page)
    (window,) = encoded.windows
    assert len(window) == 100
    whole_lines = set(range(50)) - set(encoded.uncovered_lines)
    assert whole_lines == {k for k in range(50) if encoded.first_token.get(k + 1, 10**9) <= 100}


def test_unknown_label_and_unknown_size_name_the_page(tokenizer: SubwordTokenizer) -> None:
    encoder = PageEncoder(tokenizer, LABELS)
    with pytest.raises(ConfigError, match=r"page\.png.*'anwser'.*'ANSWER'"):
        encoder.encode(page_of(["x"], ["anwser"]), gold=True)
    page = page_of(["x"])
    page.width = 0
    with pytest.raises(ConfigError, match=r"page\.png is 0 x"):
        encoder.encode(page)
    with pytest.raises(ConfigError, match="LabelSet"):
        PageEncoder(tokenizer).encode(page_of(["x"]), gold=True)


def test_encode_pages_is_encode_of_each(tokenizer: SubwordTokenizer) -> None:
    encoder = PageEncoder(tokenizer, LABELS, max_tokens=64, overlap_tokens=8)
    pages = [long_page(3), page_of([]), long_page(30)]
    for number, (page, together) in enumerate(zip(pages, encoder.encode_pages(pages, gold=True), strict=True)):
        alone = encoder.encode(page, gold=True, page_number=number)
        assert len(together.windows) == len(alone.windows)
        for a, b in zip(together.windows, alone.windows, strict=True):
            assert (a.page, a.index, a.start) == (b.page, b.index, b.start) == (number, b.index, b.start)
            np.testing.assert_array_equal(a.input_ids, b.input_ids)
            np.testing.assert_array_equal(a.bbox, b.bbox)


def encoded_windows(tokenizer: SubwordTokenizer, gold: bool = True) -> list[Window]:
    encoder = PageEncoder(tokenizer, LABELS, max_tokens=64, overlap_tokens=8)
    pages: list[EncodedPage] = encoder.encode_pages([long_page(n) for n in (1, 3, 9, 40)], gold=gold)
    return [window for page in pages for window in page.windows]


def test_collate_pads_and_keeps_the_way_back(tokenizer: SubwordTokenizer) -> None:
    windows = encoded_windows(tokenizer)
    batch = collate(windows, pad_id=7, pad_to_multiple=8)
    assert batch.input_ids.shape[1] % 8 == 0
    assert batch.input_ids.shape[1] - max(map(len, windows)) < 8
    for tensor in (batch.input_ids, batch.bbox, batch.attention_mask, batch.labels, batch.line_index, batch.page):
        assert tensor.dtype == torch.int64
    for row, window in enumerate(windows):
        n = len(window)
        assert batch.input_ids[row, :n].tolist() == window.input_ids.tolist()
        assert batch.input_ids[row, n:].eq(7).all()
        assert batch.attention_mask[row].sum() == n == batch.lengths[row]
        assert batch.labels[row, n:].eq(-100).all()
        assert window.labels is not None
        assert batch.labels[row, :n].tolist() == window.labels.tolist()
        assert batch.line_index[row, :n].tolist() == window.line_index.tolist()
        assert batch.bbox[row, n:].eq(0).all()
        assert (batch.page[row], batch.window[row]) == (window.page, window.index)
    assert collate(encoded_windows(tokenizer, gold=False), 0).labels.eq(-100).all()
    with pytest.raises(ValueError, match="at least one"):
        collate([], 0)


def test_batches_hold_every_window_once_within_the_budget(tokenizer: SubwordTokenizer) -> None:
    windows = encoded_windows(tokenizer)
    for generator in (None, np.random.default_rng(0)):
        batches = batches_by_tokens(windows, 160, generator=generator)
        assert sorted(index for batch in batches for index in batch) == list(range(len(windows)))
        for batch in batches:
            tokens = collate([windows[k] for k in batch], 0).input_ids.numel()
            assert tokens <= 160 or len(batch) == 1
    alone = batches_by_tokens(windows, 1)
    assert sorted(alone) == [[k] for k in range(len(windows))]
    padded = [-(-len(windows[k]) // 8) for (k,) in alone]
    assert padded == sorted(padded, reverse=True)
    with pytest.raises(ConfigError, match="max_tokens_per_batch = 0"):
        batches_by_tokens(windows, 0)


def test_a_thousand_lines_encode_within_a_blink(tokenizer: SubwordTokenizer) -> None:
    page = long_page(1000)
    encoder = PageEncoder(tokenizer, LABELS)
    encoder.encode(page)
    started = time.process_time()
    encoder.encode(page, gold=True)
    assert time.process_time() - started < 0.5
