"""What printing, folding and scanning do to a page: `scan(pixels, gold, "light", rng)` gives both, changed alike."""

from __future__ import annotations

import random
from dataclasses import replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from kie_ray.records import Page

LEVELS = ("none", "light", "strong")


def scan(
    pixels: NDArray[np.uint8], page: Page, level: str = "light", rng: random.Random | int = 0
) -> tuple[NDArray[np.uint8], Page]:
    """Degrade `pixels` (uint8 [H, W, 3]) and return them with a copy of `page` whose points follow the geometry.

    `none` changes nothing. `light`: paper tone, soft blur, gaussian noise, JPEG artefacts. `strong`: also perspective,
    uneven light, fold lines, speckles and sometimes the two levels of a fax. Points become quadrilaterals under
    perspective. Raises ValueError for an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"scan level {level!r} is unknown; right are {', '.join(LEVELS)}")
    if level == "none":
        return pixels, page
    rng = random.Random(rng) if isinstance(rng, int) else rng
    noise = np.random.default_rng(rng.getrandbits(32))
    strong = level == "strong"
    image = Image.fromarray(pixels)
    if strong:
        image, page = _perspective(image, page, rng)
    image = image.filter(
        ImageFilter.GaussianBlur(rng.uniform(0.3, 0.6) * (1.5 if strong else 1.0) * image.width / 1240)
    )
    grey: NDArray[np.floating] = np.asarray(image, dtype=np.float32)
    grey = grey * _paper(image.height, image.width, rng, strong)[:, :, None]
    if strong:
        grey = _folds(grey, rng)
        grey = _speckles(grey, rng, noise)
    grey = grey + noise.normal(0, rng.uniform(1.5, 4) * (2.0 if strong else 1.0), grey.shape[:2])[:, :, None]
    if strong and rng.random() < 0.3:
        grey = np.where(grey.mean(axis=2, keepdims=True) < rng.uniform(130, 165), 10.0, 250.0) * np.ones(3)
    out = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    return _jpeg(out, rng.randint(38, 65) if strong else rng.randint(70, 90)), page


def _paper(height: int, width: int, rng: random.Random, strong: bool) -> NDArray[np.float32]:
    """Light of the paper, 0..1 [H, W]: a tone, and a slope when strong."""
    tone = rng.uniform(0.93, 0.99)
    if not strong:
        return np.full((height, width), tone, dtype=np.float32)
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * rng.uniform(-0.08, 0.08)
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * rng.uniform(-0.08, 0.08)
    light: NDArray[np.float32] = np.clip(tone * rng.uniform(0.9, 1.0) + across + down, 0.6, 1.0).astype(np.float32)
    return light


def _folds(grey: NDArray[np.floating], rng: random.Random) -> NDArray[np.floating]:
    height, width = grey.shape[:2]
    for axis in rng.sample((0, 1), rng.randint(0, 2)):
        size = (height, width)[axis]
        at = rng.uniform(0.3, 0.7) * size
        distance = np.abs(np.arange(size, dtype=np.float32) - at) / max(1.0, size * 0.004)
        shade = 1 - rng.uniform(0.05, 0.14) * np.exp(-distance)
        grey = grey * (shade[:, None, None] if axis == 0 else shade[None, :, None])
    return grey


def _speckles(grey: NDArray[np.floating], rng: random.Random, noise: np.random.Generator) -> NDArray[np.floating]:
    height, width = grey.shape[:2]
    count = int(height * width * rng.uniform(0.00002, 0.00012))
    ys, xs = noise.integers(0, height - 1, count), noise.integers(0, width - 1, count)
    tone = noise.uniform(20, 150, count)[:, None]
    grey[ys, xs] = tone
    grey[ys + 1, xs] = tone
    return grey


def _perspective(image: Image.Image, page: Page, rng: random.Random) -> tuple[Image.Image, Page]:
    """Moves the corners inwards by up to 1.2% of the side, so that nothing leaves the picture."""
    width, height = image.size
    start = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    inwards = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)], dtype=np.float64)
    shift = np.array([(rng.uniform(0, 0.012) * width, rng.uniform(0, 0.012) * height) for _ in range(4)])
    forward = _homography(start, start + inwards * shift)
    back = np.linalg.inv(forward)
    back /= back[2, 2]
    background = (rng.randint(70, 235),) * 3
    warped = image.transform(
        image.size, Image.Transform.PERSPECTIVE, tuple(back.ravel()[:8]), Image.Resampling.BICUBIC, fillcolor=background
    )
    lines = []
    for line in page.lines:
        corners = np.array(line.points, dtype=np.float64).reshape(4, 2)
        moved = np.c_[corners, np.ones(4)] @ forward.T
        flat = (moved[:, :2] / moved[:, 2:]).ravel()
        lines.append(replace(line, points=tuple(float(round(value, 1)) for value in flat)))
    return warped, replace(page, lines=lines)


def _homography(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """3x3 matrix that maps four points [4, 2] to four points (direct linear transform, h33 = 1)."""
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(right)), 1.0).reshape(3, 3)


def _jpeg(image: Image.Image, quality: int) -> NDArray[np.uint8]:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"), dtype=np.uint8).copy()
