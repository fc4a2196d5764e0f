"""The manifest: which rows a run has, written as Parquet before the first byte of a document is fetched for OCR.

Two steps, both streaming. `write_listing` finds the documents (each once) and digests what it found; `write_manifest`
turns documents into rows, long ones into several, and is skipped when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kie_ray.schemas import MANIFEST_SCHEMA
from kie_ray.storage import StoredFile
from pipelines.config import ExtractConfig
from pipelines.ids import SeenIds, SetDigest, document_id, row_id
from pipelines.inputs import guess_media_type
from pipelines.layout import OutputLayout
from pipelines.parallel import in_threads
from pipelines.parquet_files import read_batches, read_table

ROWS_PER_FILE = 8192
PageCounts = Callable[[Iterable[Mapping[str, Any]]], Iterator[tuple[Mapping[str, Any], "int | None"]]]
"""Takes manifest rows, gives each with its number of pages (None: unknown, left to the reading stage), in any order."""


@dataclass(frozen=True)
class ManifestRows:
    """What a manifest holds. `mean_bytes`: mean size of the document behind a row, None where no size is known."""

    digest: SetDigest
    mean_bytes: float | None


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

    _write(_as_tables(rows()), layout, folder)
    return digest


def write_manifest(
    layout: OutputLayout, listing: str, folder: str, config: ExtractConfig, count_pages: PageCounts
) -> ManifestRows:
    """Write the rows of the documents in `listing` to `folder`; the digest returned is that of their row ids.

    Large PDFs and TIFFs have their pages counted; one longer than `pages_per_row` becomes several rows. One over
    `limits.max_pages` stays one row: the reading stage makes it an error row.
    """
    digest = SetDigest()
    total_bytes = known_sizes = 0

    def to_probe() -> Iterator[Mapping[str, Any]]:
        for table in _tables(layout, listing):
            yield from table.filter(_needs_count(table, config)).to_pylist()

    def ranges() -> Iterator[Mapping[str, Any]]:
        for row, pages in count_pages(to_probe()):
            yield from page_ranges(row, pages, config)

    def counted() -> Iterator[pa.Table]:
        nonlocal total_bytes, known_sizes
        single = (table.filter(pc.invert(_needs_count(table, config))) for table in _tables(layout, listing))
        for table in chain(single, _as_tables(ranges())):
            digest.update(table["row_id"].to_pylist())
            total_bytes += pc.sum(table["size"]).as_py() or 0
            known_sizes += table.num_rows - table["size"].null_count
            yield table

    _write(counted(), layout, folder)
    return ManifestRows(digest, total_bytes / known_sizes if known_sizes else None)


def page_ranges(row: Mapping[str, Any], pages: int | None, config: ExtractConfig) -> Iterator[Mapping[str, Any]]:
    """The rows of a document of `pages` pages: ranges of `pages_per_row`, the last one open at its end."""
    step = config.splitting.pages_per_row
    if pages is None or pages <= step or pages > config.limits.max_pages:
        yield row
        return
    for first in range(0, pages, step):
        last = None if first + step >= pages else first + step - 1
        yield {**row, "row_id": row_id(row["doc_id"], first), "first_page": first, "last_page": last}


def _needs_count(rows: pa.Table, config: ExtractConfig) -> pa.ChunkedArray:
    """Mask of the rows (MANIFEST_SCHEMA) whose pages have to be counted."""
    large = pc.and_(
        pc.greater_equal(rows["size"], config.splitting.probe_bytes),
        pc.less_equal(rows["size"], config.limits.max_bytes),
    )
    paged = pc.is_in(rows["media_type"], pa.array(["application/pdf", "image/tiff"]))
    return pc.fill_null(pc.and_(large, paged), False)


def _as_tables(rows: Iterable[Mapping[str, Any]]) -> Iterator[pa.Table]:
    source = iter(rows)
    while chunk := list(islice(source, ROWS_PER_FILE)):
        yield pa.Table.from_pylist(chunk, schema=MANIFEST_SCHEMA)


def _write(tables: Iterable[pa.Table], layout: OutputLayout, folder: str) -> None:
    """Write part-00000.parquet, ... of ROWS_PER_FILE rows below `folder`, which is emptied first; one file at least."""
    layout.delete_dir(folder)
    layout.filesystem.create_dir(folder, recursive=True)

    def write(entry: tuple[int, pa.Table]) -> None:
        number, table = entry
        pq.write_table(table, f"{folder}/part-{number:05d}.parquet", filesystem=layout.filesystem)

    for _ in in_threads(write, enumerate(_of_equal_size(tables))):
        pass


def _of_equal_size(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of ROWS_PER_FILE, the last one of less; one without rows where there is none at all."""
    waiting = MANIFEST_SCHEMA.empty_table()
    any_given = False
    for table in tables:
        waiting = pa.concat_tables([waiting, table])
        while waiting.num_rows >= ROWS_PER_FILE:
            yield waiting.slice(0, ROWS_PER_FILE)
            any_given = True
            waiting = waiting.slice(ROWS_PER_FILE)
    if waiting.num_rows or not any_given:
        yield waiting


def _tables(layout: OutputLayout, folder: str) -> Iterator[pa.Table]:
    """The files of the manifest or the listing, several read at a time."""
    return in_threads(lambda item: read_table(layout.filesystem, item.path), layout.files(folder))


def read_rows(
    layout: OutputLayout, folder: str, columns: list[str] | None = None, batch_size: int = 1024
) -> Iterator[Mapping[str, Any]]:
    """Rows of all Parquet files directly below `folder`, a batch in memory at a time."""
    for item in layout.files(folder):
        for batch, _ in read_batches(layout.filesystem, item.path, columns, batch_size):
            yield from batch.to_pylist()
