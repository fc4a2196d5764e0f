"""The manifest: which rows a run has, written as Parquet before the first byte of a document is fetched for OCR.

Two steps, both streaming. `write_listing` finds the documents (each once) and digests what it found; `write_manifest`
turns documents into rows, long ones into several, and is skipped when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kie_ray.schemas import MANIFEST_SCHEMA
from kie_ray.storage import StoredFile
from pipelines.config import ExtractConfig
from pipelines.ids import SeenIds, SetDigest, document_id, row_id
from pipelines.inputs import guess_media_type
from pipelines.layout import OutputLayout

ROWS_PER_FILE = 8192
PageCounts = Callable[[Iterable[Mapping[str, Any]]], Iterator[tuple[Mapping[str, Any], "int | None"]]]
"""Takes manifest rows, gives each with its number of pages (None: unknown, left to the reading stage), in any order."""


def write_listing(files: Iterable[StoredFile], layout: OutputLayout, folder: str, limit: int | None) -> SetDigest:
    """Write one row a document to `folder` and return the digest of their ids; at most `limit` documents."""
    digest, seen = SetDigest(), SeenIds()

    def rows() -> Iterator[dict[str, Any]]:
        for file in files:
            if limit is not None and digest.count >= limit:
                return
            doc_id = document_id(file)
            if not seen.add(doc_id):
                continue
            digest.add(doc_id)
            yield {
                "row_id": row_id(doc_id, 0),
                "doc_id": doc_id,
                "uri": file.uri,
                "size": file.size if file.size >= 0 else None,
                "etag": file.etag,
                "media_type": guess_media_type(file.uri),
                "first_page": 0,
                "last_page": None,
                "error": None,
            }

    write_rows(rows(), MANIFEST_SCHEMA, layout, folder, ROWS_PER_FILE)
    return digest


def write_manifest(
    layout: OutputLayout, listing: str, folder: str, config: ExtractConfig, count_pages: PageCounts
) -> SetDigest:
    """Write the rows of the documents in `listing` to `folder` and return the digest of their row ids.

    Large PDFs and TIFFs have their pages counted; one longer than `pages_per_row` becomes several rows. One over
    `limits.max_pages` stays one row: the reading stage makes it an error row.
    """
    digest = SetDigest()

    def rows() -> Iterator[Mapping[str, Any]]:
        def probed() -> Iterator[Mapping[str, Any]]:
            return (row for row in read_rows(layout, listing) if _needs_count(row, config))

        for row in read_rows(layout, listing):
            if not _needs_count(row, config):
                yield row
        for row, pages in count_pages(probed()):
            yield from page_ranges(row, pages, config)

    def counted() -> Iterator[Mapping[str, Any]]:
        for row in rows():
            digest.add(row["row_id"])
            yield row

    write_rows(counted(), MANIFEST_SCHEMA, layout, folder, ROWS_PER_FILE)
    return digest


def page_ranges(row: Mapping[str, Any], pages: int | None, config: ExtractConfig) -> Iterator[Mapping[str, Any]]:
    """The rows of a document of `pages` pages: ranges of `pages_per_row`, the last one open at its end."""
    step = config.splitting.pages_per_row
    if pages is None or pages <= step or pages > config.limits.max_pages:
        yield row
        return
    for first in range(0, pages, step):
        last = None if first + step >= pages else first + step - 1
        yield {**row, "row_id": row_id(row["doc_id"], first), "first_page": first, "last_page": last}


def _needs_count(row: Mapping[str, Any], config: ExtractConfig) -> bool:
    size = row["size"]
    if size is None or size < config.splitting.probe_bytes or size > config.limits.max_bytes:
        return False
    return row["media_type"] in ("application/pdf", "image/tiff")


def write_rows(
    rows: Iterable[Mapping[str, Any]], schema: pa.Schema, layout: OutputLayout, folder: str, rows_per_file: int
) -> int:
    """Write `rows` as part-00000.parquet, ... below `folder`, which is emptied first; one file at least."""
    layout.delete_dir(folder)
    layout.filesystem.create_dir(folder, recursive=True)
    total = 0
    part = 0
    writer: pq.ParquetWriter | None = None
    written = 0
    chunk: list[Mapping[str, Any]] = []

    def flush() -> None:
        nonlocal writer, written, part
        if writer is None:
            writer = pq.ParquetWriter(f"{folder}/part-{part:05d}.parquet", schema, filesystem=layout.filesystem)
        if chunk:
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
        written += len(chunk)
        chunk.clear()
        if written >= rows_per_file:
            writer.close()
            writer, written, part = None, 0, part + 1

    try:
        for row in rows:
            chunk.append(row)
            total += 1
            if len(chunk) >= min(8192, rows_per_file - written):
                flush()
        if chunk or (writer is None and part == 0):
            flush()
    finally:
        if writer is not None:
            writer.close()
    return total


def read_rows(
    layout: OutputLayout, folder: str, columns: list[str] | None = None, batch_size: int = 1024
) -> Iterator[Mapping[str, Any]]:
    """Rows of all Parquet files directly below `folder`, a batch in memory at a time."""
    for item in layout.files(folder):
        with pq.ParquetFile(item.path, filesystem=layout.filesystem) as file:
            for batch in file.iter_batches(batch_size=batch_size, columns=columns):
                yield from batch.to_pylist()
