"""How a run went over time: samples at progress ticks, kept when it is interrupted and continued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.counters import Counts

MOST_SAMPLES = 240


class Timeline:
    """Cumulative samples of all starts of a run, thinned evenly to `MOST_SAMPLES`.

    A sample is `{"start", "seconds", "rows", "pages", "failed", "busy": {stage: seconds}}`. `start` counts the starts
    from 0, `seconds` is the time spent in all of them. Work is counted when it is done: rows that an interruption has
    cost stand here twice, so that the differences between samples are the speed at that time.

    Args:
        earlier: samples of the starts before this one, as `samples` gave them.
    """

    def __init__(self, earlier: Sequence[Mapping[str, Any]] = ()) -> None:
        self.samples: list[dict[str, Any]] = [dict(sample) for sample in earlier]
        self._base = self.samples[-1] if self.samples else None
        self._start = 0 if self._base is None else self._base["start"] + 1

    def add(self, seconds: float, counts: Counts) -> None:
        """Note the counts of this start at `seconds` of the whole run."""
        base = self._base or {"rows": 0, "pages": 0, "failed": 0, "busy": {}}
        self.samples.append(
            {
                "start": self._start,
                "seconds": round(seconds, 3),
                "rows": base["rows"] + counts.rows,
                "pages": base["pages"] + counts.pages,
                "failed": base["failed"] + counts.failed,
                "busy": {
                    stage: round(base["busy"].get(stage, 0.0) + counts.busy.get(stage, 0.0), 3)
                    for stage in {**base["busy"], **counts.busy}
                },
            }
        )
        if len(self.samples) > MOST_SAMPLES:
            del self.samples[self._most_crowded()]

    def _most_crowded(self) -> int:
        """The sample whose neighbours are nearest to each other; the last one and the first of each start stay."""
        inner = range(1, len(self.samples) - 1)
        free = [at for at in inner if self.samples[at]["start"] == self.samples[at - 1]["start"]] or list(inner)
        return min(free, key=lambda at: self.samples[at + 1]["seconds"] - self.samples[at - 1]["seconds"])
