"""The page images of a run's pages, for models that see them: read once, shrunk at once, kept in memory.

A shrunk image is 224 x 224 x 3 bytes, 150 kB a page, whatever the scan's size; the scan itself is not kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kie_ray.datasets.images import find_image
from kie_ray.datasets.page_images import with_pixels
from kie_ray.datasets.synthetic import SyntheticPage
from kie_ray.datasets.synthetic.fonts import Fonts
from kie_ray.datasets.synthetic.render import render
from kie_ray.encoding.page_image import ImageKind, resize_page
from kie_ray.errors import ConfigError, DocumentError
from kie_ray.limits import Limits
from kie_ray.reading import Reader
from kie_ray.records import Page, PageImage
from kie_ray.storage.files import exists, read_bytes
from kie_ray.training.config import SourceConfig, TrainConfig


def image_folder(source: SourceConfig, config: TrainConfig) -> Path:
    """Where the images of an annotated source are."""
    return config.resolve(source.path) / "images" if source.kind == "funsd" else config.resolve(source.images)


def read_images(pages: Sequence[Page], source: SourceConfig, config: TrainConfig, kind: ImageKind) -> list[Page]:
    """The pages of a source (synthetic ones come with their image, see `drawn`) with `pixels`.

    Raises:
        ConfigError: an image is missing or cannot be read; names source, page and path.
    """
    try:
        if source.kind == "synthetic":
            return list(pages)
        if source.kind == "extracted":
            return _of_documents(pages, kind)
        return with_pixels(pages, image_folder(source, config), kind)
    except ConfigError as error:
        raise ConfigError(f"source {source.name!r}: {error}") from error


def check_images(pages: Sequence[Page], source: SourceConfig, config: TrainConfig) -> None:
    """Raise ConfigError where an image (of OCR's pages: a document) does not exist; nothing is read."""
    if source.kind == "synthetic":
        return
    if source.kind == "extracted":
        missing = next((uri for uri in dict.fromkeys(map(_uri, pages)) if not exists(uri)), None)
    else:
        folder = image_folder(source, config)
        missing = next((str(folder / page.source) for page in pages if find_image(page.source, folder) is None), None)
    if missing is not None:
        raise ConfigError(f"source {source.name!r}: {missing} does not exist, and the model sees page images")


def drawn(page: SyntheticPage, fonts: Fonts, kind: ImageKind) -> Page:
    """The gold page of a made-up form with its image, which is drawn at 72 dpi: enough for 224 pixels."""
    factor = page.paper[0] / page.page.width
    size = (round(page.page.width * factor), round(page.page.height * factor))
    small = replace(page.page, width=size[0], height=size[1])
    a, b, c, d, e, f = (value * factor for value in page.matrix)
    pixels: NDArray[np.uint8] = render(replace(page, page=small, matrix=(a, b, c, d, e, f)), fonts)
    return replace(page.page, pixels=resize_page(pixels, kind))


def _of_documents(pages: Sequence[Page], kind: ImageKind) -> list[Page]:
    """Pages that the batch job has read, of any place and kind of document; a document is read once."""
    limits = Limits()
    found: dict[str, NDArray[np.uint8]] = {}
    indices: dict[str, list[int]] = defaultdict(list)
    for page in pages:
        indices[_uri(page)].append(page.index)
    with Reader(limits) as reader:
        for uri, wanted in indices.items():
            try:
                for image in reader.read(read_bytes(uri, limits.max_bytes), uri, min(wanted), max(wanted)):
                    if isinstance(image, PageImage):
                        found[f"{uri}#{image.index}"] = resize_page(image.pixels, kind)
                    elif image.page in wanted:
                        raise ConfigError(image.message)
            except DocumentError as error:
                raise ConfigError(error.item.message) from error
    return [replace(page, pixels=found[page.source]) for page in pages]


def _uri(page: Page) -> str:
    """Of the document of a page that `kie_ray.training.corpus` has named `uri#index`."""
    return page.source.rpartition("#")[0]
