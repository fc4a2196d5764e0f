"""Page sizes from image headers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from PIL import Image

from kie_ray.datasets.gold import LabelFileError
from kie_ray.records import Page

_EXIF_ORIENTATION = 0x0112


def with_sizes(pages: Iterable[Page], image_dir: str | Path) -> list[Page]:
    """The same pages with width and height (pixels, EXIF orientation applied) read from the image headers.

    A page that knows its size keeps it. The image is `image_dir/source` or, as PPOCRLabel writes a folder before the
    name, `image_dir/<last part of source>`.

    Raises:
        LabelFileError: an image is missing or is no image; names page and path.
    """
    return [with_size(page, image_dir) for page in pages]


def with_size(page: Page, image_dir: str | Path) -> Page:
    """One page of `with_sizes`."""
    if page.width and page.height:
        return page
    file = find_image(page.source, image_dir)
    if file is None:
        missing = Path(image_dir) / page.source
        raise LabelFileError(f"image of page {page.source!r} is missing: {missing} does not exist")
    try:
        width, height = image_size(file)
    except LabelFileError as error:
        raise LabelFileError(f"image of page {page.source!r} {error}") from error
    return replace(page, width=width, height=height)


def find_image(source: str, image_dir: str | Path) -> Path | None:
    """Where the image of a page is, see `with_sizes`; None where it is missing."""
    folder = Path(image_dir)
    for candidate in (folder / source, folder / Path(source).name):
        try:
            if candidate.is_file():
                return candidate
        except OSError:  # a name that no file system takes is a missing file
            continue
    return None


def image_size(file: Path) -> tuple[int, int]:
    """Width and height in pixels, EXIF orientation applied; no pixel is decoded.

    Raises:
        LabelFileError: "cannot be read: file: reason".
    """
    try:
        with Image.open(file) as image:
            return image.size[::-1] if _turned(image) else image.size
    except Exception as error:  # Pillow raises a zoo of types on damaged headers
        raise LabelFileError(f"cannot be read: {file}: {error}") from error


def _turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception:  # damaged EXIF: `kie_ray.reading` reads such a page as it is stored
        return False
