"""One taxonomy of failures for the batch job, the endpoint and the notebook.

Inside the pipeline an error is data (`ErrorItem`, one column of a row); at the edges it is an exception
(`DocumentError` for a document, `ConfigError` for the person who typed the command).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where in the life of a document it failed."""

    MANIFEST = "manifest"
    FETCH = "fetch"
    READ = "read"
    OCR = "ocr"
    SER = "ser"
    RE = "re"
    FIELDS = "fields"


class Category(StrEnum):
    """What kind of failure it was; says what a person can do about it."""

    EMPTY = "empty"  # zero bytes, or a document without a page
    CORRUPT = "corrupt"  # truncated or damaged
    UNSUPPORTED = "unsupported"  # not a format that we read, or mislabelled as one
    ENCRYPTED = "encrypted"  # needs a password
    TOO_LARGE = "too_large"  # over a limit of bytes or pixels
    TOO_MANY_PAGES = "too_many_pages"
    TIMEOUT = "timeout"  # over the limit of seconds
    CRASH = "crash"  # killed its decoder (signal, memory limit)
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    UNAVAILABLE = "unavailable"  # storage did not answer; worth another try
    NO_ANNOTATION = "no_annotation"  # --ocr annotations, and the label file does not name this page
    INTERNAL = "internal"  # a defect of ours


RETRYABLE = frozenset({Category.UNAVAILABLE, Category.TIMEOUT, Category.CRASH, Category.INTERNAL})


@dataclass(frozen=True, slots=True)
class ErrorItem:
    """One failure, as it stands in the `error` column.

    `message` names the file or value and what would be right. `page` is the page index (0-based) when the failure
    concerns one page only, else None.
    """

    stage: Stage
    category: Category
    message: str
    retryable: bool
    page: int | None = None

    @classmethod
    def of(cls, stage: Stage, category: Category, message: str, *, page: int | None = None) -> ErrorItem:
        """Build an item whose `retryable` follows from its category."""
        return cls(stage, category, message, category in RETRYABLE, page)


class DocumentError(Exception):
    """A document (or one page of it) cannot be processed; carries the `ErrorItem` that its row will show."""

    def __init__(self, item: ErrorItem) -> None:
        super().__init__(f"{item.stage}/{item.category}: {item.message}")
        self.item = item

    def __reduce__(self) -> tuple[type[DocumentError], tuple[ErrorItem]]:
        return (DocumentError, (self.item,))  # picklable across the guarded child and Ray


def summary_of_bad_pages(bad_pages: list[ErrorItem]) -> ErrorItem | None:
    """One item for a document of which single pages failed: the first failure, and all page numbers."""
    if not bad_pages:
        return None
    bad_pages = sorted(bad_pages, key=lambda item: -1 if item.page is None else item.page)
    first = bad_pages[0]
    if len(bad_pages) == 1:
        return first
    numbers = [str(item.page) for item in bad_pages if item.page is not None]
    shown = ", ".join(numbers[:20]) + (", ..." if len(numbers) > 20 else "")
    retryable = any(item.retryable for item in bad_pages)
    message = f"{len(bad_pages)} pages failed ({shown}); the first: {first.message}"
    return ErrorItem(first.stage, first.category, message, retryable, first.page)


class ConfigError(ValueError):
    """Arguments or configuration are wrong: one line that names the value and what would be right. Exit status 2."""
