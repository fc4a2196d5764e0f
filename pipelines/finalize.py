"""After the last row: remove what no checkpoint vouches for, and check that every row is there exactly once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

import pyarrow.compute as pc
import pyarrow.fs as pafs

from pipelines.failures import IncompleteRun
from pipelines.ids import SetDigest
from pipelines.layout import OutputLayout
from pipelines.manifest import read_rows
from pipelines.merge import merged_names
from pipelines.parallel import in_threads
from pipelines.parquet_files import read_table
from pipelines.stored_tables import row_ids

_NAMED = 5


def remove_uncommitted(layout: OutputLayout, fingerprint: str) -> int:
    """Delete data files that neither a committed checkpoint nor a merge vouches for, and return their number.

    Ray removes what a killed write left behind, but an actor that outlives its driver for a moment can still write
    after that. Its file has no committed checkpoint of the same name, so it can be told apart.
    """
    committed = {
        _stem(item.path)
        for item in layout.files(layout.checkpoint(fingerprint))
        if not item.path.endswith(".pending.parquet")
    }
    merged = merged_names(layout)
    removed = 0
    for item in layout.files(layout.documents):
        if item.base_name in merged:
            continue
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
    for ids in _row_ids(layout, layout.documents):
        found.update(ids)
    if found.hex() == expected:
        return
    # only now, on the way to an error, memory may grow with the number of rows
    counts = Counter(chain.from_iterable(_row_ids(layout, layout.documents)))
    wanted = set(chain.from_iterable(_row_ids(layout, layout.manifest)))
    missing = sorted(wanted - counts.keys())
    double = sorted(row for row, count in counts.items() if count > 1)
    unknown = sorted(counts.keys() - wanted)
    raise IncompleteRun(
        f"{layout.shown(layout.documents)} holds {found.count} rows for {len(wanted)} of the manifest: "
        f"{len(missing)} missing{_examples(missing)}, {len(double)} more than once{_examples(double)}, "
        f"{len(unknown)} unknown{_examples(unknown)}; run again with --restart"
    )


def _row_ids(layout: OutputLayout, folder: str) -> Iterator[list[str]]:
    return row_ids(layout, (item.path for item in layout.files(folder)))


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].removesuffix(".parquet")


def _examples(items: list[str]) -> str:
    return f" ({', '.join(items[:_NAMED])}{', ...' if len(items) > _NAMED else ''})" if items else ""


def preview_documents(layout: OutputLayout, count: int) -> Iterator[Mapping[str, Any]]:
    """The first `count` rows with pages, and after them up to `count` that failed."""
    readable = (row for row in read_rows(layout, layout.documents, batch_size=16) if row["pages"])
    yield from islice(readable, count)

    def failures(item: pafs.FileInfo) -> list[dict[str, Any]]:
        rows = read_table(layout.filesystem, item.path, ["doc_id", "uri", "status", "error"])
        failed = rows.filter(pc.equal(rows["status"], "failed")).slice(0, count).to_pylist()
        return [{**row, "pages": [], "fields": [], "timings": {}} for row in failed]

    yield from islice(chain.from_iterable(in_threads(failures, layout.files(layout.documents))), count)
