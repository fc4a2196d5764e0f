"""What a person sees while the job runs: a bar on a terminal, plain lines otherwise, and the closing summary."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO


@dataclass
class Counts:
    """Running totals of finished rows. `busy`: seconds a stage, over all actors."""

    rows: int = 0
    pages: int = 0
    failed: int = 0
    busy: dict[str, float] = field(default_factory=dict)

    def add(self, rows: list[Mapping[str, Any]]) -> None:
        """Count finished rows of DOCUMENT_SCHEMA."""
        for row in rows:
            self.rows += 1
            self.pages += len(row["pages"] or ())
            self.failed += row["error"] is not None
            for stage, seconds in row["timings"].items():
                self.busy[stage] = self.busy.get(stage, 0.0) + seconds

    def merge(self, other: Counts) -> None:
        self.rows += other.rows
        self.pages += other.pages
        self.failed += other.failed
        for stage, seconds in other.busy.items():
            self.busy[stage] = self.busy.get(stage, 0.0) + seconds


class CountsActor:
    """Lives in Ray, takes the counts of the last stage's actors. Display only: finalize counts the tables anew."""

    def __init__(self) -> None:
        self._total = Counts()

    def add(self, counts: Counts) -> None:
        self._total.merge(counts)

    def total(self) -> Counts:
        return self._total


class ProgressDisplay:
    """Shows progress from a thread, as context manager. `poll` gives the counts of this invocation.

    On a terminal one line is redrawn; elsewhere a line is printed every `seconds`, the first one at once.
    `on_tick` is called with the elapsed seconds each time a line is due, also on a terminal.
    """

    def __init__(
        self,
        total_rows: int,
        done_before: int,
        poll: Callable[[], Counts],
        *,
        seconds: float,
        stream: TextIO | None = None,
        on_tick: Callable[[float], None] | None = None,
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

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._terminal:
            self._stream.write("\r\x1b[K")
        self._stream.flush()

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
                    self._on_tick(elapsed)
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


def duration(seconds: float) -> str:
    """`4.2 s`, `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
