"""Bytes of a document -> page images, one at a time, decoded in a guarded child process."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from kie_ray.errors import Category, DocumentError, ErrorItem, Stage
from kie_ray.limits import Limits
from kie_ray.reading.guard import DecoderDied, Guard
from kie_ray.records import PageImage

_MAX_DEATHS_PER_DOCUMENT = 3


class Reader:
    """Decodes documents in one persistent child process (started at the first document, restarted after a death).

    A file that hangs or kills its decoder costs one error, never the caller. While the caller works on a page the child
    decodes the next one; never more than one page ahead, so a long PDF is never in memory whole. For one thread:
    give each thread its own. `pdf_dpi`: resolution at which PDF pages are rendered.
    """

    def __init__(self, limits: Limits | None = None, pdf_dpi: int = 200) -> None:
        if pdf_dpi <= 0:
            raise ValueError(f"pdf_dpi = {pdf_dpi} must be positive")
        self._limits = limits or Limits()
        self._guard = Guard(self._limits, pdf_dpi)
        self._turn = 0

    @property
    def child_pid(self) -> int | None:
        """Process id of the decoder while it runs."""
        return self._guard.pid

    def read(
        self, data: bytes, source: str, first_page: int = 0, last_page: int | None = None
    ) -> Iterator[PageImage | ErrorItem]:
        """Pages `first_page` to `last_page` (0-based, both included, None: the last) of the document.

        A page that is damaged, too large, or that hung or killed the decoder is an `ErrorItem` with its index, and the
        others follow. A later `read` or `count_pages` of the same reader ends this iterator (RuntimeError).

        Raises (while iterating):
            DocumentError: the document as a whole cannot be read: EMPTY, CORRUPT, UNSUPPORTED, ENCRYPTED, TOO_LARGE,
                TOO_MANY_PAGES, TIMEOUT, CRASH; also when its only page fails, or after 3 deaths of the decoder.
        """
        count = self.count_pages(data, source)
        last = count - 1 if last_page is None else last_page
        if not 0 <= first_page <= last < count:
            message = f"pages {first_page} to {last} were asked for, the document has {count} (0 to {count - 1})"
            raise _document_error(source, Category.CORRUPT, message)
        turn = self._turn
        deaths = 0
        self._guard.request_page(first_page)
        for index in range(first_page, last + 1):
            if turn != self._turn:
                raise RuntimeError(f"{source}: this reader has begun another document; read one to its end first")
            result: PageImage | ErrorItem
            try:
                result = PageImage(self._guard.receive_page(), index, source)
            except DocumentError as error:
                result = _page_error(source, error.item.category, error.item.message, index, count)
            except DecoderDied as death:
                deaths += 1
                result = _page_error(source, death.category, death.message, index, count)
            if isinstance(result, ErrorItem):
                if count == 1:
                    raise _document_error(source, result.category, result.message.removeprefix(f"{source}: "))
                if deaths == _MAX_DEATHS_PER_DOCUMENT:
                    message = f"{deaths} pages hung or killed the decoder; the last one: {result.message}"
                    raise _document_error(source, result.category, message)
            if index < last:
                if self._guard.pid is None:
                    self._open(data, source)
                self._guard.request_page(index + 1)
            else:
                self._guard.release()
            yield result

    def count_pages(self, data: bytes, source: str) -> int:
        """Number of pages (frames) of the document, at least 1.

        Raises:
            DocumentError: as `read`, for everything that shows before the first page is decoded.
        """
        self._turn += 1
        if not data:
            raise _document_error(source, Category.EMPTY, "the file has no bytes")
        if len(data) > self._limits.max_bytes:
            message = f"{len(data)} bytes are over the limit of max_bytes = {self._limits.max_bytes}"
            raise _document_error(source, Category.TOO_LARGE, message)
        count = self._open(data, source)
        if count == 0:
            raise _document_error(source, Category.EMPTY, "the document has no page")
        if count > self._limits.max_pages:
            message = f"{count} pages are over the limit of max_pages = {self._limits.max_pages}"
            raise _document_error(source, Category.TOO_MANY_PAGES, message)
        return count

    def close(self) -> None:
        """End the child process. The reader may be used again: it starts another one."""
        self._turn += 1
        self._guard.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, data: bytes, source: str) -> int:
        try:
            return self._guard.open(data)
        except DecoderDied as death:
            raise _document_error(source, death.category, death.message) from death
        except DocumentError as error:
            raise _document_error(source, error.item.category, error.item.message) from error


def _document_error(source: str, category: Category, message: str) -> DocumentError:
    return DocumentError(ErrorItem.of(Stage.READ, category, f"{source}: {message}"))


def _page_error(source: str, category: Category, message: str, index: int, count: int) -> ErrorItem:
    where = f"page {index + 1} of {count}: " if count > 1 else ""
    return ErrorItem.of(Stage.READ, category, f"{source}: {where}{message}", page=index)
