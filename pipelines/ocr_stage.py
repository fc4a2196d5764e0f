"""OCR stage: compressed bytes in, documents with lines out.

Pixels never leave the actor that decoded them, but for the small picture of a page that a visual model looks at.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from kie_ray.encoding.page_image import ImageKind, read_page
from kie_ray.errors import Category, DocumentError, ErrorItem, Stage, summary_of_bad_pages
from kie_ray.ocr import OcrEngine, build_engine
from kie_ray.reading import Reader, media_type
from kie_ray.records import Document, Page, PageImage
from kie_ray.schemas import DOCUMENT_SCHEMA, PICTURED_SCHEMA, document_to_row, error_from_row
from pipelines.attempts import AttemptLedger
from pipelines.isolation import call_isolated
from pipelines.orphans import die_with_parent
from pipelines.tables import JobContext, assigned_device, table_rows, to_tables

logger = logging.getLogger(__name__)


@dataclass
class _Work:
    """One document between its first decoded page and its finished row."""

    row: Mapping[str, Any]
    document: Document
    bad_pages: list[ErrorItem] = field(default_factory=list)
    media_type: str | None = None
    waiting: int = 0
    ended: bool = False
    result: dict[str, Any] | None = None


@dataclass
class _Decoded:
    """What the decoding thread hands over: a page, a broken page, or the end of a document."""

    work: _Work
    page: PageImage | None = None
    error: ErrorItem | None = None
    end: bool = False


class OcrStage:
    """Owns one reader and one engine. While the engine reads pages, a thread decodes the next ones.

    `pages_per_call` pages go to the engine at once, also across documents; the first page goes alone, so that the
    engine does not wait for the second. A call that fails is repeated page by page, so that a page costs nobody but
    itself. An exception never leaves `process`. Where `image` is not none, every page's `pixels` go with its row.
    """

    def __init__(
        self,
        reader: Reader,
        engine: OcrEngine,
        *,
        pages_per_call: int = 1,
        ledger: AttemptLedger | None = None,
        provenance: Mapping[str, Any] | None = None,
        image: ImageKind = "none",
    ) -> None:
        self._reader = reader
        self._engine = engine
        self._pages_per_call = pages_per_call
        self._ledger = ledger
        self._provenance = provenance
        self._image: ImageKind = image

    def process(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Rows of FETCHED_SCHEMA to rows of DOCUMENT_SCHEMA (PICTURED_SCHEMA); one for each, in the same order.

        The order matters when an actor dies: Ray repeats its task and drops as many blocks of what comes as it has had.
        """
        decoded: queue.Queue[_Decoded | None] = queue.Queue(maxsize=self._pages_per_call)
        stop = threading.Event()
        thread = threading.Thread(target=self._decode, args=(rows, decoded, stop), name="decode", daemon=True)
        thread.start()
        batch: list[tuple[_Work, PageImage]] = []
        order: deque[_Work] = deque()
        wanted = 1
        try:
            while (item := decoded.get()) is not None:
                work = item.work
                if not order or order[-1] is not work:
                    order.append(work)
                if item.error is not None:
                    work.bad_pages.append(item.error)
                if item.page is not None:
                    suspect = self._ledger is not None and self._ledger.is_suspect(work.row["row_id"])
                    if suspect and batch and batch[-1][0] is not work:
                        self._recognise(batch)
                    batch.append((work, item.page))
                    work.waiting += 1
                    if suspect or len(batch) >= wanted:
                        self._recognise(batch)
                        wanted = self._pages_per_call
                if item.end:
                    work.ended = True
                    if work.waiting == 0:
                        work.result = self._finished(work)
                yield from _ready(order)
            self._recognise(batch)
            yield from _ready(order)
        finally:
            stop.set()
            while thread.is_alive():
                with contextlib.suppress(queue.Empty):
                    decoded.get(timeout=0.05)
            thread.join()

    def _decode(
        self, rows: Iterable[Mapping[str, Any]], decoded: queue.Queue[_Decoded | None], stop: threading.Event
    ) -> None:
        for row in rows:
            if stop.is_set():
                break
            work = _Work(row, Document(row["doc_id"], row["uri"]))
            work.document.timings["fetch"] = row["fetch_seconds"] or 0.0
            work.document.error = error_from_row(row["error"])
            if work.document.error is None:
                started = time.perf_counter()
                try:
                    work.media_type = media_type(row["data"])
                    pages = self._reader.read(row["data"], row["uri"], row["first_page"] or 0, row["last_page"])
                    while not stop.is_set():
                        started = time.perf_counter()
                        item = next(pages, None)
                        self._add_time(work, "read", started)
                        started = time.perf_counter()
                        if item is None:
                            break
                        if isinstance(item, ErrorItem):
                            decoded.put(_Decoded(work, error=item))
                        else:
                            decoded.put(_Decoded(work, page=item))
                        started = time.perf_counter()
                except DocumentError as error:
                    self._add_time(work, "read", started)
                    work.document.error = error.item
                except Exception as error:
                    logger.exception("reading of %s failed", row["uri"])
                    work.document.error = _internal(Stage.READ, error)
            decoded.put(_Decoded(work, end=True))
        decoded.put(None)

    def _recognise(self, batch: list[tuple[_Work, PageImage]]) -> None:
        """Read the pages of `batch`, empty it, and finish the documents that are complete with it."""
        taken = list(batch)
        batch.clear()
        allowed = [entry for entry in taken if not self._quarantined(*entry)]
        row_ids = [work.row["row_id"] for work, _ in allowed]
        if self._ledger is not None:
            self._ledger.begin(row_ids)
        results = call_isolated(
            self._timed_call, allowed, stage=Stage.OCR, place=lambda entry: (entry[1].source, entry[1].index)
        )
        for (work, _), found in zip(allowed, results, strict=True):
            if isinstance(found, ErrorItem):
                work.bad_pages.append(found)
            else:
                work.document.pages.append(found)
        if self._ledger is not None:
            self._ledger.end(row_ids)
        for work, _ in taken:
            work.waiting -= 1
            if work.ended and work.waiting == 0:
                work.result = self._finished(work)

    def _quarantined(self, work: _Work, image: PageImage) -> bool:
        if self._ledger is None or not self._ledger.is_killer(work.row["row_id"]):
            return False
        message = f"page {image.index} was not tried again: work on this document has killed its process every time"
        work.bad_pages.append(ErrorItem.of(Stage.OCR, Category.CRASH, message, page=image.index))
        return True

    def _timed_call(self, entries: Sequence[tuple[_Work, PageImage]]) -> list[Page]:
        if not entries:
            return []
        started = time.perf_counter()
        try:
            images = [image for _, image in entries]
            results = self._engine.read_lines(images)
            if len(results) != len(images):
                raise RuntimeError(f"{self._engine.name} gave {len(results)} results for {len(images)} pages")
            return [read_page(image, lines, self._image) for image, lines in zip(images, results, strict=True)]
        finally:
            share = (time.perf_counter() - started) / len(entries)
            for work, _ in entries:
                timings = work.document.timings
                timings["ocr"] = timings.get("ocr", 0.0) + share

    @staticmethod
    def _add_time(work: _Work, stage: str, started: float) -> None:
        timings = work.document.timings
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - started

    def _finished(self, work: _Work) -> dict[str, Any]:
        document = work.document
        document.pages.sort(key=lambda page: page.index)
        document.error = document.error or summary_of_bad_pages(work.bad_pages)
        if document.error is None and not document.pages:
            document.error = ErrorItem.of(Stage.READ, Category.EMPTY, f"{document.uri} has no page")
        origin = work.row if work.media_type is None else {**work.row, "media_type": work.media_type}
        return document_to_row(document, origin, self._provenance, pixels=self._image != "none")


def _ready(order: deque[_Work]) -> Iterator[dict[str, Any]]:
    while order and (row := order[0].result) is not None:
        order.popleft()
        yield row


def _internal(stage: Stage, error: Exception, page: int | None = None) -> ErrorItem:
    """The type only: an exception's text may hold paths or contents that do not belong into a table."""
    return ErrorItem.of(stage, Category.INTERNAL, f"{type(error).__name__} in the {stage} stage", page=page)


class OcrActor:
    """Adapter of `OcrStage` for `map_batches`: builds reader and engine once an actor."""

    def __init__(self, job: JobContext, threads: int) -> None:
        die_with_parent()
        config = job.config
        settings = config.ocr.model_copy(update={"threads": threads, "device": assigned_device(config.ocr.device)})
        self._stage = OcrStage(
            Reader(config.limits, config.pdf_dpi),
            build_engine(settings),
            pages_per_call=config.pools.ocr.batch_size,
            ledger=AttemptLedger(job.invocation, "ocr", config.max_attempts),
            provenance=job.provenance,
            image=job.image,
        )
        self._schema = DOCUMENT_SCHEMA if job.image == "none" else PICTURED_SCHEMA

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield from to_tables(self._stage.process(table_rows(table)), self._schema)
