"""What a person sees while the job runs: a bar on a terminal, plain lines otherwise, and the closing summary."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from kie_ray.durations import duration
from pipelines.counters import Counts

_SETTLE_SECONDS = 2.0


class ProgressDisplay:
    """Shows progress from a thread, as context manager. `poll` gives the counts of this invocation.

    On a terminal one line is redrawn; elsewhere a line is printed every `seconds`, the first one at once.
    `on_tick` is called with the counts each time a line is due, also on a terminal, and when the work is done.
    """

    def __init__(
        self,
        total_rows: int,
        done_before: int,
        poll: Callable[[], Counts],
        *,
        seconds: float,
        stream: TextIO | None = None,
        on_tick: Callable[[Counts], None] | None = None,
    ) -> None:
        self._total = total_rows
        self._before = done_before
        self._poll = poll
        self._seconds = seconds
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._on_tick = on_tick
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._started = time.monotonic()

    def __enter__(self) -> ProgressDisplay:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None and self._on_tick is not None and (counts := self._last_counts()) is not None:
            self._on_tick(counts)
        if self._terminal:
            self._stream.write("\r\x1b[K")
        self._stream.flush()

    def _last_counts(self) -> Counts | None:
        """The counts of all rows: those of the last ones may still be on their way when the rows are there."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            try:
                counts = self._poll()
            except Exception:  # as in `_run`
                return None
            if self._before + counts.rows >= self._total or time.monotonic() > deadline:
                return counts
            time.sleep(0.05)

    def _run(self) -> None:
        due = 0.0
        interval = 0.5 if self._terminal else min(1.0, self._seconds)
        while not self._stop.wait(interval):
            elapsed = time.monotonic() - self._started
            try:
                counts = self._poll()
            except Exception:  # a display never ends a job; the job itself reports what is wrong
                continue
            if self._terminal:
                self._stream.write("\r\x1b[K" + progress_line(self._before, self._total, counts, elapsed, bar=True))
                self._stream.flush()
            if elapsed >= due:
                due = elapsed + self._seconds
                if self._on_tick is not None:
                    with contextlib.suppress(OSError):  # a storage that fails for a moment; the next tick tells it all
                        self._on_tick(counts)
                if not self._terminal:
                    print(progress_line(self._before, self._total, counts, elapsed), file=self._stream, flush=True)


def progress_line(done_before: int, total: int, counts: Counts, elapsed: float, *, bar: bool = False) -> str:
    """`[#####-----]  52% 26/50 documents, 31 pages, 1.85 pages/s, 0 failed, 14 s left`"""
    done = min(total, done_before + counts.rows)
    share = done / total if total else 1.0
    rate = counts.pages / elapsed if elapsed > 0 else 0.0
    left = "starting" if counts.rows == 0 else f"{duration((total - done) * elapsed / counts.rows)} left"
    drawn = f"[{'#' * round(20 * share):-<20}] " if bar else ""
    pages = f"{counts.pages} pages, {rate:.2f} pages/s"
    return f"{drawn}{share:4.0%} {done}/{total} documents, {pages}, {counts.failed} failed, {left}"
