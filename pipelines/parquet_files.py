"""Reading one Parquet file of a run, or of the user, with another try where the storage failed in passing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from kie_ray.storage.patience import Patience, retried


@retried
def read_table(filesystem: pafs.FileSystem, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The whole file, or these columns of it.

    Raises:
        OSError, pa.ArrowInvalid: it is not there, cannot be read or is no Parquet file.
    """
    with pq.ParquetFile(path, filesystem=filesystem) as file:
        return file.read(columns=columns)


@retried
def read_schema(filesystem: pafs.FileSystem, path: str) -> pa.Schema:
    """The columns, from the footer alone.

    Raises:
        OSError, pa.ArrowInvalid: as `read_table`.
    """
    return pq.read_schema(path, filesystem=filesystem)


@retried
def count_rows(filesystem: pafs.FileSystem, path: str) -> int:
    """Number of rows, from the footer alone.

    Raises:
        OSError, pa.ArrowInvalid: as `read_table`.
    """
    with pq.ParquetFile(path, filesystem=filesystem) as file:
        return int(file.metadata.num_rows)


def read_batches(
    filesystem: pafs.FileSystem,
    path: str,
    columns: Sequence[str] | None = None,
    most_rows: int = 1024,
    most_bytes: float = math.inf,
) -> Iterator[tuple[pa.RecordBatch, float]]:
    """Batches of at most `most_rows` rows and about `most_bytes` (as encoded), each with the share read by then.

    A row group is in memory at a time on an object store, where every column would be a request of its own otherwise.

    Raises:
        OSError, pa.ArrowInvalid: as `read_table`.
    """
    remote = not isinstance(filesystem, pafs.LocalFileSystem)
    with retried(pq.ParquetFile)(path, filesystem=filesystem, pre_buffer=remote) as file:
        read = 0
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            rows = math.ceil(min(most_rows, group.num_rows * most_bytes / max(1, group.total_byte_size)))
            for batch in _of_row_group(file, number, max(1, rows), columns):
                read += batch.num_rows
                yield batch, read / file.metadata.num_rows


def _of_row_group(
    file: pq.ParquetFile, number: int, rows: int, columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    patience = Patience()
    given = 0
    while True:
        seen = 0
        try:
            for batch in file.iter_batches(rows, row_groups=[number], columns=columns):
                seen += 1
                if seen > given:  # a row group that is read again gives the same batches
                    given = seen
                    yield batch
            return
        except OSError as error:
            patience.after(error)
