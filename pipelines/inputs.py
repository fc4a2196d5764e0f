"""From what a person typed as INPUT to a stream of stored documents, each of them once."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice

import pyarrow as pa
import pyarrow.fs as pafs

from kie_ray.errors import ConfigError, DocumentError
from kie_ray.storage import StoredFile, filesystem_for, list_files, read_bytes
from pipelines.parquet_files import read_batches, read_schema

DOCUMENT_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".pdf")
MANIFEST_SUFFIXES = (".parquet", ".csv", ".txt")
_MANIFEST_BYTES = 2**30
_STAT_THREADS = 16
_NAMED = 20


@dataclass
class Skipped:
    """Files of directories, globs and prefixes that are no documents by their name: how many, and the first of them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, uri: str) -> None:
        self.count += 1
        if len(self.examples) < _NAMED:
            self.examples.append(uri)


def stored_documents(inputs: Sequence[str], skipped: Skipped, *, any_order: bool = False) -> Iterator[StoredFile]:
    """Every document that `inputs` name, in constant memory; the same one may come twice.

    `any_order`: as `list_files` has it.

    A file named by itself is taken whatever its name is, a manifest (.parquet, .csv, .txt with a uri column) stands for
    the documents that it lists. From directories, globs and prefixes come the files whose extension is one of
    `DOCUMENT_SUFFIXES`, the others are counted in `skipped`; one that holds nothing but .parquet files (like `errors/`
    of an earlier run) is a manifest as a whole. A document that a manifest lists and the storage does not have comes
    with size -1, so that it ends as an error row.

    Raises:
        ConfigError: an input does not exist, or a manifest has no uri column.
        DocumentError: the storage does not answer.
    """
    for item in inputs:
        if _is_file(item):
            if item.lower().endswith(MANIFEST_SUFFIXES):
                yield from _of_manifest(item)
            else:
                yield from list_files([item])
            continue
        files = list_files([item], any_order=any_order)
        tables = []
        first_other = None
        for file in files:
            if not file.uri.lower().endswith(".parquet"):
                first_other = file
                break
            tables.append(file)
        if first_other is None and tables:
            for table in tables:
                yield from _of_manifest(table.uri)
            continue
        for table in tables:
            skipped.add(table.uri)
        for file in chain([first_other] if first_other else [], files):
            if file.uri.lower().endswith(DOCUMENT_SUFFIXES):
                yield file
            else:
                skipped.add(file.uri)


def _is_file(item: str) -> bool:
    try:
        filesystem, path = filesystem_for(item)
        return bool(filesystem.get_file_info(path).type == pafs.FileType.File)
    except (OSError, ValueError) as error:
        raise ConfigError(f"INPUT {item}: {' '.join(str(error).split())[:300]}") from error


def _of_manifest(uri: str) -> Iterator[StoredFile]:
    uris = _uris_of_parquet(uri) if uri.lower().endswith(".parquet") else _uris_of_text(uri)
    with ThreadPoolExecutor(_STAT_THREADS) as threads:
        while chunk := list(islice(uris, 16 * _STAT_THREADS)):
            yield from threads.map(_stat, chunk)


def _stat(uri: str) -> StoredFile:
    try:
        found = list(islice(list_files([uri]), 2))
    except (DocumentError, ConfigError, OSError):
        found = []
    return found[0] if len(found) == 1 else StoredFile(uri, -1, None, None)


def _uris_of_parquet(uri: str) -> Iterator[str]:
    filesystem, path = filesystem_for(uri)
    try:
        schema = read_schema(filesystem, path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigError(f"manifest {uri} is not a Parquet file: {' '.join(str(error).split())[:200]}") from error
    if "uri" not in schema.names:
        raise ConfigError(f"manifest {uri} has no column 'uri'; its columns are {', '.join(schema.names)}")
    batches = read_batches(filesystem, path, ["uri"], 4096)
    while True:
        try:
            batch, _ = next(batches, (None, 1.0))
        except (OSError, pa.ArrowInvalid) as error:
            raise ConfigError(f"manifest {uri} is damaged: {' '.join(str(error).split())[:200]}") from error
        if batch is None:
            return
        for value in batch.column(0).to_pylist():
            if not value:
                raise ConfigError(f"manifest {uri} holds a row without a uri")
            yield str(value)


def _uris_of_text(uri: str) -> Iterator[str]:
    try:
        text = read_bytes(uri, _MANIFEST_BYTES).decode("utf-8-sig")
    except DocumentError as error:
        raise ConfigError(f"manifest {uri}: {error.item.message}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"manifest {uri} is not UTF-8 text") from error
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(rows, [])]
        if "uri" in header:
            column = header.index("uri")
            values = [row[column].strip() if len(row) > column else "" for row in rows if row]
        elif uri.lower().endswith(".txt"):
            values = [line.strip() for line in text.splitlines()]  # one uri a line, no header
        else:
            raise ConfigError(f"manifest {uri} has no column 'uri'; its columns are {', '.join(header)}")
    except csv.Error as error:
        raise ConfigError(f"manifest {uri}, line {rows.line_num} is no CSV: {error}") from error
    yield from (value for value in values if value)


def guess_media_type(uri: str) -> str | None:
    """By extension only; what the bytes say replaces it once they are read."""
    suffix = posixpath.splitext(uri.lower())[1]
    known = {
        ".jpg": "jpeg",
        ".jpeg": "jpeg",
        ".tif": "tiff",
        ".tiff": "tiff",
        ".png": "png",
        ".bmp": "bmp",
        ".webp": "webp",
    }
    if suffix == ".pdf":
        return "application/pdf"
    return f"image/{known[suffix]}" if suffix in known else None
