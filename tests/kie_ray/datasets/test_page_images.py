"""The images of annotated pages, for models that look at them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kie_ray.datasets.page_images import with_pixels
from kie_ray.encoding.page_image import resize_page
from kie_ray.errors import ConfigError
from kie_ray.records import Page
from tests.job_support import draw_page


def test_pages_get_their_own_images(tmp_path: Path) -> None:
    frames = [draw_page(number, (200, 70 + number)) for number in range(3)]
    frames[0].save(tmp_path / "a.png")
    frames[1].save(tmp_path / "b.tif", save_all=True, append_images=frames[2:])
    pages = [Page(0, 200, 70, source="a.png"), Page(1, 200, 72, source="scans/b.tif")]
    for page, frame in zip(with_pixels(pages, tmp_path, "bgr"), (frames[0], frames[2]), strict=True):
        np.testing.assert_array_equal(page.pixels, resize_page(np.array(frame), "bgr"))
    assert [page.pixels for page in pages] == [None, None]


def test_a_turned_photo_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    frame = draw_page(1)
    frame.save(tmp_path / "turned.png", exif=exif)
    (page,) = with_pixels([Page(0, 70, 200, source="turned.png")], tmp_path, "bgr")
    np.testing.assert_array_equal(page.pixels, resize_page(np.rot90(np.array(frame), 3), "bgr"))


def test_no_file_is_opened_where_no_model_looks(tmp_path: Path) -> None:
    (page,) = with_pixels([Page(0, 200, 70, source="missing.png")], tmp_path, "none")
    assert page.pixels is None


def test_a_missing_or_broken_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.png does not exist; the annotations name missing\.png"):
        with_pixels([Page(0, 200, 70, source="missing.png")], tmp_path, "bgr")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ConfigError, match=r"text\.png: "):
        with_pixels([Page(0, 200, 70, source="text.png")], tmp_path, "bgr")
