"""Rows to Arrow tables and back, as they travel between the stages, and what every actor of a run is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kie_ray.encoding.page_image import ImageKind
from pipelines.config import ExtractConfig

_ROWS_PER_TABLE = 256
_BYTES_PER_TABLE = 32 * 2**20


@dataclass(frozen=True)
class JobContext:
    """What every actor of a run is told.

    `counts`: handle of the `CountsActor`; `invocation`: unique to this start; `image`: how a page becomes the image of
    the bundle's models.
    """

    config: ExtractConfig
    bundle: str | None
    provenance: Mapping[str, Any]
    invocation: str
    counts: Any
    image: ImageKind


def table_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows one by one, so that the bytes of one document at a time are copied out of the block."""
    for index in range(table.num_rows):
        yield table.slice(index, 1).to_pylist()[0]


def to_tables(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables of `schema` with up to 256 rows or about 32 MiB of files or images; an empty one where there is no row."""
    batch: list[Mapping[str, Any]] = []
    size = 0
    any_sent = False
    for row in rows:
        batch.append(row)
        size += len(row.get("data") or b"") + sum(len(pixels or b"") for pixels in row.get("pixels") or ())
        if len(batch) >= _ROWS_PER_TABLE or size >= _BYTES_PER_TABLE:
            yield pa.Table.from_pylist(batch, schema=schema)
            batch, size, any_sent = [], 0, True
    if batch or not any_sent:
        yield pa.Table.from_pylist(batch, schema=schema)


def assigned_device(wanted: str) -> str:
    """`auto` is CUDA in an actor to which Ray has assigned a GPU and nowhere else."""
    if wanted != "auto":
        return wanted
    import ray

    return "cuda" if ray.get_gpu_ids() else "cpu"
