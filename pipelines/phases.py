"""What the job says before its first page and after its last one: a line for every phase that takes a while."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from kie_ray.durations import duration

T = TypeVar("T")

_PATIENCE_SECONDS = 10.0
"""Shorter phases say nothing: most runs are small."""


@contextmanager
def phase(what: str, done: Callable[[], str] | None = None, *, seconds: float) -> Iterator[None]:
    """Print `what: TIME, done()` to stderr when the body has taken a while, then every `seconds`."""
    started = time.monotonic()
    finished = threading.Event()

    def talk() -> None:
        wait = min(_PATIENCE_SECONDS, seconds)
        while not finished.wait(wait):
            wait = seconds
            parts = [duration(time.monotonic() - started), *([done()] if done else [])]
            print(f"{what}: {', '.join(parts)}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=talk, name="phase", daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


class Counted(Generic[T]):
    """Passes items on and knows how many it has passed. `str()`: `12345 so far`."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        for item in self._items:
            self.count += 1
            yield item

    def __str__(self) -> str:
        return f"{self.count} so far"
