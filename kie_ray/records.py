"""The vocabulary: what a document is, from pixels to key-value fields.

A gold page from a label file and a predicted page are the same type, so metrics, drawing and training all speak `Page`.
Coordinates are pixels of the page, origin top left, x to the right, y down. Arrow schemas live in `kie_ray/schemas.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kie_ray.errors import ErrorItem

OTHER = "OTHER"
"""The label of a line that is no entity."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1."""


@dataclass(slots=True)
class PageImage:
    """One decoded page.

    `pixels`: uint8 [height, width, 3], RGB, upright (EXIF applied). `index`: 0-based page or frame within the document.
    `source`: the uri (or any name) of the document.
    """

    pixels: NDArray[np.uint8]
    index: int
    source: str

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


@dataclass(slots=True)
class Line:
    """One text line: PaddleOCR's `transcription`, `points`, `label`, `id`.

    `points`: 8 floats x1,y1,...,x4,y4, clockwise from the top left corner. `label` is upper case, `OTHER` for none.
    `id` is unique on its page: the annotation's id, otherwise the index in OCR order.
    """

    id: int
    text: str
    points: tuple[float, ...]
    ocr_score: float = 1.0
    label: str = OTHER
    label_score: float = 0.0

    @property
    def box(self) -> Box:
        """Axis-aligned hull of `points`."""
        xs, ys = self.points[0::2], self.points[1::2]
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True, slots=True)
class Link:
    """A relation of two lines of a page, by line id: `key_line` (head, question) to `value_line` (tail, answer)."""

    key_line: int
    value_line: int
    score: float = 1.0


@dataclass(slots=True)
class Field:
    """One key-value pair of a page; the texts of several lines are joined in reading order."""

    key: str
    value: str
    score: float
    key_lines: list[int]
    value_lines: list[int]
    key_box: Box
    value_box: Box


@dataclass(slots=True)
class Page:
    """Lines, links and fields of one page. `index` is 0-based within the document, `width` and `height` are pixels.

    `pixels`: uint8 [224, 224, 3] RGB, the page as `kie_ray.encoding.page_image.resize_page` shrinks it for models that
    see images; None for all others. No table holds it.
    """

    index: int
    width: int
    height: int
    lines: list[Line] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    source: str = ""
    pixels: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class Document:
    """One document, or one range of pages of a long one.

    `status` is "ok" (no error), "partial" (`error` names the pages that failed, the others are in `pages`) or "failed".
    `timings`: busy seconds a stage.
    """

    doc_id: str
    uri: str
    pages: list[Page] = field(default_factory=list)
    error: ErrorItem | None = None
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> str:
        if self.error is None:
            return "ok"
        return "partial" if self.pages else "failed"

    @property
    def fields(self) -> list[Field]:
        return [item for page in self.pages for item in page.fields]
