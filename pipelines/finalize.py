"""After the last row: check that every row is there exactly once, derive the flat tables, write run.json last.

Everything streams: memory does not depend on the number of documents. A crash anywhere is repaired by running again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kie_ray.schemas import ENTITIES_SCHEMA, ERRORS_SCHEMA, FIELDS_SCHEMA, TIMED_STAGES, entity_rows, field_rows
from pipelines.ids import SetDigest
from pipelines.layout import TABLES, OutputLayout
from pipelines.manifest import read_rows

_SCHEMAS = {"fields": FIELDS_SCHEMA, "entities": ENTITIES_SCHEMA, "errors": ERRORS_SCHEMA}
_WRITE_ROWS = 4096
_READ_ROWS = 8  # a row may hold 50 pages, and as Python objects they are large
_NAMED = 5


class IncompleteRun(RuntimeError):
    """documents/ does not hold every row of the manifest exactly once. Nothing was derived from it."""


@dataclass
class Totals:
    """What finalize counted in documents/."""

    documents: int = 0
    failed: int = 0
    partial: int = 0
    pages: int = 0
    fields: int = 0
    entities: int = 0
    busy: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TIMED_STAGES, 0.0))
    errors_by_category: Counter[str] = field(default_factory=Counter)

    @property
    def succeeded(self) -> int:
        return self.documents - self.failed

    @property
    def error_rate(self) -> float:
        return self.failed / self.documents if self.documents else 0.0


def remove_uncommitted(layout: OutputLayout, fingerprint: str) -> int:
    """Delete data files that no committed checkpoint vouches for, and return their number.

    Ray removes what a killed write left behind, but an actor that outlives its driver for a moment can still write
    after that. Its file has no committed checkpoint of the same name, so it can be told apart.
    """
    committed = {
        _stem(item.path)
        for item in layout.files(layout.checkpoint(fingerprint))
        if not item.path.endswith(".pending.parquet")
    }
    removed = 0
    for item in layout.files(layout.documents):
        # Ray calls the checkpoint of `<uuid>_<task>-<i>.parquet` `<uuid>_<task>.parquet`
        if re.sub(r"-\d+$", "", _stem(item.path)) not in committed:
            layout.filesystem.delete_file(item.path)
            removed += 1
    return removed


def verify_rows(layout: OutputLayout, expected: str) -> None:
    """Compare the row ids of documents/ with the digest of the manifest's.

    Raises:
        IncompleteRun: with the numbers of missing and double rows and the first of them.
    """
    found = SetDigest()
    for row in read_rows(layout, layout.documents, ["row_id"], batch_size=8192):
        found.add(row["row_id"])
    if found.hex() == expected:
        return
    # only now, on the way to an error, memory may grow with the number of rows
    counts = Counter(row["row_id"] for row in read_rows(layout, layout.documents, ["row_id"]))
    wanted = {row["row_id"] for row in read_rows(layout, layout.manifest, ["row_id"])}
    missing = sorted(wanted - counts.keys())
    double = sorted(row for row, count in counts.items() if count > 1)
    unknown = sorted(counts.keys() - wanted)
    raise IncompleteRun(
        f"{layout.shown(layout.documents)} holds {found.count} rows for {len(wanted)} of the manifest: "
        f"{len(missing)} missing{_examples(missing)}, {len(double)} more than once{_examples(double)}, "
        f"{len(unknown)} unknown{_examples(unknown)}; run again with --restart"
    )


def write_tables(layout: OutputLayout, rows_per_file: int) -> Totals:
    """Derive fields/, entities/ and errors/ from documents/ and count. The tables of an earlier try are replaced."""
    totals = Totals()
    layout.delete_dir(layout.staging)
    writers = {name: _TableWriter(layout, name, rows_per_file) for name in TABLES}
    long_documents: dict[str, _LongDocument] = {}
    try:
        for row in read_rows(layout, layout.documents, batch_size=_READ_ROWS):
            totals.pages += len(row["pages"] or ())
            for stage, seconds in (row["timings"] or {}).items():
                totals.busy[stage] += seconds or 0.0
            for item in field_rows(row):
                writers["fields"].add(item)
                totals.fields += 1
            for item in entity_rows(row):
                writers["entities"].add(item)
                totals.entities += 1
            totals.documents += row["first_page"] == 0
            if row["first_page"] == 0 and row["last_page"] is None:
                if row["error"] is not None:
                    _count_error(totals, writers["errors"], row, row["status"])
            else:
                # ranges of a long document end as one error row; only long documents are held in memory
                long_documents.setdefault(row["doc_id"], _LongDocument()).add(row)
        for document in long_documents.values():
            if document.first_error is not None:
                status = "partial" if document.any_page else "failed"
                _count_error(totals, writers["errors"], document.first_error, status)
    finally:
        for writer in writers.values():
            writer.close()
    for name in TABLES:
        _replace(layout, name)
    layout.delete_dir(layout.staging)
    return totals


@dataclass
class _LongDocument:
    first_error: Mapping[str, Any] | None = None
    any_page: bool = False

    def add(self, row: Mapping[str, Any]) -> None:
        self.any_page |= bool(row["pages"])
        if row["error"] is not None and (
            self.first_error is None or row["first_page"] < self.first_error["first_page"]
        ):
            self.first_error = {name: row[name] for name in ("doc_id", "uri", "first_page", "error")}


def _count_error(totals: Totals, writer: _TableWriter, row: Mapping[str, Any], status: str) -> None:
    totals.failed += 1
    totals.partial += status == "partial"
    totals.errors_by_category[row["error"]["category"]] += 1
    writer.add({"doc_id": row["doc_id"], "uri": row["uri"], "status": status, **row["error"]})


class _TableWriter:
    """Writes one table as part-00000.parquet, ... into the staging folder; one file at least, for readers to find."""

    def __init__(self, layout: OutputLayout, name: str, rows_per_file: int) -> None:
        self._layout = layout
        self._schema = _SCHEMAS[name]
        self._folder = f"{layout.staging}/{name}"
        self._rows_per_file = rows_per_file
        self._rows: list[Mapping[str, Any]] = []
        self._writer: pq.ParquetWriter | None = None
        self._written = 0
        self._parts = 0
        layout.filesystem.create_dir(self._folder, recursive=True)

    def add(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _WRITE_ROWS:
            self._flush()

    def close(self) -> None:
        if self._rows or self._parts == 0:
            self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if self._writer is None:
            path = f"{self._folder}/part-{self._parts:05d}.parquet"
            self._writer = pq.ParquetWriter(path, self._schema, filesystem=self._layout.filesystem, compression="zstd")
            self._parts += 1
            self._written = 0
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._written += len(self._rows)
        self._rows = []
        if self._written >= self._rows_per_file:
            self._writer.close()
            self._writer = None


def _replace(layout: OutputLayout, name: str) -> None:
    """Put the staged table in place file by file. run.json, written after all, says that the tables are complete."""
    target = layout.table(name)
    for item in layout.files(target):
        layout.filesystem.delete_file(item.path)
    layout.filesystem.create_dir(target, recursive=True)
    for item in layout.files(f"{layout.staging}/{name}"):
        layout.filesystem.move(item.path, f"{target}/{item.base_name}")


def run_report(totals: Totals, seconds: float, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Content of run.json."""
    return {
        "documents": totals.documents,
        "succeeded": totals.succeeded,
        "failed": totals.failed,
        "partial": totals.partial,
        "pages": totals.pages,
        "fields": totals.fields,
        "entities": totals.entities,
        "seconds": round(seconds, 3),
        "pages_per_second": round(totals.pages / seconds, 4) if seconds > 0 else 0.0,
        "stages": {
            stage: {
                "busy_seconds": round(busy, 3),
                "pages_per_second": round(totals.pages / busy, 3) if busy > 0 else 0.0,
            }
            for stage, busy in totals.busy.items()
        },
        "errors": dict(totals.errors_by_category.most_common()),
        **extra,
    }


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].removesuffix(".parquet")


def _examples(items: list[str]) -> str:
    return f" ({', '.join(items[:_NAMED])}{', ...' if len(items) > _NAMED else ''})" if items else ""


def preview_documents(layout: OutputLayout, count: int) -> Iterator[Mapping[str, Any]]:
    """The first `count` rows with pages, and after them up to `count` that failed."""
    shown = 0
    failed: list[Mapping[str, Any]] = []
    for row in read_rows(layout, layout.documents, batch_size=16):
        if row["pages"] and shown < count:
            shown += 1
            yield row
        elif not row["pages"] and len(failed) < count:
            failed.append(row)
        if shown >= count and len(failed) >= count:
            break
    yield from failed
