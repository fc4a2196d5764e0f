"""Many sources, a bounded number at a time, in threads or in tasks; a source that fails is a result as any other."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from kie_ray.client.body import clean_name, name_of
from kie_ray.client.errors import ApiError, of_file
from kie_ray.errors import ErrorItem
from kie_ray.records import Document

S = TypeVar("S")

_AHEAD = 2
"""Sources taken at a time, as a multiple of the concurrency: what is behind a slow one goes on meanwhile."""


@dataclass(slots=True)
class Failed:
    """Where `kept_error` leaves the document of a source that failed."""

    name: str
    error: ErrorItem | None = None

    @property
    def document(self) -> Document:
        return Document(doc_id=self.name, uri=self.name, error=self.error)


@contextlib.contextmanager
def kept_error(source: object) -> Iterator[Failed]:
    """Keep what is wrong with this source; let through what is wrong with all of them."""
    failed = Failed(clean_name(name_of(source) or "bytes"))
    try:
        yield failed
    except ApiError as error:
        if error.about_request:
            raise
        failed.error = error.item
    except OSError as error:
        failed.error = of_file(error, failed.name)


def in_threads(
    function: Callable[[S], Document], sources: Iterable[S], concurrency: int, ordered: bool
) -> Iterator[tuple[S, Document]]:
    """Each source and what `function` makes of it; the first exception ends it and cancels what has not begun."""
    _check(concurrency)
    return _in_threads(function, iter(sources), concurrency, ordered)


def in_tasks(
    function: Callable[[S], Awaitable[Document]], sources: Iterable[S], concurrency: int, ordered: bool
) -> AsyncIterator[tuple[S, Document]]:
    """As `in_threads`, in tasks of the running event loop; what is under way at the end is cancelled."""
    _check(concurrency)
    return _in_tasks(function, iter(sources), concurrency, ordered)


def _in_threads(
    function: Callable[[S], Document], sources: Iterator[S], concurrency: int, ordered: bool
) -> Iterator[tuple[S, Document]]:
    pending: dict[Future[Document], S] = {}  # in the order of the sources
    executor = ThreadPoolExecutor(concurrency, thread_name_prefix="kie-ray-client")
    try:
        while True:
            for source in itertools.islice(sources, _AHEAD * concurrency - len(pending)):
                pending[executor.submit(function, source)] = source
            if not pending:
                return
            if ordered:
                ready = [next(iter(pending))]
            else:
                done = wait(pending, return_when=FIRST_COMPLETED).done
                ready = [future for future in pending if future in done]
            for future in ready:
                yield pending.pop(future), future.result()
    finally:
        executor.shutdown(cancel_futures=True)


async def _in_tasks(
    function: Callable[[S], Awaitable[Document]], sources: Iterator[S], concurrency: int, ordered: bool
) -> AsyncIterator[tuple[S, Document]]:
    pending: dict[asyncio.Task[Document], S] = {}
    slots = asyncio.Semaphore(concurrency)

    async def one(source: S) -> Document:
        async with slots:
            return await function(source)

    try:
        while True:
            for source in itertools.islice(sources, _AHEAD * concurrency - len(pending)):
                pending[asyncio.create_task(one(source))] = source
            if not pending:
                return
            if ordered:
                ready = [next(iter(pending))]
            else:
                done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                ready = [task for task in pending if task in done]
            for task in ready:
                document = await task
                yield pending.pop(task), document
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def _check(concurrency: int) -> None:
    if concurrency < 1:
        raise ValueError(f"concurrency = {concurrency}: at least 1 request at a time")
