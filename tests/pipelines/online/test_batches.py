from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from pipelines.online.batches import Batches


class Work:
    """Records its calls; the first one waits for `go`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.threads: set[int] = set()
        self.began = threading.Event()
        self.go = threading.Event()

    def __call__(self, group: str, items: Sequence[int]) -> list[int]:
        self.calls.append((group, list(items)))
        self.threads.add(threading.get_ident())
        self.began.set()
        assert self.go.wait(20)
        if 13 in items:
            raise ValueError("unlucky")
        return [10 * item for item in items]


async def submitted(
    batches: Batches[str, int, int], work: Work, items: Sequence[tuple[str, int]]
) -> list[asyncio.Task]:
    """The first item is in its call when the others arrive."""
    tasks = [asyncio.create_task(batches.submit(*items[0]))]
    assert await asyncio.to_thread(work.began.wait, 20)
    tasks += [asyncio.create_task(batches.submit(*item)) for item in items[1:]]
    await asyncio.sleep(0)
    return tasks


def test_items_gather_while_the_thread_is_busy() -> None:
    work, told = Work(), []
    batches = Batches(work, 3, observe=lambda size, seconds: told.append((size, seconds >= 0)))

    async def run() -> list[int]:
        tasks = await submitted(batches, work, [("a", n) for n in range(6)])
        assert batches.waiting == 5
        assert batches.busy_seconds > 0
        work.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [0, 10, 20, 30, 40, 50]
    assert work.calls == [("a", [0]), ("a", [1, 2, 3]), ("a", [4, 5])]
    assert told == [(1, True), (3, True), (2, True)]
    assert len(work.threads) == 1
    assert threading.get_ident() not in work.threads
    assert batches.busy_seconds == 0
    assert batches.idle_seconds < 20


def test_a_call_serves_one_group_and_the_oldest_first() -> None:
    work = Work()

    async def run() -> list[int]:
        batches = Batches(work, 4)
        items = [("a", 0), ("b", 1), ("a", 2), ("b", 3), ("c", 4)]
        tasks = await submitted(batches, work, items)
        work.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [0, 10, 20, 30, 40]
    assert work.calls == [("a", [0]), ("b", [1, 3]), ("a", [2]), ("c", [4])]


def test_a_call_that_raises_fails_its_items_only() -> None:
    work = Work()
    work.go.set()
    batches = Batches(work, 4)

    async def run() -> int:
        with pytest.raises(ValueError, match="unlucky"):
            await batches.submit("a", 13)
        assert batches.idle_seconds == float("inf")  # it has never succeeded
        return await batches.submit("a", 1)

    assert asyncio.run(run()) == 10


def test_who_has_left_is_left_out() -> None:
    work = Work()

    async def run() -> None:
        batches = Batches(work, 4)
        tasks = await submitted(batches, work, [("a", n) for n in range(4)])
        tasks[0].cancel()  # in its call already: that goes on for nobody
        tasks[2].cancel()
        await asyncio.sleep(0)
        work.go.set()
        assert await asyncio.gather(tasks[1], tasks[3]) == [10, 30]

    asyncio.run(run())
    assert work.calls == [("a", [0]), ("a", [1, 3])]


def test_an_idle_thread_can_wait_for_company() -> None:
    work = Work()
    work.go.set()

    async def run() -> float:
        batches = Batches(work, 2, wait_seconds=0.2)
        first = asyncio.create_task(batches.submit("a", 1))
        await asyncio.sleep(0.02)
        started = time.monotonic()
        await asyncio.gather(first, batches.submit("a", 2))
        return time.monotonic() - started

    assert asyncio.run(run()) < 10
    assert work.calls == [("a", [1, 2])]
