"""Page counts of large PDFs and TIFFs, by tasks on the cluster, a bounded number of them at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import ray

from kie_ray.errors import DocumentError
from kie_ray.reading import Reader
from kie_ray.storage import read_bytes
from pipelines.config import ExtractConfig

logger = logging.getLogger(__name__)

_DOCUMENTS_PER_TASK = 16


def count_pages(rows: list[Mapping[str, Any]], config: ExtractConfig) -> list[int | None]:
    """Pages of each document, None where it cannot be told: the run itself will then say why."""
    counts: list[int | None] = []
    with Reader(config.limits, config.pdf_dpi) as reader:
        for row in rows:
            try:
                counts.append(reader.count_pages(read_bytes(row["uri"], config.limits.max_bytes), row["uri"]))
            except DocumentError:
                counts.append(None)
            except Exception:
                logger.exception("pages of %s could not be counted", row["uri"])
                counts.append(None)
    return counts


def ray_page_counts(
    config: ExtractConfig, in_flight: int
) -> Callable[[Iterable[Mapping[str, Any]]], Iterator[tuple[Mapping[str, Any], int | None]]]:
    """`count_pages` as at most `in_flight` Ray tasks over a stream of rows; results come in any order."""

    def run(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int | None]]:
        task = ray.remote(num_cpus=0.5, max_retries=2)(count_pages)
        source = iter(rows)
        running: dict[ray.ObjectRef, list[Mapping[str, Any]]] = {}
        while True:
            while len(running) < in_flight and (chunk := list(islice(source, _DOCUMENTS_PER_TASK))):
                running[task.remote(chunk, config)] = chunk
            if not running:
                return
            ready, _ = ray.wait(list(running), num_returns=1)
            chunk = running.pop(ready[0])
            yield from zip(chunk, ray.get(ready[0]), strict=True)

    return run
