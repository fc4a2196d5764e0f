"""Which lines are recognised together, and at what size a page is searched for text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidocr.utils.process_img import get_rotate_crop_image

from kie_ray.ocr.detection import detection_size, pad_thin_page
from kie_ray.ocr.recognition import MAX_WIDTH, crop_lines, group_by_width, line_width


@settings(max_examples=200, deadline=None)
@given(widths=st.lists(st.integers(1, MAX_WIDTH), max_size=80), batch=st.integers(1, 16), step=st.integers(1, 64))
def test_groups_hold_every_line_once_within_the_limits(widths: list[int], batch: int, step: int) -> None:
    groups = group_by_width(widths, batch, 96, step)
    assert sorted(index for _, group in groups for index in group) == list(range(len(widths)))
    for padded, group in groups:
        assert 1 <= len(group) <= batch
        assert all(0 <= padded - max(96, widths[index]) < step or padded == 96 for index in group)
        alone = {group_by_width([widths[index]], batch, 96, step)[0][0] for index in group}
        assert alone == {padded}  # the padding of a line depends on no other line


def test_short_lines_share_a_batch_whatever_their_width() -> None:
    assert group_by_width([320, 5, 100, 900], batch=8, min_width=320, step=1) == [(320, [1, 2, 0]), (900, [3])]


@pytest.mark.parametrize(("shape", "width"), [((48, 300), 300), ((24, 100), 200), ((96, 1), 1), ((3, 4000), MAX_WIDTH)])
def test_line_width(shape: tuple[int, int], width: int) -> None:
    assert line_width(np.zeros((*shape, 3), dtype=np.uint8)) == width


def test_crops_follow_the_quadrilateral() -> None:
    page = np.zeros((60, 100, 3), dtype=np.uint8)
    page[20:40, 30:80] = 255
    upright, tall = crop_lines(
        page,
        np.array([[[30, 20], [80, 20], [80, 40], [30, 40]], [[30, 0], [40, 0], [40, 60], [30, 60]]], dtype=np.float32),
    )
    assert upright.shape == (20, 50, 3)
    assert upright.min() == 255
    assert tall.shape == (10, 60, 3)  # turned by a quarter


@settings(max_examples=200, deadline=None)
@given(
    left=st.integers(0, 60),
    top=st.integers(0, 60),
    width=st.integers(1, 80),
    height=st.integers(1, 80),
    seed=st.integers(0, 9),
)
def test_upright_lines_are_the_pixels_that_pp_ocr_cuts_out(
    left: int, top: int, width: int, height: int, seed: int
) -> None:
    page = np.random.default_rng(seed).integers(0, 256, (60 + 80, 60 + 80, 3), dtype=np.uint8)
    right, bottom = left + width, top + height
    quad = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float32)
    (crop,) = crop_lines(page, quad[None])
    assert np.shares_memory(crop, page)
    assert np.array_equal(crop, get_rotate_crop_image(page, quad))
    page = page[: bottom - 1, : right - 1] if width > 1 and height > 1 else page
    (crop,) = crop_lines(page, quad[None])
    assert np.array_equal(crop, get_rotate_crop_image(page, quad)), "over the edge of the page"


@pytest.mark.parametrize("corner", [(0.0, 0.0), (99.6, 59.6), (100.0, 60.0)])
def test_a_quadrilateral_without_area_still_gives_a_crop(corner: tuple[float, float]) -> None:
    page = np.zeros((60, 100, 3), dtype=np.uint8)
    (crop,) = crop_lines(page, np.array([[corner] * 4], dtype=np.float32))
    assert crop.shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ((2480, 3508), (896, 1280)),  # A4: the long side counts
        ((3508, 2480), (1280, 896)),
        ((800, 600), (800, 608)),  # never enlarged, only rounded to the stride
        ((480, 6000), (480, 6016)),  # a receipt keeps its print size
        ((64, 100_000), (32, 10_240)),  # and has an end
    ],
)
def test_detection_size(page: tuple[int, int], expected: tuple[int, int]) -> None:
    assert detection_size(*page, 1280) == expected


@settings(max_examples=100, deadline=None)
@given(width=st.integers(1, 20_000), height=st.integers(1, 20_000))
def test_detection_cost_is_bounded(width: int, height: int) -> None:
    new_width, new_height = detection_size(width, height, 1280)
    assert new_width % 32 == 0
    assert new_height % 32 == 0
    assert min(new_width, new_height) >= 32
    assert max(new_width, new_height) <= 8 * 1280
    assert new_width * new_height <= 8 * 1280 * 1296


@pytest.mark.parametrize("shape", [(1, 1), (3, 4000), (4000, 3), (20, 100), (64, 64)])
def test_thin_pages_are_framed_in_their_own_colour(shape: tuple[int, int]) -> None:
    page = np.full((*shape, 3), (10, 20, 30), dtype=np.uint8)
    framed, top, left = pad_thin_page(page)
    height, width = framed.shape[:2]
    assert min(height, width) >= 64
    assert max(height, width) / min(height, width) <= 8.1
    assert (framed == (10, 20, 30)).all()
    assert (framed[top : top + shape[0], left : left + shape[1]] == page).all()


def test_a_common_page_is_not_copied() -> None:
    page = np.zeros((100, 100, 3), dtype=np.uint8)
    assert pad_thin_page(page)[0] is page
