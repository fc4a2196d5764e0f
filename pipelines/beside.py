"""A thread that works while a block of code runs, and ends with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(work: Callable[[threading.Event], None], name: str, patience: float | None = None) -> Iterator[None]:
    """Run `work` in a daemon thread; its event is set when the body has ended, however it has.

    `patience`: seconds that the thread then has to end; None: as many as it takes.
    """
    finished = threading.Event()
    thread = threading.Thread(target=work, args=(finished,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join(patience)
