"""What pre-training hides in page images is what it asks about, pixel by pixel."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from kie_ray.encoding import LabelSet, PageEncoder, train_tokenizer
from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.encoding.page_image import model_images
from kie_ray.records import Line, Page
from kie_ray.training.alignment import hide_regions, mismatch, token_box
from kie_ray.training.augment import ValuePool, augment_page
from kie_ray.training.batches import TrainBatch, build_batch
from kie_ray.training.config import AugmentConfig
from kie_ray.training.losses import LossCounts, batch_counts, binary_loss_sum

QUIET = AugmentConfig(token_mask=0, token_drop=0)
WORDS = ["Name of the applicant", "Ada Lovelace", "Date of birth", "10 December 1815", "Place", "London"]
LABELS = LabelSet.from_classes(["OTHER", "QUESTION", "ANSWER"])


def paper(number: int = 0, value: int = 200) -> Page:
    """Six lines below each other on grey paper of 448 x 448 pixels, two to one of the model's image."""
    lines = [
        Line(i, text, (40, 20 + 60 * i, 360, 20 + 60 * i, 360, 40 + 60 * i, 40, 40 + 60 * i))
        for i, text in enumerate(WORDS)
    ]
    return Page(0, 448, 448, lines, source=f"{number}.png", pixels=np.full((224, 224, 3), value, np.uint8))


@pytest.fixture(scope="module")
def encoder() -> PageEncoder:
    return PageEncoder(train_tokenizer(WORDS * 3, 400), LABELS, max_tokens=12, overlap_tokens=6)


def batch_of(
    pages: list[Page], encoder: PageEncoder, augment: AugmentConfig, seed: int = 0, **more: object
) -> TrainBatch:
    return build_batch(pages, encoder, LABELS, [], augment, random.Random(seed), "imagenet", **more)  # type: ignore[arg-type]


def dark(batch: TrainBatch) -> np.ndarray:
    """Which pixels of the images are black, bool [P, 224, 224]."""
    black = model_images([np.zeros((224, 224, 3), np.uint8)], "imagenet")
    assert batch.images is not None
    return (batch.images.pixels == black).all(1).numpy()


def rows_of(line: Line) -> slice:
    return slice(int(line.box[1] / 2), int(line.box[3] / 2))


