"""Running totals of a run: counted by the last stage's actors, gathered in one, exported to Prometheus from there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Counts:
    """Finished rows. A row is a document, or a range of pages of a long one.

    `failed`: rows with an error; `busy`: seconds a stage, over all actors; `statuses`: rows by ok, partial and failed;
    `errors`: rows by (stage, category).
    """

    rows: int = 0
    pages: int = 0
    failed: int = 0
    busy: dict[str, float] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count finished rows of DOCUMENT_SCHEMA."""
        for row in rows:
            self.rows += 1
            self.pages += len(row["pages"] or ())
            self.statuses[row["status"]] += 1
            if (error := row["error"]) is not None:
                self.failed += 1
                self.errors[error["stage"], error["category"]] += 1
            for stage, seconds in row["timings"].items():
                self.busy[stage] = self.busy.get(stage, 0.0) + seconds

    def merge(self, other: Counts) -> None:
        self.rows += other.rows
        self.pages += other.pages
        self.failed += other.failed
        self.statuses.update(other.statuses)
        self.errors.update(other.errors)
        for stage, seconds in other.busy.items():
            self.busy[stage] = self.busy.get(stage, 0.0) + seconds


class RunMetrics:
    """Prometheus counters of a run, for use within Ray, which exports them on its nodes with `ray_` before each name.

    They are for graphs and alarms while a run goes on, not for accounting: a task that Ray repeats counts twice.
    """

    def __init__(self) -> None:
        from ray.util.metrics import Counter as RayCounter

        self._pages = RayCounter("kie_ray_pages_total", "Pages with a result.")
        self._documents = RayCounter(
            "kie_ray_documents_total", "Finished documents, or page ranges of long ones.", ("status",)
        )
        self._errors = RayCounter("kie_ray_errors_total", "Documents with an error.", ("stage", "category"))
        self._seconds = RayCounter("kie_ray_stage_seconds_total", "Busy seconds over all actors.", ("stage",))

    def add(self, counts: Counts) -> None:
        """Add what has been counted since the last call."""
        if counts.pages:
            self._pages.inc(counts.pages)
        for status, rows in counts.statuses.items():
            self._documents.inc(rows, {"status": status})
        for (stage, category), rows in counts.errors.items():
            self._errors.inc(rows, {"stage": stage, "category": category})
        for stage, seconds in counts.busy.items():
            if seconds > 0:
                self._seconds.inc(seconds, {"stage": stage})


class CountsActor:
    """Lives in Ray, takes the counts of the last stage's actors. Nothing rests on it: finalize counts the tables."""

    def __init__(self) -> None:
        self._total = Counts()
        self._metrics = RunMetrics()

    def add(self, counts: Counts) -> None:
        """Add the counts of some rows that have just been finished."""
        self._total.merge(counts)
        self._metrics.add(counts)

    def total(self) -> Counts:
        """All that has been added."""
        return self._total
