"""The fast way of plain JPEGs: the same pixels as Pillow's, and nothing that Pillow has to look at."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kie_ray.reading.images import ImageSource
from kie_ray.reading.jpeg import decode_plain
from kie_ray.reading.magic import JPEG

ORIENTATION = 0x0112


def picture(mode: str = "RGB") -> Image.Image:
    """700 x 333: smooth in one half, noise in the other, sides that are no multiple of a JPEG block."""
    noise = np.random.default_rng(7).integers(0, 256, (333, 700, 3), np.uint8)
    noise[:, :350] = np.linspace(0, 255, 350)[None, :, None]
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options",
    [{"subsampling": 0}, {"subsampling": 2, "quality": 40}, {"progressive": True}, {"restart_marker_rows": 2}],
)
def test_the_same_pixels_as_pillow(mode: str, options: dict[str, Any]) -> None:
    data = encoded(picture(mode), **options)
    wanted = np.asarray(opened(data).convert("RGB"))
    fast = decode_plain(opened(data), data)
    assert fast is not None
    np.testing.assert_array_equal(fast[:, :, ::-1], wanted)
    page = ImageSource(data, JPEG, 10**6).page(0)
    np.testing.assert_array_equal(np.frombuffer(b"".join(page.rows), np.uint8).reshape(333, 700, 3), wanted)


def test_what_is_left_to_pillow() -> None:
    plain = encoded(picture())
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    grey_corner = picture()
    grey_corner.paste((128, 128, 128), (600, 300, 700, 333))
    for data in (
        encoded(picture("CMYK")),
        encoded(picture(), exif=turned),
        plain[: len(plain) // 2],
        plain[: len(plain) // 2] + b"\xff\xd9",
        encoded(grey_corner, quality=100, subsampling=0),
    ):
        assert decode_plain(opened(data), data) is None
