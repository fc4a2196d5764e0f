"""fields/, entities/ and errors/ derived from documents/: a group of files at a time, many groups as tasks of Ray.

Memory depends on the size of a batch and not on the number of documents. Everything is written into a staging folder
first, so that a crash anywhere is repaired by running again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from kie_ray.flat_tables import entities_table, errors_table, fields_table
from kie_ray.schemas import ENTITIES_SCHEMA, ERRORS_SCHEMA, FIELDS_SCHEMA
from pipelines.layout import TABLES, OutputLayout
from pipelines.parallel import in_threads
from pipelines.parquet_files import read_table
from pipelines.spread import spread
from pipelines.stored_tables import StoredTable, file_groups, read_group, stored_tables
from pipelines.table_writer import TableWriter
from pipelines.totals import Totals

GROUP_BYTES = 2**30
"""Of documents/ in one task, some 15 seconds of work. Each task writes files of its own, and fields/ has an eighth to a
fifth of these bytes: much smaller groups would leave files below 64 MB."""

_SCHEMAS = {"fields": FIELDS_SCHEMA, "entities": ENTITIES_SCHEMA, "errors": ERRORS_SCHEMA}
_COLUMNS = ["doc_id", "uri", "first_page", "last_page", "status", "error", "pages", "fields", "timings"]
_ERROR_ROWS = 100_000  # of one group that go to the driver, which makes large files of them


@dataclass
class LongDocument:
    """A document of several rows, at least one with an error. `error`: its first one, a row of ERRORS_SCHEMA."""

    first_page: int
    error: dict[str, Any]
    any_page: bool

    def merge(self, other: LongDocument) -> None:
        """Add what another of its rows says."""
        self.any_page |= other.any_page
        if other.first_page < self.first_page:
            self.first_page, self.error = other.first_page, other.error


@dataclass
class GroupResult:
    """What a group of files leaves to the driver. `errors`: rows of ERRORS_SCHEMA that are not written yet."""

    totals: Totals
    errors: pa.Table
    long_documents: dict[str, LongDocument] = field(default_factory=dict)


def write_tables(layout: OutputLayout, rows_per_file: int, tasks_at_a_time: int = 1) -> Totals:
    """Derive fields/, entities/ and errors/ from documents/ and count. The tables of an earlier try are replaced.

    One group of files is done in this process, several by tasks on Ray, which has to be connected then.
    """
    layout.delete_dir(layout.staging)
    groups = file_groups(stored_tables(layout), GROUP_BYTES)
    totals = Totals()
    long_documents: dict[str, LongDocument] = {}
    errors = TableWriter(layout, _staged(layout, "errors"), f"part-{len(groups):05d}", rows_per_file)
    try:
        calls = [(layout, group, number, rows_per_file) for number, group in enumerate(groups)]
        for done, result in enumerate(spread(derive_group, calls, tasks_at_a_time), 1):
            totals.merge(result.totals)
            errors.add(result.errors, done / len(groups))
            for doc_id, document in result.long_documents.items():
                long_documents.setdefault(doc_id, document).merge(document)
        late = _long_errors(layout, long_documents)
        totals.add_errors(late)
        errors.add(late, 1.0)
        errors.close()
    finally:
        errors.abandon()
    for name in TABLES:
        _replace(layout, name)
    layout.delete_dir(layout.staging)
    return totals


def derive_group(layout: OutputLayout, group: Sequence[StoredTable], number: int, rows_per_file: int) -> GroupResult:
    """Write the fields and lines of the documents in the files of `group` into the staging folder, as part `number`."""
    result = GroupResult(Totals(), ERRORS_SCHEMA.empty_table())
    prefix = f"part-{number:05d}"
    writers = {name: TableWriter(layout, _staged(layout, name), prefix, rows_per_file) for name in TABLES}
    try:
        for documents, done in read_group(layout, group, _COLUMNS):
            _derive(documents, result, writers, done)
        for writer in writers.values():
            writer.close()
    finally:
        for writer in writers.values():
            writer.abandon()
    return result


def _derive(documents: pa.Table, result: GroupResult, writers: Mapping[str, TableWriter], done: float) -> None:
    totals = result.totals
    totals.add_documents(documents)
    fields = fields_table(documents)
    totals.add_fields(fields)
    writers["fields"].add(fields, done)
    entities = entities_table(documents)
    totals.add_entities(entities)
    writers["entities"].add(entities, done)
    heads = documents.drop_columns(["pages", "fields", "timings"])
    single = pc.and_(pc.equal(heads["first_page"], 0), pc.is_null(heads["last_page"]))
    errors = errors_table(heads.filter(single))
    totals.add_errors(errors)
    result.errors = pa.concat_tables([result.errors, errors])
    if result.errors.num_rows >= _ERROR_ROWS:
        writers["errors"].add(result.errors, done)
        result.errors = ERRORS_SCHEMA.empty_table()
    # ranges of a long document end as one error row, wherever they are
    ranges = heads.filter(pc.and_(pc.invert(single), pc.is_valid(heads["error"])))
    for first_page, error in zip(ranges["first_page"].to_pylist(), errors_table(ranges).to_pylist(), strict=True):
        document = LongDocument(first_page, error, error["status"] == "partial")
        result.long_documents.setdefault(error["doc_id"], document).merge(document)


def _long_errors(layout: OutputLayout, documents: Mapping[str, LongDocument]) -> pa.Table:
    """One row of ERRORS_SCHEMA for each of `documents`, which is partial where any of its rows has pages."""
    undecided = pa.array([doc_id for doc_id, document in documents.items() if not document.any_page], pa.string())

    def readable(item: pafs.FileInfo) -> list[str]:
        rows = read_table(layout.filesystem, item.path, ["doc_id", "status"])
        found = pc.and_(pc.is_in(rows["doc_id"], undecided), pc.not_equal(rows["status"], "failed"))
        return list(rows["doc_id"].filter(found).to_pylist())

    # a second look is cheaper than to remember every long document: it is rare, and reads two small columns
    for doc_ids in in_threads(readable, layout.files(layout.documents) if len(undecided) else ()):
        for doc_id in doc_ids:
            documents[doc_id].any_page = True
    rows = [
        {**document.error, "status": "partial" if document.any_page else "failed"} for document in documents.values()
    ]
    return pa.Table.from_pylist(rows, schema=ERRORS_SCHEMA)


def _staged(layout: OutputLayout, name: str) -> str:
    return f"{layout.staging}/{name}"


def _replace(layout: OutputLayout, name: str) -> None:
    """Put the staged table in place file by file. run.json, written after all, says that the tables are complete."""
    target = layout.table(name)
    staged = layout.files(_staged(layout, name))
    if not staged:  # for readers to find the columns
        path = f"{_staged(layout, name)}/part-00000-000.parquet"
        pq.write_table(_SCHEMAS[name].empty_table(), path, filesystem=layout.filesystem)
        staged = layout.files(_staged(layout, name))
    layout.filesystem.create_dir(target, recursive=True)
    list(in_threads(layout.filesystem.delete_file, [item.path for item in layout.files(target)]))

    def move(item: pafs.FileInfo) -> None:
        layout.filesystem.move(item.path, f"{target}/{item.base_name}")

    list(in_threads(move, staged))
