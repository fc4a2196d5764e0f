"""A page's pixels become the picture that each kind of visual model wants; nothing happens where none is wanted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from kie_ray.encoding.page_image import ImageKind, model_images, read_page, resize_page
from kie_ray.records import Line, PageImage

KINDS: tuple[ImageKind, ...] = ("bgr", "paddle", "imagenet", "unit")


def striped(height: int = 700, width: int = 500) -> NDArray[np.uint8]:
    """Black and white lines one pixel high, which an averaging filter makes grey."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[::2] = 255
    return pixels


@pytest.mark.parametrize("kind", KINDS)
def test_every_page_becomes_224_pixels_square(kind: ImageKind) -> None:
    for height, width in ((1, 1), (30, 2000), (224, 224)):
        pixels = np.full((height, width, 3), (10, 20, 30), np.uint8)
        resized = resize_page(pixels, kind)
        assert resized.dtype == np.uint8
        assert resized.shape == (224, 224, 3)
        assert (resized == (10, 20, 30)).all()
    noise = np.random.default_rng(0).integers(0, 256, (90, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize_page(noise[:, ::-1], kind), resize_page(noise[:, ::-1].copy(), kind))


def test_pillow_averages_what_it_shrinks_and_opencv_does_not() -> None:
    assert np.ptp(resize_page(striped(), "bgr")) < 40
    assert np.ptp(resize_page(striped(), "paddle")) > 200


def test_the_recipe_shrinks_with_the_default_filter_of_pillow() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (500, 300, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize_page(noise, "unit"), np.array(Image.fromarray(noise).resize((224, 224))))
    assert not np.array_equal(resize_page(noise, "unit"), resize_page(noise, "imagenet"))


def test_channels_and_statistics_of_each_kind() -> None:
    page = np.full((224, 224, 3), (10, 100, 200), np.uint8)
    page[0, 5] = (1, 2, 3)
    wanted = {
        "bgr": (200.0, 100.0, 10.0),
        "paddle": ((10 - 123.675) / 58.395, (100 - 116.28) / 57.12, (200 - 103.53) / 57.375),
        "imagenet": ((10 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (200 / 255 - 0.406) / 0.225),
        "unit": (10 / 255, 100 / 255, 200 / 255),
    }
    for kind in KINDS:
        images = model_images([page, page[::-1]], kind)
        assert images.dtype == torch.float32
        assert images.shape == (2, 3, 224, 224)
        assert images[0, :, 9, 9].tolist() == pytest.approx(wanted[kind], abs=1e-5)
        assert not torch.equal(images[0, :, 0, 5], images[0, :, 5, 0])  # rows stay rows
        assert torch.equal(images[1].flip(1), images[0])


def test_what_no_model_can_take_is_refused() -> None:
    good = np.zeros((224, 224, 3), np.uint8)
    for bad in (np.zeros((224, 200, 3), np.uint8), np.zeros((224, 224, 3), np.float32)):
        with pytest.raises(ValueError, match=r"must be uint8 \[224, 224, 3\]"):
            model_images([good, bad], "bgr")  # type: ignore[list-item]
    with pytest.raises(ValueError, match="image kind 'none'"):
        resize_page(good, "none")
    with pytest.raises(ValueError, match="image kind 'none'"):
        model_images([good], "none")


def test_a_read_page_has_pixels_only_for_models_that_look() -> None:
    image = PageImage(striped(), 3, "scan.tif")
    lines = [Line(0, "Name", (0.0,) * 8)]
    page = read_page(image, lines, "none")
    assert (page.index, page.width, page.height, page.lines, page.source) == (3, 500, 700, lines, "scan.tif")
    assert page.pixels is None
    seen = read_page(image, lines, "bgr")
    np.testing.assert_array_equal(seen.pixels, resize_page(image.pixels, "bgr"))
    assert seen == page  # pixels are an input of the models and no part of what a page says
