"""One flat table as Parquet files of a good size to read: 64 to 256 MB where there is as much, no small last one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.layout import OutputLayout

TARGET_BYTES = 128 * 2**20
MOST_BYTES = 240 * 2**20
"""A file is closed after the row group that passes this."""

_ROW_GROUP_BYTES = 32 * 2**20
"""Of Arrow in memory."""


class TableWriter:
    """Writes tables as `<prefix>-000.parquet`, `<prefix>-001.parquet`, ... below `folder`; nothing where no row comes.

    While the end is not known, each `add` says which share of the input is done. A file that has its target size is
    closed where what is still to come, at this rate, makes another one; otherwise it takes the rest. No file gets more
    than `rows_per_file` rows.
    """

    def __init__(self, layout: OutputLayout, folder: str, prefix: str, rows_per_file: int) -> None:
        self._layout = layout
        self._path = f"{folder}/{prefix}"
        self._rows_per_file = rows_per_file
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self._stream: Any = None  # Arrow's classes are untyped
        self._writer: Any = None
        self._parts = 0
        self._rows = 0  # of the open file
        self._closed_bytes = 0
        layout.filesystem.create_dir(folder, recursive=True)

    def add(self, table: pa.Table, done: float) -> None:
        """Take rows. `done` (above 0, up to 1): share of the input that has been read with them."""
        if table.num_rows == 0:
            return
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        if self._waiting_bytes >= _ROW_GROUP_BYTES:
            self._flush(done)

    def close(self) -> None:
        """Write what waits and close the last file."""
        if self._waiting:
            self._flush(1.0)
        self._close_file()

    def abandon(self) -> None:
        """Close without writing what waits: for the way out of a failure."""
        self._waiting = []
        self._close_file()

    def _flush(self, done: float) -> None:
        table = pa.concat_tables(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        while table.num_rows:
            if self._writer is None:
                self._open(table.schema)
            taken = table.slice(0, self._rows_per_file - self._rows)
            table = table.slice(taken.num_rows)
            self._writer.write_table(taken)
            self._rows += taken.num_rows
            if self._is_full(done):
                self._close_file()

    def _is_full(self, done: float) -> bool:
        size = self._stream.tell()
        if self._rows >= self._rows_per_file or size >= MOST_BYTES:
            return True
        still_to_come = (self._closed_bytes + size) * (1.0 - done) / done
        return size >= TARGET_BYTES and still_to_come >= TARGET_BYTES / 2

    def _open(self, schema: pa.Schema) -> None:
        self._stream = self._layout.filesystem.open_output_stream(f"{self._path}-{self._parts:03d}.parquet")
        self._writer = pq.ParquetWriter(self._stream, schema, compression="zstd")
        self._parts += 1
        self._rows = 0

    def _close_file(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._closed_bytes += self._stream.tell()
        self._stream.close()
        self._writer = None
