"""Items of many requests, worked off by one thread in groups that fill up while it is busy.

`@serve.batch` of Ray 2.60 closes a group when its time is up, even though the function still works on the last one: for
16 clients that each wait for their answer it made groups of 1.2 on average with a wait of 5 ms, and these then queued
one by one. Here a group is closed when the thread takes it: nobody waits for company, and nobody goes alone under load.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Waiting(Generic[K, T, R]):
    group: K
    item: T
    future: asyncio.Future[R]


class Batches(Generic[K, T, R]):
    """Hands items to `work` in one thread, first come, first served. For one event loop.

    Args:
        work: takes a group and 1 to `size` of its items, gives a result for each. What it raises, every item's `submit`
            raises, and the next items are served all the same.
        size: items of one call, at most.
        wait_seconds: how long an item waits for others while the thread is idle.
        observe: is told size and seconds of every call.
    """

    def __init__(
        self,
        work: Callable[[K, Sequence[T]], Sequence[R]],
        size: int,
        wait_seconds: float = 0.0,
        *,
        name: str = "batches",
        observe: Callable[[int, float], None] | None = None,
    ) -> None:
        self._work = work
        self._size = size
        self._wait_seconds = wait_seconds
        self._observe = observe
        self._waiting: deque[_Waiting[K, T, R]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._loop_task: asyncio.Task[None] | None = None
        self._started: float | None = None
        self._succeeded = float("-inf")

    @property
    def waiting(self) -> int:
        """Items that no call has taken yet."""
        return len(self._waiting)

    @property
    def busy_seconds(self) -> float:
        """How long the running call has taken so far; 0 while the thread is idle."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    @property
    def idle_seconds(self) -> float:
        """Time since a call last ended without an exception; infinite before the first."""
        return time.monotonic() - self._succeeded

    async def submit(self, group: K, item: T) -> R:
        """The result of `item`. An item whose caller is cancelled before its call begins is left out."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(group, item, future))
        if self._loop_task is None or self._loop_task.done():
            # An empty context: the task outlives the request that happens to start it.
            self._loop_task = asyncio.get_running_loop().create_task(self._serve(), context=contextvars.Context())
        return await future

    async def _serve(self) -> None:
        if self._wait_seconds and len(self._waiting) < self._size:
            await asyncio.sleep(self._wait_seconds)
        while taken := self._take():
            await self._call(taken)

    def _take(self) -> list[_Waiting[K, T, R]]:
        """The oldest item and those of its group behind it; the others keep their places."""
        taken: list[_Waiting[K, T, R]] = []
        left: deque[_Waiting[K, T, R]] = deque()
        for entry in self._waiting:
            if entry.future.done():
                continue
            if len(taken) < self._size and (not taken or entry.group == taken[0].group):
                taken.append(entry)
            else:
                left.append(entry)
        self._waiting = left
        return taken

    async def _call(self, taken: list[_Waiting[K, T, R]]) -> None:
        loop = asyncio.get_running_loop()
        self._started = started = time.monotonic()
        try:
            items = [entry.item for entry in taken]
            results = await loop.run_in_executor(self._thread, self._work, taken[0].group, items)
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} results for {len(items)} items")
        except Exception as error:
            for entry in taken:
                if not entry.future.done():
                    entry.future.set_exception(error)
        else:
            self._succeeded = time.monotonic()
            for entry, result in zip(taken, results, strict=True):
                if not entry.future.done():
                    entry.future.set_result(result)
        finally:
            self._started = None
        if self._observe is not None:
            self._observe(len(taken), time.monotonic() - started)