def test_covered_lines_are_black_and_their_tokens_are_asked_as_covered(encoder: PageEncoder) -> None:
    page = paper()
    batch = batch_of([page], encoder, replace_of(QUIET, line_cover=0.5))
    (seen,) = dark(batch)
    hidden = [bool(seen[rows_of(line), 20:180].all()) for line in page.lines]
    assert 0 < sum(hidden) < len(hidden)
    assert seen.sum() == sum(hidden) * 10 * 160, "nothing but the covered lines is black"
    assert batch.images is not None
    by_line = {True: 0, False: 0}
    positions = [(int(box[1] * 448 / 1000) - 10) // 60 for group in batch.groups for box in real_boxes(group)]
    for line, target in zip(positions, batch.images.covered.tolist(), strict=True):
        assert target == int(hidden[line])
        by_line[hidden[line]] += 1
    assert min(by_line.values()) > 0


def replace_of(augment: AugmentConfig, **changes: float) -> AugmentConfig:
    return augment.model_copy(update=changes)


def real_boxes(group: object) -> list[list[int]]:
    return group.bbox[group.attention_mask.bool()].tolist()  # type: ignore[attr-defined,no-any-return]


def test_a_masked_token_is_hidden_in_the_image_and_not_asked_about(encoder: PageEncoder) -> None:
    page = paper()
    augment = replace_of(QUIET, token_mask=0.3)
    batch = batch_of([page], encoder, augment)
    assert len(batch.groups[0].pages) > 1 or len(batch.groups) > 1, "several windows, which share tokens"
    assert batch.images is not None
    asked = batch.mlm_targets != IGNORED_LABEL
    assert (batch.images.covered[asked] == IGNORED_LABEL).all()
    assert (batch.images.covered[~asked] != IGNORED_LABEL).sum() > 0

    # Tokens in the overlap of windows may be masked in one only; the image is hidden for all.
    encoded = encoder.encode(page)
    masked = [np.full(len(window), IGNORED_LABEL) for window in encoded.windows]
    last = encoded.windows[0].start + len(encoded.windows[0]) - 1
    masked[0][-1] = 5
    (image,), targets = hide_regions([page], [True], [encoded], encoded.windows, masked, -1, 0.0, random.Random(0))
    line = int(encoded.line_index[last])
    first = encoded.first_token[line]
    count = int((encoded.line_index == line).sum())
    x0, _, x1, _ = (round(value / 2) for value in token_box(page.lines[line].box, last - first, count))
    black = (image == 0).all(-1)
    assert black[rows_of(page.lines[line]), x0 + 1 : x1 - 1].all()
    assert black.sum() <= 10 * (x1 - x0 + 2)
    for window, target in zip(encoded.windows, targets, strict=True):
        inside = last - window.start
        expected = np.arange(len(window)) == inside
        assert ((target == IGNORED_LABEL) == expected).all()


def test_lines_that_are_hidden_whole_are_not_asked_about(encoder: PageEncoder) -> None:
    batch = batch_of([paper()], encoder, replace_of(QUIET, token_drop=1.0, line_cover=1.0))
    assert batch.images is not None
    assert (batch.images.covered == IGNORED_LABEL).all()
    assert batch_counts(batch)[4] == 0
    loss = binary_loss_sum(torch.randn(batch.num_tokens, requires_grad=True), batch.images.covered)
    loss.backward()
    assert loss.item() == 0


def test_shares_of_pages_get_another_image_or_none() -> None:
    pages = [paper(number, value=number + 1) for number in range(20)]
    augment = AugmentConfig(image_swap=0.3, image_drop=0.2)
    rng = random.Random(3)
    kinds = {"own": 0, "other": 0, "black": 0}
    for _ in range(20):
        for page in pages:
            changed, own = mismatch(page, pages, augment, rng)
            assert changed.pixels is not None
            value = int(changed.pixels.max())
            kind = "black" if value == 0 else "own" if value == int(page.pixels.max()) else "other"  # type: ignore[union-attr]
            assert own == (kind == "own")
            assert changed.lines == page.lines
            kinds[kind] += 1
    assert kinds["other"] / 400 == pytest.approx(0.3, abs=0.07)
    assert kinds["black"] / 400 == pytest.approx(0.2, abs=0.07)
    assert mismatch(pages[0], pages, AugmentConfig(), rng) == (pages[0], True)


def test_pages_of_one_document_are_not_exchanged() -> None:
    first, second = (replace(paper(value=value), source=f"a.pdf#{value}") for value in (10, 20))
    changed, own = mismatch(first, [first, second], AugmentConfig(image_swap=1.0), random.Random(0))
    assert not own
    assert changed.pixels is not None
    assert not changed.pixels.any(), "there is no other document: dropped"


def test_all_tokens_of_a_page_with_a_wrong_image_count_as_covered(encoder: PageEncoder) -> None:
    batch = batch_of([paper(0), paper(1)], encoder, QUIET, matched=[True, False])
    assert batch.images is not None
    pages = torch.cat([group.pages.repeat_interleave(group.attention_mask.sum(1)) for group in batch.groups])
    assert torch.equal(batch.images.covered, pages)
    assert batch.images.matched.tolist() == [1, 0]
    windows = sum(len(group.pages) for group in batch.groups)
    assert LossCounts.of(batch_counts(batch)).windows == windows > 2


def test_binary_loss_is_the_cross_entropy_of_two_classes() -> None:
    logits, targets = torch.tensor([2.0, -1.0, 0.5, 3.0]), torch.tensor([1, 0, IGNORED_LABEL, 0])
    two = torch.stack([torch.zeros(4), logits], -1)
    expected = torch.nn.functional.cross_entropy(two, targets, ignore_index=IGNORED_LABEL, reduction="sum")
    torch.testing.assert_close(binary_loss_sum(logits, targets), expected)


def test_an_image_moves_with_its_page() -> None:
    page = paper(value=255)
    assert page.pixels is not None
    for line in page.lines:
        page.pixels[rows_of(line), 20:180] = 0
    for seed in range(5):
        moved = augment_page(page, AugmentConfig(), ValuePool([page]), random.Random(seed))
        assert [line.text for line in moved.lines] == WORDS, "no image would show other values, digits or lines"
        assert moved.pixels is not None
        black = moved.pixels[..., 0] < 128
        expected = np.zeros((224, 224), bool)
        for line in moved.lines:
            x0, y0, x1, y1 = (round(value / 2) for value in line.box)
            expected[max(y0, 0) : y1, max(x0, 0) : x1] = True
        assert (black != expected).mean() < 0.01
    still = augment_page(page, AugmentConfig(scale=0, shift=0), ValuePool([page]), random.Random(0))
    assert still == page
    assert np.array_equal(still.pixels, page.pixels)  # type: ignore[arg-type]


def test_a_vertical_line_is_shared_out_from_top_to_bottom() -> None:
    assert token_box((10, 0, 20, 90), 1, 3) == (10, 30, 20, 60)
    assert token_box((0, 10, 90, 20), 2, 3) == (60, 10, 90, 20)
