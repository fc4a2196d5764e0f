"""The files of documents/ once they are there: in groups of about equal size, read a batch at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from pipelines.layout import OutputLayout
from pipelines.parallel import in_threads
from pipelines.parquet_files import read_batches, read_table

GROUP_FILES = 1024

_BATCH_BYTES = 16 * 2**20  # as encoded in Parquet; three to five times as much in memory
_BATCH_ROWS = 65_536


class StoredTable(NamedTuple):
    """One file of documents/, as tasks are told of it: Arrow's own `FileInfo` does not travel."""

    path: str
    size: int


def stored_tables(layout: OutputLayout) -> list[StoredTable]:
    """All files of documents/, sorted by path."""
    return [StoredTable(item.path, item.size) for item in layout.files(layout.documents)]


def file_groups(files: Sequence[StoredTable], group_bytes: int) -> list[list[StoredTable]]:
    """Neighbouring files in groups of about equal bytes: some `group_bytes` or less, and at most `GROUP_FILES`."""
    total = sum(item.size for item in files)
    share = total / max(1, math.ceil(total / group_bytes))
    groups: list[list[StoredTable]] = [[]]
    begun, size = 0, 0
    for item in files:
        # a file goes where its middle lies, so that no group is left over at the end
        if groups[-1] and (size + item.size / 2 > share * (begun + 1) or len(groups[-1]) >= GROUP_FILES):
            groups.append([])
            begun += 1
        groups[-1].append(item)
        size += item.size
    return groups


def read_group(
    layout: OutputLayout, group: Sequence[StoredTable], columns: Sequence[str] | None = None
) -> Iterator[tuple[pa.Table, float]]:
    """The rows of the files of `group` in batches, each with the share of the group that has been read by then.

    Raises:
        OSError, pa.ArrowInvalid: as `read_batches`.
    """
    total = sum(item.size for item in group)
    read = 0
    for item in group:
        for batch, share in read_batches(layout.filesystem, item.path, columns, _BATCH_ROWS, _BATCH_BYTES):
            yield pa.Table.from_batches([batch]), (read + share * item.size) / total
        read += item.size


def row_ids(layout: OutputLayout, paths: Iterable[str]) -> Iterator[list[str]]:
    """The row ids of each file, several files read at a time."""

    def read(path: str) -> list[str]:
        return list(read_table(layout.filesystem, path, ["row_id"])["row_id"].to_pylist())

    return in_threads(read, paths)
