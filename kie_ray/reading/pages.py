"""What a decoder gives: a source of pages, each a stream of RGB rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from kie_ray.errors import Category, DocumentError, ErrorItem, Stage


@dataclass(frozen=True, slots=True)
class DecodedPage:
    """One page as RGB rows: the pieces of `rows` joined are height x width x 3 bytes, top row first."""

    width: int
    height: int
    rows: Iterator[bytes | memoryview]


class PageSource(Protocol):
    """An opened document. `page` decodes on demand and may be called in any order."""

    @property
    def page_count(self) -> int: ...

    def page(self, index: int) -> DecodedPage:
        """Decode page `index` (0-based).

        Raises:
            DocumentError: the page is damaged or over a limit. Any other exception means damage as well.
        """

    def close(self) -> None: ...


def unreadable(category: Category, message: str) -> DocumentError:
    """The error of a document or page that cannot be read."""
    return DocumentError(ErrorItem.of(Stage.READ, category, message))


def check_pixels(width: int, height: int, max_pixels: int, origin: str = "the header") -> None:
    """Refuse a page by the size that its header states, before any pixel is decoded.

    Raises:
        DocumentError: TOO_LARGE over `max_pixels`, CORRUPT for a size that is no size.
    """
    if width <= 0 or height <= 0:
        raise unreadable(Category.CORRUPT, f"{origin} gives a size of {width} x {height} pixels")
    if width * height > max_pixels:
        raise unreadable(
            Category.TOO_LARGE,
            f"{origin} gives {width} x {height} = {width * height} pixels, over the limit of max_pixels = {max_pixels}",
        )
