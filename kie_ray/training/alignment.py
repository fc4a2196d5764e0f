"""What pre-training does to page images: masked tokens, covered lines, images of other pages (LayoutLMv2, Xu et al.
2020, section 2.2, arXiv 2012.14740), and what the model is asked about it.

Masking: the region of a token that the masked-token loss asks for is hidden, so that its text cannot be read off the
image. Text-image alignment (TIA): the regions of some lines are covered, and every token is asked whether its line is;
masked tokens do not count. Text-image matching (TIM): some pages get the image of another document, or none; the
regions of their own tokens are hidden there as well, and all their tokens count as covered. What is hidden is black,
and so is a dropped image.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kie_ray.encoding import EncodedPage, Window
from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.encoding.page_image import IMAGE_SIZE
from kie_ray.records import Box, Page
from kie_ray.training.config import AugmentConfig

_TRIES = 8


@dataclass(slots=True)
class PageImages:
    """The images of P pages, and what is asked about them.

    `pixels`: float32 [P, 3, 224, 224]. `covered`: int64 [N], 1 where the line of a token is covered, 0 where it is not,
    `IGNORED_LABEL` where that is not asked. `matched`: int64 [P], 1 for a page with its own image, 0 with another.
    """

    pixels: Tensor
    covered: Tensor
    matched: Tensor

    def to(self, device: torch.device) -> PageImages:
        """The same on `device`."""
        return PageImages(self.pixels.to(device), self.covered.to(device), self.matched.to(device))


def mismatch(page: Page, others: Sequence[Page], augment: AugmentConfig, rng: random.Random) -> tuple[Page, bool]:
    """The page, in the shares of `augment` with the image of another document or a black one; and whether it kept its
    own. Of `others` those of the same document do not count."""
    assert page.pixels is not None
    drawn = rng.random()
    if drawn >= augment.image_swap + augment.image_drop:
        return page, True
    stranger = _stranger(page, others, rng) if drawn < augment.image_swap else None
    pixels = np.zeros_like(page.pixels) if stranger is None else stranger.pixels
    return replace(page, pixels=pixels), False


def _stranger(page: Page, others: Sequence[Page], rng: random.Random) -> Page | None:
    for _ in range(_TRIES):
        drawn = rng.choice(others)
        if drawn is not page and (not page.source or _document(drawn) != _document(page)):
            return drawn
    return None


def _document(page: Page) -> str:
    """Pages of one file are named `file#0`, `file#1`, ..."""
    return page.source.partition("#")[0]


def hide_regions(
    pages: Sequence[Page],
    matched: Sequence[bool],
    encoded: Sequence[EncodedPage],
    windows: Sequence[Window],
    masked: Sequence[NDArray[np.int64]],
    mask_id: int,
    line_cover: float,
    rng: random.Random,
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.int64]]]:
    """Hide masked tokens and covered lines.

    Args:
        pages, encoded: P pages, all with `pixels`, and how they were encoded. matched: see `mismatch`.
        windows: all of theirs, after masking. masked: int64 [T] of each, `IGNORED_LABEL` where a token is not asked.
        mask_id: the id of a token whose text is hidden. line_cover: share of lines to cover.

    Returns:
        Images, uint8 [224, 224, 3] a page; TIA targets as in `PageImages.covered`, a row a window.
    """
    images = [np.array(page.pixels) for page in pages]
    covered: list[set[int]] = []
    for page, image, item in zip(pages, images, encoded, strict=True):
        lines = [line for line in item.order if line in item.first_token]
        chosen = {line for line in lines if rng.random() < line_cover}
        for line in chosen:
            _blacken(image, page, page.lines[line].box)
        covered.append(chosen)
    hidden: list[set[int]] = [set() for _ in pages]
    for window, asked in zip(windows, masked, strict=True):
        hidden[window.page].update((window.start + np.flatnonzero(asked != IGNORED_LABEL)).tolist())
    for page, image, item, positions in zip(pages, images, encoded, hidden, strict=True):
        lengths = np.bincount(item.line_index, minlength=item.num_lines)
        for position in positions:
            line = int(item.line_index[position])
            share = (position - item.first_token[line], int(lengths[line]))
            _blacken(image, page, token_box(page.lines[line].box, *share))
    targets: list[NDArray[np.int64]] = []
    for window in windows:
        is_covered = np.isin(window.line_index, list(covered[window.page])) | (not matched[window.page])
        # A token that one window masks is hidden in the image of all.
        shown = [window.start + place not in hidden[window.page] for place in range(len(window))]
        targets.append(np.where(np.array(shown) & (window.input_ids != mask_id), is_covered, IGNORED_LABEL))
    return images, targets


def token_box(box: Box, index: int, count: int) -> Box:
    """Where token `index` of `count` is in a line's box: its equal share of the longer side, from left or from top.

    Annotations and OCR give boxes of lines only; at 224 pixels a page this is as fine as the image.
    """
    x0, y0, x1, y1 = box
    if x1 - x0 >= y1 - y0:
        step = (x1 - x0) / count
        return x0 + index * step, y0, x0 + (index + 1) * step, y1
    step = (y1 - y0) / count
    return x0, y0 + index * step, x1, y0 + (index + 1) * step


def _blacken(image: NDArray[np.uint8], page: Page, box: Box) -> None:
    """Every pixel that `box` (pixels of the page) touches, at least one."""
    x0, y0, x1, y1 = (value * IMAGE_SIZE / size for value, size in zip(box, (page.width, page.height) * 2, strict=True))
    left, top = (min(max(math.floor(value), 0), IMAGE_SIZE - 1) for value in (x0, y0))
    image[top : max(math.ceil(y1), top + 1), left : max(math.ceil(x1), left + 1)] = 0
