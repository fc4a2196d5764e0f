"""The page images that belong to annotated pages, decoded by the guarded reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kie_ray.datasets.images import find_image
from kie_ray.encoding.page_image import ImageKind, resize_page
from kie_ray.errors import ConfigError, DocumentError, ErrorItem
from kie_ray.reading import Reader
from kie_ray.records import Page, PageImage


def with_pixels(pages: Sequence[Page], image_dir: str | Path, kind: ImageKind) -> list[Page]:
    """The same pages with `pixels` for models that see images of `kind`; for `none` the pages as they are.

    Images are found as in `kie_ray.datasets.with_sizes`.

    Raises:
        ConfigError: an image is missing or cannot be read; names page and path.
    """
    if kind == "none":
        return list(pages)
    with Reader() as reader:
        return [replace(page, pixels=resize_page(page_image(reader, page, image_dir).pixels, kind)) for page in pages]


def page_image(reader: Reader, page: Page, image_dir: str | Path) -> PageImage:
    """The decoded image of one annotated page.

    Raises:
        ConfigError: it is missing or cannot be read; names page and path.
    """
    path = find_image(page.source, image_dir)
    if path is None:
        raise ConfigError(f"{Path(image_dir) / page.source} does not exist; the annotations name {page.source}")
    try:
        image = next(reader.read(path.read_bytes(), page.source, page.index, page.index))
    except (DocumentError, OSError) as error:
        raise ConfigError(f"{path}: {error.item.message if isinstance(error, DocumentError) else error}") from error
    if isinstance(image, ErrorItem):
        raise ConfigError(f"{path}: {image.message}")
    return image
