"""What the job says before its first page and after its last one: a line for every phase that takes a while."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from kie_ray.durations import duration
from pipelines.beside import beside

T = TypeVar("T")

_PATIENCE_SECONDS = 10.0
"""Shorter phases say nothing: most runs are small."""


@contextmanager
def phase(what: str, items: Counted[Any] | None = None, *, seconds: float) -> Iterator[None]:
    """Print `what: TIME, ITEMS so far` to stderr when the body has taken a while, then every `seconds`."""
    started = time.monotonic()

    def talk(finished: threading.Event) -> None:
        wait = min(_PATIENCE_SECONDS, seconds)
        while not finished.wait(wait):
            wait = seconds
            far = "" if items is None else f", {items.count} so far"
            print(f"{what}: {duration(time.monotonic() - started)}{far}", file=sys.stderr, flush=True)

    with beside(talk, "phase"):
        yield


class Counted(Generic[T]):
    """Passes items on and knows how many it has passed."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        for item in self._items:
            self.count += 1
            yield item
