"""SER and RE stage: documents with lines in, documents with labels, links and fields out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from kie_ray.errors import Category, ErrorItem, Stage
from kie_ray.records import Document, Page
from kie_ray.schemas import DOCUMENT_SCHEMA, PICTURED_SCHEMA, document_to_row, row_to_document
from pipelines.attempts import AttemptLedger
from pipelines.config import ExtractConfig
from pipelines.counters import Counts
from pipelines.isolation import call_isolated
from pipelines.orphans import die_with_parent
from pipelines.tables import JobContext, assigned_device, table_rows, to_tables

if TYPE_CHECKING:
    from kie_ray.models.bundle_info import Task

logger = logging.getLogger(__name__)

MODEL_STAGES = ("ser", "re", "fields")


class Annotator(Protocol):
    """What this stage needs of `kie_ray.annotator.Annotator`."""

    timings: dict[str, float]

    def annotate(self, pages: Sequence[Page]) -> None:
        """Fill labels, links and fields in place; add the seconds to `timings`."""
        ...


class KieStage:
    """Runs the models over pages of several documents at a time. Rows without pages pass untouched.

    A call that fails is repeated page by page; a page that fails alone is taken out of its document, which then names
    it in `error`, with `stage`. An exception never leaves `process`. With `keep_pixels` the rows keep their `pixels`,
    for another such stage.
    """

    def __init__(
        self,
        annotator: Annotator,
        *,
        pages_per_call: int = 8,
        ledger: AttemptLedger | None = None,
        stage: Stage = Stage.SER,
        keep_pixels: bool = False,
    ) -> None:
        self._annotator = annotator
        self._pages_per_call = pages_per_call
        self._ledger = ledger
        self._stage = stage
        self._keep_pixels = keep_pixels

    def process(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Rows of DOCUMENT_SCHEMA or PICTURED_SCHEMA to rows of DOCUMENT_SCHEMA, in the same order."""
        group: list[tuple[Mapping[str, Any], Document]] = []
        pages = 0
        for row in rows:
            if not row["pages"]:
                yield from self._annotate(group)
                group, pages = [], 0
                yield dict(row)
                continue
            alone = self._ledger is not None and self._ledger.is_suspect(row["row_id"])
            if group and (alone or pages + len(row["pages"]) > self._pages_per_call):
                yield from self._annotate(group)
                group, pages = [], 0
            group.append((row, row_to_document(row)))
            pages += len(row["pages"])
            if alone:
                yield from self._annotate(group)
                group, pages = [], 0
        yield from self._annotate(group)

    def _annotate(self, group: list[tuple[Mapping[str, Any], Document]]) -> Iterator[dict[str, Any]]:
        for row, document in group:
            if self._ledger is not None and self._ledger.is_killer(row["row_id"]):
                message = "not tried again: the models' process was killed by this document every time"
                document.error = ErrorItem.of(self._stage, Category.CRASH, message)
                document.pages = []
        working = [(row, document) for row, document in group if document.pages]
        row_ids = [row["row_id"] for row, _ in working]
        if self._ledger is not None:
            self._ledger.begin(row_ids)
        self._annotate_documents([document for _, document in working])
        if self._ledger is not None:
            self._ledger.end(row_ids)
        for row, document in group:
            yield document_to_row(document, row, pixels=self._keep_pixels)

    def _annotate_documents(self, documents: list[Document]) -> None:
        pages = [page for document in documents for page in document.pages]
        before = dict(self._annotator.timings)
        for start in range(0, len(pages), self._pages_per_call):
            self._annotate_pages(documents, pages[start : start + self._pages_per_call])
        for document in documents:
            share = len(document.pages) / max(1, len(pages))
            for stage in MODEL_STAGES:
                spent = self._annotator.timings.get(stage, 0.0) - before.get(stage, 0.0)
                document.timings[stage] = document.timings.get(stage, 0.0) + spent * share

    def _annotate_pages(self, documents: list[Document], pages: list[Page]) -> None:
        def annotate(some: Sequence[Page]) -> Sequence[Page]:
            for page in some:  # a call that failed half-way may have left some
                page.links, page.fields = [], []
            self._annotator.annotate(some)
            return some

        results = call_isolated(annotate, pages, stage=self._stage, place=lambda page: (page.source, page.index))
        for page, found in zip(pages, results, strict=True):
            if isinstance(found, ErrorItem):
                _take_out(documents, page, found)


def _take_out(documents: list[Document], page: Page, error: ErrorItem) -> None:
    for document in documents:
        if any(item is page for item in document.pages):
            document.pages = [item for item in document.pages if item is not page]
            document.error = document.error or error


class KieActor:
    """Adapter of `KieStage` for `map_batches`: loads the models of `tasks` once an actor.

    The last one on a document's way counts the rows that leave it.
    """

    def __init__(self, job: JobContext, threads: int, tasks: tuple[Task, ...] = ("ser", "re")) -> None:
        import torch

        die_with_parent()
        torch.set_num_threads(threads)
        config = job.config
        name = tasks[0]
        pool = config.pools.ser if name == "ser" else config.pools.re
        last = "re" in tasks
        keep_pixels = job.image != "none" and not last
        self._counts = job.counts if last else None
        self._stage = KieStage(
            load_annotator(job.bundle, config, assigned_device(config.device), tasks),
            pages_per_call=pool.batch_size,
            ledger=AttemptLedger(job.invocation, name, config.max_attempts),
            stage=Stage(name),
            keep_pixels=keep_pixels,
        )
        self._schema = PICTURED_SCHEMA if keep_pixels else DOCUMENT_SCHEMA

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        counts = Counts()
        yield from to_tables(self._counted(table, counts), self._schema)
        if self._counts is not None:
            self._counts.add.remote(counts)

    def _counted(self, table: pa.Table, counts: Counts) -> Iterator[dict[str, Any]]:
        for row in self._stage.process(table_rows(table)):
            if self._counts is not None:
                counts.add([row])
                log_failure(row)
            yield row


def log_failure(row: Mapping[str, Any]) -> None:
    """One warning for a row with an error, whose `extra` are keys of their own where logs are written as JSON."""
    if (error := row["error"]) is not None:
        found = {"doc_id": row["doc_id"], "uri": row["uri"], "stage": error["stage"], "category": error["category"]}
        message = error["message"] if row["uri"] in error["message"] else f"{row['uri']}: {error['message']}"
        logger.warning("%s, %s in %s: %s", row["status"], error["category"], error["stage"], message, extra=found)


def load_annotator(
    bundle: str | None, config: ExtractConfig, device: str, tasks: tuple[Task, ...] = ("ser", "re")
) -> Annotator:
    """The models of `bundle` (None: the one in the package) for `tasks`, with what `config` says of them."""
    import torch

    from kie_ray import loading
    from kie_ray.models.bundle import Bundle

    opened = Bundle.load(bundle, verify=False)  # the driver has verified it
    if config.model.re_threshold is not None:
        opened = replace(opened, info=opened.info.model_copy(update={"re_threshold": config.model.re_threshold}))
    if config.model.runtime == "onnx" and config.device == "auto":
        device = "cpu"
    wanted = (config.pools.ser if "ser" in tasks else config.pools.re).dtype
    automatic = torch.bfloat16 if device == "cuda" else torch.float32
    dtype = automatic if wanted == "auto" else getattr(torch, wanted)
    return loading.load_annotator(opened, device, dtype, tasks, config.model.runtime)
