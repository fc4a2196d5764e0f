"""PDF pages rendered by PDFium. Runs in the decoder process only."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from kie_ray.errors import Category, DocumentError
from kie_ray.reading.pages import DecodedPage, check_pixels, unreadable

_POINTS_PER_INCH = 72.0
_ROWS_PER_PIECE = 256


class PdfSource:
    """A PDF, rendered at `dpi` with annotations and the values of its form fields."""

    def __init__(self, data: bytes, dpi: int, max_pixels: int) -> None:
        """Open the document.

        Raises:
            DocumentError: ENCRYPTED when it needs a password, EMPTY without pages, else CORRUPT.
        """
        self._dpi = dpi
        self._max_pixels = max_pixels
        try:
            self._document = pdfium.PdfDocument(data)
        except pdfium.PdfiumError as error:
            raise _open_failure(data, error) from error
        self.page_count = len(self._document)
        if self._document.get_formtype() != pdfium_c.FORMTYPE_NONE:
            self._document.init_forms()  # without it the typed-in values of a form are not drawn

    def page(self, index: int) -> DecodedPage:
        try:
            page = self._document[index]
        except pdfium.PdfiumError as error:
            raise unreadable(Category.CORRUPT, f"the page cannot be loaded: {error}") from error
        try:
            scale = self._dpi / _POINTS_PER_INCH
            points = page.get_size()
            width, height = (math.ceil(length * scale) for length in points)
            check_pixels(
                width, height, self._max_pixels, f"{points[0]:.0f} x {points[1]:.0f} points at {self._dpi} dpi"
            )
            bitmap = page.render(scale=scale, rev_byteorder=True)
        finally:
            page.close()
        return DecodedPage(bitmap.width, bitmap.height, _rows(bitmap))

    def close(self) -> None:
        self._document.close()


def _open_failure(data: bytes, error: pdfium.PdfiumError) -> DocumentError:
    """The reason, asked again: pypdfium2 takes a document without pages for a failure and reports the one before."""
    handle = pdfium_c.FPDF_LoadMemDocument64(data, len(data), None)
    if handle:
        pdfium_c.FPDF_CloseDocument(handle)
        return unreadable(Category.EMPTY, "the PDF has no page")
    if pdfium_c.FPDF_GetLastError() in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
        return unreadable(Category.ENCRYPTED, "the PDF is encrypted; remove its password first")
    return unreadable(Category.CORRUPT, f"the PDF cannot be opened: {error}")


def _rows(bitmap: pdfium.PdfBitmap) -> Iterator[bytes | memoryview]:
    width, height, stride = bitmap.width * 3, bitmap.height, bitmap.stride
    pixels = memoryview(bitmap.buffer).cast("B")
    try:
        for top in range(0, height, _ROWS_PER_PIECE):
            bottom = min(top + _ROWS_PER_PIECE, height)
            if stride == width:
                yield pixels[top * stride : bottom * stride]
            else:  # PDFium pads rows to four bytes
                yield b"".join(pixels[y * stride : y * stride + width] for y in range(top, bottom))
    finally:
        pixels.release()
        bitmap.close()
