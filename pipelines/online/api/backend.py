"""What the HTTP side asks of whatever runs the models: one protocol, and its exceptions with an HTTP status each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kie_ray.records import Document, Page


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One bundle that the endpoint serves, as `name`. `bundle`: what it calls itself."""

    name: str
    fingerprint: str
    tasks: Sequence[str]
    labels: Sequence[str]
    default: bool
    sees_images: bool
    ocr: str
    bundle: str


@dataclass(frozen=True, slots=True)
class Work:
    """One document to extract.

    `data`: bytes of the file; None where `pages` alone say what is on the pages (then no model may see images).
    `pages`: given lines in place of OCR, one `Page` a page of the document, in order; None: OCR reads them. Where
    `data` is there too, width and height of the pages are taken from the file (they are 0 here).
    `pictures`: also return a JPEG picture of every page.
    """

    name: str
    model: str
    data: bytes | None = None
    pages: Sequence[Page] | None = None
    pictures: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as a JPEG, shrunk to at most 1600 pixels; `width` and `height` are the picture's own pixels."""

    jpeg: bytes
    width: int
    height: int


@dataclass(slots=True)
class Extracted:
    """What became of a `Work`. `document.error` says what is wrong with a bad document: it is no exception.

    `pictures`: by page index, empty where none were asked for.
    """

    document: Document
    pictures: dict[int, Picture] = field(default_factory=dict)


class Backend(Protocol):
    """Runs documents through OCR and models. All methods may be called concurrently."""

    async def extract(self, work: Work) -> Extracted:
        """Everything about one document. Raises Busy, TooSlow, NotReady, or a RequestError."""
        ...

    async def draw(self, work: Work, page: int) -> tuple[bytes, Document]:
        """PNG of page `page` (0-based) with its entities and links drawn on it, and the document of that page.

        Raises as `extract`; PageOutOfRange where the document has no such page; DocumentError for a bad document.
        """
        ...

    async def models(self) -> Sequence[ModelInfo]:
        """The bundles by name, the default one first. Asked once a request, so it must be cheap. Raises NotReady."""
        ...

    async def check(self) -> None:
        """Return when OCR and the default model answer. Raises NotReady."""
        ...


class Busy(Exception):
    """No room for another request now (503); `retry_after`: seconds."""

    def __init__(self, retry_after: float = 1.0) -> None:
        super().__init__("the server is busy")
        self.retry_after = retry_after


class TooSlow(Exception):
    """The document was not finished within `seconds` (504)."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not finished within {seconds:g} seconds")
        self.seconds = seconds


class NotReady(Exception):
    """OCR or models do not answer yet, or no more (503)."""


class RequestError(ValueError):
    """The request asks for something that is not there (422)."""


class UnknownModel(RequestError):
    """No bundle of that name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"model {name!r} is not served here; there are: {', '.join(known)}")


class NeedsImage(RequestError):
    """The model looks at page images, and the request has none."""

    def __init__(self, name: str) -> None:
        super().__init__(f"model {name!r} looks at page images: send the file, not only its lines")


class PageOutOfRange(RequestError):
    """The document has no such page."""

    def __init__(self, page: int, count: int) -> None:
        super().__init__(f"page = {page}: the document has pages 0 to {count - 1}")


class WrongPageCount(RequestError):
    """Lines are given for another number of pages than the document has."""

    def __init__(self, given: int, count: int) -> None:
        super().__init__(f"annotations: lines of {given} pages are given, the document has {count}")
