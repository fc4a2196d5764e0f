"""Raster pictures through Pillow, plain JPEGs through OpenCV. Runs in the decoder process only."""

from __future__ import annotations

import io
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from kie_ray.errors import Category, DocumentError
from kie_ray.reading import magic
from kie_ray.reading.colour import to_rgb
from kie_ray.reading.jpeg import decode_plain, ends_in_missing_data
from kie_ray.reading.pages import DecodedPage, check_pixels, unreadable
from kie_ray.reading.tiff import frame_chain
from kie_ray.reading.webp import webp_size

_FORMATS = {
    magic.JPEG: JpegImagePlugin.JpegImageFile.format,
    magic.PNG: PngImagePlugin.PngImageFile.format,
    magic.TIFF: TiffImagePlugin.TiffImageFile.format,
    magic.BMP: BmpImagePlugin.BmpImageFile.format,
    magic.WEBP: WebPImagePlugin.WebPImageFile.format,
}
_ROWS_PER_PIECE = 256


class ImageSource:
    """A picture file: every frame of a TIFF, PNG or WebP is a page; of a JPEG the main picture."""

    def __init__(self, data: bytes, kind: str, max_pixels: int) -> None:
        """Open the file and check the size of its first picture.

        Raises:
            DocumentError: TOO_LARGE by the header, CORRUPT when the header cannot be parsed.
        """
        self._data = data
        self._format = str(_FORMATS[kind])
        self._max_pixels = max_pixels
        self._chain = frame_chain(data) if kind == magic.TIFF else None
        if kind == magic.WEBP:
            check_pixels(*webp_size(data), max_pixels)
        if self._chain is not None:
            self.page_count = len(self._chain.offsets)
        elif kind == magic.JPEG:
            self.page_count = 1
        else:
            self.page_count = int(getattr(self._open(0), "n_frames", 1))

    def page(self, index: int) -> DecodedPage:
        image = self._open(index)
        if self._format == "JPEG" and (plain := decode_plain(image, self._data)) is not None:
            return DecodedPage(image.width, image.height, _rgb_rows(plain))
        try:
            image.load()
        except OSError as error:
            raise _load_failure(error) from error
        if self._format == "JPEG" and ends_in_missing_data(image, self._data):
            raise unreadable(Category.CORRUPT, "the JPEG is truncated: its data ends before its last rows")
        try:
            page = to_rgb(image)
        except ValueError as error:
            raise unreadable(Category.UNSUPPORTED, f"colour mode {image.mode}: {error}") from error
        return DecodedPage(page.width, page.height, _rows(page))

    def close(self) -> None:
        self._data = b""

    def _open(self, index: int) -> Image.Image:
        """The picture with its header parsed and its size checked, pixels not decoded."""
        file = io.BytesIO(self._data)
        if self._chain is not None:
            position, header = self._chain.header_for(index)
            file.seek(position)
            file.write(header)
        try:
            image: Image.Image = Image.open(file, formats=[self._format])
        except UnidentifiedImageError as error:
            message = f"it starts like a {self._format} picture, but its header is damaged or cut"
            raise unreadable(Category.CORRUPT, message) from error
        check_pixels(*image.size, self._max_pixels)
        if self._chain is None and index:
            image.seek(index)
            check_pixels(*image.size, self._max_pixels)
        return image


def _load_failure(error: OSError) -> DocumentError:
    if "out of memory" in str(error):
        return unreadable(Category.TOO_LARGE, "decoding the picture needs more than the limit of max_memory_bytes")
    return unreadable(Category.CORRUPT, f"the picture is damaged: {error}")


def _rows(image: Image.Image) -> Iterator[bytes | memoryview]:
    for top in range(0, image.height, _ROWS_PER_PIECE):
        yield image.crop((0, top, image.width, min(top + _ROWS_PER_PIECE, image.height))).tobytes()


def _rgb_rows(pixels: NDArray[np.uint8]) -> Iterator[memoryview]:
    for top in range(0, len(pixels), _ROWS_PER_PIECE):
        yield cv2.cvtColor(pixels[top : top + _ROWS_PER_PIECE], cv2.COLOR_BGR2RGB).data.cast("B")
