"""Rules of PaddleOCR's chunking that the recordings touch only by chance. A character is a token here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kie_ray.encoding import LabelSet
from kie_ray.encoding.paddle_protocol import encode_re_paddle, encode_ser_paddle
from kie_ray.errors import ConfigError
from kie_ray.records import Line, Link, Page

LABELS = LabelSet.from_classes(["OTHER", "QUESTION", "ANSWER", "HEADER"])


class Characters:
    """One token a character: window borders fall where a test puts them."""

    vocab_size, pad_id, unk_id, mask_id = 0x110000, 0, 1, 2
    special_ids = frozenset({0, 1, 2})

    def encode_lines(self, lines: Sequence[str]) -> list[list[int]]:
        return [[ord(character) for character in line.strip()] for line in lines]

    def save(self, directory: str | Path) -> None:
        raise AssertionError("not used")


def page_of(*lines: tuple[int, str], links: Sequence[tuple[int, int]] = ()) -> Page:
    made = [
        Line(k, "x" * length, (0, 30.0 * k, 9, 30.0 * k, 9, 30.0 * k + 9, 0, 30.0 * k + 9), label=label)
        for k, (length, label) in enumerate(lines)
    ]
    return Page(0, 100, 10_000, made, [Link(a, b) for a, b in links])


def test_an_entity_that_ends_at_the_window_end_is_lost() -> None:
    page = page_of((10, "HEADER"), (490, "QUESTION"), (12, "ANSWER"), (5, "ANSWER"), links=[(1, 2)])
    sample = encode_re_paddle(page, Characters(), LABELS)
    assert sample is not None
    assert sample.entities.tolist() == [[0, 10, 0], [10, 500, 1]]
    assert sample.relations.shape == (0, 2)
    page.lines[2].text = "x" * 11
    sample = encode_re_paddle(page, Characters(), LABELS)
    assert sample is not None
    assert sample.entities.tolist() == [[0, 10, 0], [10, 500, 1], [500, 511, 2]]
    assert sample.relations.tolist() == [[1, 2]]


def test_the_first_window_with_an_entity_is_taken() -> None:
    page = page_of((600, "OTHER"), (10, "QUESTION"), (10, "ANSWER"), links=[(1, 2)])
    sample = encode_re_paddle(page, Characters(), LABELS)
    assert sample is not None
    assert sample.start == 512
    assert sample.entities.tolist() == [[88, 98, 1], [98, 108, 2]]
    assert sample.entity_lines == [1, 2]
    assert len(sample.input_ids) == 108


def test_no_entity_no_sample() -> None:
    assert encode_re_paddle(page_of((10, "OTHER")), Characters(), LABELS) is None
    assert encode_re_paddle(page_of(), Characters(), LABELS) is None


def test_only_question_answer_links_count_and_are_oriented() -> None:
    page = page_of(
        (2, "ANSWER"), (2, "QUESTION"), (2, "HEADER"), (2, "QUESTION"), links=[(0, 1), (2, 1), (1, 3)]
    )  # fmt: skip
    sample = encode_re_paddle(page, Characters(), LABELS)
    assert sample is not None
    assert sample.relations.tolist() == [[1, 0]]
    assert sample.dropped_links == 0


def test_a_link_to_a_blank_line_is_dropped_and_counted() -> None:
    page = page_of((2, "QUESTION"), (2, "ANSWER"), (2, "ANSWER"), links=[(0, 1), (0, 2)])
    page.lines[1].text = "  "
    sample = encode_re_paddle(page, Characters(), LABELS)
    assert sample is not None
    assert sample.dropped_links == 1
    assert sample.relations.tolist() == [[0, 1]]
    assert sample.entity_lines == [0, 2]


def test_ser_cuts_at_the_window_and_pads_below_it() -> None:
    page = page_of((500, "QUESTION"), (30, "ANSWER"))
    sample = encode_ser_paddle(page, Characters(), LABELS)
    assert sample.labels.tolist() == [1, *[2] * 499, 3, *[4] * 11]
    assert sample.segment_offsets == [500, 530]
    short = encode_ser_paddle(page_of((3, "HEADER")), Characters(), LABELS)
    assert short.labels.tolist() == [5, 6, 6, *[-100] * 509]
    assert short.attention_mask.sum() == 3
    assert short.bbox[3:].sum() == 0


def test_an_entity_without_an_id_is_named() -> None:
    labels = LabelSet.from_classes(["QUESTION", "TOTAL"])
    with pytest.raises(ConfigError, match="'total' has no id"):
        encode_re_paddle(page_of((2, "TOTAL")), Characters(), labels)
    with pytest.raises(ConfigError, match="'xy'"):
        encode_ser_paddle(page_of((2, "TOTAL")), Characters(), labels, order_method="xy")
