"""Listing a large prefix of a bucket by many requests at a time, in no order.

S3 gives a thousand keys an answer, and the next request needs the last key of the answer before. Keys have an order,
though, so that a listing can begin anywhere: the folders below the prefix cut it into ranges, which are listed side by
side. Any cuts that are no keys themselves (a folder is none) give every key exactly once; good ones only make ranges of
similar length. Keys that lie side by side in one folder make one range.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from kie_ray.storage import s3, s3_client

_THREADS = s3_client.CONNECTIONS
_RANGES = 4 * _THREADS
_WAITING_PAGES = 2 * _THREADS

Answer = list[s3.S3Object] | BaseException | None


def list_in_any_order(bucket: str, prefix: str) -> Iterator[s3.S3Object]:
    """The objects that `s3.list_objects` gives, each once; at most some 50 000 of them in memory.

    Raises:
        S3Error: as `s3.list_objects`.
    """
    first = s3.list_page(bucket, prefix)
    yield from first.objects
    if not first.token:
        return
    points = [point for point in cuts(bucket, prefix) if point > first.last_key]
    starts = [first.last_key, *points]
    yield from _side_by_side(bucket, prefix, list(zip(starts, [*points, None], strict=True)))


def cuts(bucket: str, prefix: str) -> list[str]:
    """Sorted names of at most `_RANGES` folders below `prefix`: of the first level that has enough for all threads."""

    def folders_below(folder: str) -> list[str]:
        return s3.list_page(bucket, folder, delimiter="/").folders

    level: list[str] = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="s3 listing") as threads:
        below = folders_below(prefix)
        while below:
            level = sorted(below)
            if len(level) >= _THREADS:
                break
            below = [folder for folders in threads.map(folders_below, level) for folder in folders]
    wanted = min(_RANGES, len(level))
    return [level[number * len(level) // wanted] for number in range(wanted)]


def _side_by_side(bucket: str, prefix: str, ranges: list[tuple[str, str | None]]) -> Iterator[s3.S3Object]:
    answers: queue.Queue[Answer] = queue.Queue(_WAITING_PAGES)
    stopped = threading.Event()

    def give(answer: Answer) -> None:
        while not stopped.is_set():
            try:
                answers.put(answer, timeout=0.2)
                return
            except queue.Full:
                continue

    def list_range(bounds: tuple[str, str | None]) -> None:
        start, end = bounds
        try:
            page = s3.list_page(bucket, prefix, after=start)
            while True:
                give([item for item in page.objects if end is None or item.key < end])
                if not page.token or (end is not None and page.last_key >= end) or stopped.is_set():
                    break
                page = s3.list_page(bucket, prefix, token=page.token)
        except BaseException as error:  # it must reach the one who iterates
            give(error)
        else:
            give(None)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="s3 listing") as threads:
        running = [threads.submit(list_range, bounds) for bounds in ranges]
        open_ranges = len(running)
        try:
            while open_ranges:
                answer = answers.get()
                if answer is None:
                    open_ranges -= 1
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    yield from answer
        finally:
            stopped.set()
            for future in running:
                future.cancel()
