"""Download stage: manifest rows in, compressed bytes out; a document that cannot be had keeps its row."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from kie_ray.errors import Category, DocumentError, ErrorItem, Stage
from kie_ray.schemas import FETCHED_SCHEMA, error_to_row
from kie_ray.storage import read_bytes
from pipelines.config import FetchSettings
from pipelines.tables import to_tables

logger = logging.getLogger(__name__)


class FetchStage:
    """Reads whole files, several at a time, and tries again while the storage does not answer. Keeps the order of rows.

    At most `settings.threads` files are in memory besides those that the caller has not taken yet.
    """

    def __init__(self, settings: FetchSettings, max_bytes: int) -> None:
        self._settings = settings
        self._max_bytes = max_bytes

    def process(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Rows of MANIFEST_SCHEMA to rows of FETCHED_SCHEMA."""
        rows = list(rows)
        step = self._settings.threads
        if len(rows) == 1 or step == 1:
            yield from map(self._fetch, rows)
            return
        with ThreadPoolExecutor(step) as threads:
            for start in range(0, len(rows), step):
                yield from threads.map(self._fetch, rows[start : start + step])

    def _fetch(self, row: Mapping[str, Any]) -> dict[str, Any]:
        fetched = {**row, "data": None, "fetch_seconds": 0.0}
        if row["error"] is not None:
            return fetched
        started = time.perf_counter()
        try:
            fetched["data"] = self._read(row["uri"])
        except DocumentError as error:
            fetched["error"] = error_to_row(error.item)
        except Exception as error:
            logger.exception("fetch of %s failed", row["uri"])
            message = f"{type(error).__name__} while reading {row['uri']}"
            fetched["error"] = error_to_row(ErrorItem.of(Stage.FETCH, Category.INTERNAL, message))
        fetched["fetch_seconds"] = time.perf_counter() - started
        return fetched

    def _read(self, uri: str) -> bytes:
        wait = self._settings.backoff_seconds
        for attempt in range(1, self._settings.attempts + 1):
            try:
                return read_bytes(uri, self._max_bytes)
            except DocumentError as error:
                if error.item.category is not Category.UNAVAILABLE or attempt == self._settings.attempts:
                    raise
            time.sleep(wait * random.uniform(0.75, 1.25))  # a store that throttles is not asked by all at once again
            wait *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")


class Fetch:
    """Adapter of `FetchStage` for `map_batches`; without state, so it runs as tasks."""

    def __init__(self, settings: FetchSettings, max_bytes: int) -> None:
        self.__name__ = "Fetch"  # what Ray calls the operator
        self._stage = FetchStage(settings, max_bytes)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        yield from to_tables(self._stage.process(table.to_pylist()), FETCHED_SCHEMA)
