"""Random changes of annotated pages that keep their labels and links true.

Pages are small dataclasses, so a change makes a copy; the corpus stays as it is.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kie_ray.encoding.page_image import IMAGE_SIZE
from kie_ray.records import Line, Link, Page
from kie_ray.training.config import AugmentConfig


class ValuePool:
    """Texts of answers, by rough length and script, to swap into other pages."""

    def __init__(self, pages: Sequence[Page], label: str = "ANSWER") -> None:
        self._texts: dict[tuple[int, bool], list[str]] = defaultdict(list)
        for page in pages:
            for line in page.lines:
                if line.label == label and line.text.strip():
                    self._texts[self._key(line.text)].append(line.text)
        self.label = label

    @staticmethod
    def _key(text: str) -> tuple[int, bool]:
        return len(text).bit_length(), any(ord(character) >= 0x2E80 for character in text)

    def draw(self, text: str, rng: random.Random) -> str:
        """Another answer of similar length in the same script (the text itself where there is none)."""
        texts = self._texts.get(self._key(text))
        return rng.choice(texts) if texts else text


def augment_page(page: Page, config: AugmentConfig, pool: ValuePool, rng: random.Random) -> Page:
    """A changed copy of `page`: cropped, scaled, shifted, jittered, with other values and digits.

    A page with `pixels` is scaled and shifted only, together with its image: no image shows the other changes.
    """
    if page.pixels is not None:
        return _moved_with_image(page, page.pixels, config, rng)
    lines = [replace(line) for line in page.lines]
    links = page.links
    if rng.random() < config.crop and len(lines) > 8:
        lines, links = _crop(lines, links, rng)
    scale = [1 + rng.uniform(-config.scale, config.scale) for _ in range(2)]
    shift = [rng.uniform(-config.shift, config.shift) for _ in range(2)]
    size = (page.width / 1000, page.height / 1000)
    for line in lines:
        jitter = [rng.uniform(-config.jitter, config.jitter) for _ in range(2)]
        points = [
            (value / size[i % 2] * scale[i % 2] + shift[i % 2] + jitter[i % 2]) * size[i % 2]
            for i, value in enumerate(line.points)
        ]
        line.points = tuple(points)
        if line.label == pool.label and rng.random() < config.value_swap:
            line.text = pool.draw(line.text, rng)
        if rng.random() < config.digit_swap:
            line.text = "".join(rng.choice("0123456789") if c.isdecimal() else c for c in line.text)
    return replace(page, lines=lines, links=links)


def _moved_with_image(page: Page, pixels: NDArray[np.uint8], config: AugmentConfig, rng: random.Random) -> Page:
    scale_x, scale_y = (1 + rng.uniform(-config.scale, config.scale) for _ in range(2))
    shift_x, shift_y = (rng.uniform(-config.shift, config.shift) / 1000 for _ in range(2))
    lines = []
    for line in page.lines:
        points = [
            value * scale_y + shift_y * page.height if i % 2 else value * scale_x + shift_x * page.width
            for i, value in enumerate(line.points)
        ]
        lines.append(replace(line, points=tuple(points)))
    # Pillow wants the place in the old image of a place in the new one.
    back = (1 / scale_x, 0, -shift_x * IMAGE_SIZE / scale_x, 0, 1 / scale_y, -shift_y * IMAGE_SIZE / scale_y)
    moved = Image.fromarray(pixels).transform(
        (IMAGE_SIZE, IMAGE_SIZE), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR, fillcolor=(255, 255, 255)
    )
    return replace(page, lines=lines, pixels=np.array(moved))


def _crop(lines: list[Line], links: list[Link], rng: random.Random) -> tuple[list[Line], list[Link]]:
    """Keep the lines of a horizontal strip; links that leave it go."""
    by_top = sorted(lines, key=lambda line: line.box[1])
    count = rng.randint(max(6, len(lines) // 3), len(lines))
    start = rng.randint(0, len(lines) - count)
    kept = {line.id for line in by_top[start : start + count]}
    return (
        [line for line in lines if line.id in kept],
        [link for link in links if link.key_line in kept and link.value_line in kept],
    )
