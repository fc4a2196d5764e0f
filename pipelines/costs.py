"""What a page costs in each pool, and how many workers that asks for."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Costs:
    """Seconds a page of one worker, medians over `pages` pages.

    `ocr`: decoding and OCR. `models`: by pool, `ser` and, where RE has a pool of its own, `re`.
    """

    ocr: float
    models: Mapping[str, float]
    pages: int


def costs_of(rows: Sequence[Mapping[str, Any]], *, separate_re: bool) -> Costs | None:
    """Medians over rows of DOCUMENT_SCHEMA with pages; None where there is none.

    The median, because what is slow the first time is not what a run is made of.
    """
    pools = {"ser": ("ser",), "re": ("re", "fields")} if separate_re else {"ser": ("ser", "re", "fields")}
    good = [(len(row["pages"]), row["timings"]) for row in rows if row["pages"]]
    if not good:
        return None

    def median(stages: tuple[str, ...]) -> float:
        return statistics.median(sum(timings[stage] or 0.0 for stage in stages) / pages for pages, timings in good)

    models = {name: median(stages) for name, stages in pools.items()}
    return Costs(median(("read", "ocr")), models, sum(pages for pages, _ in good))


def workers_by(costs: Costs, cores: int) -> tuple[int, dict[str, int]]:
    """OCR workers, and workers of each model pool, of one thread each, that share `cores` as the work does."""
    total = costs.ocr + sum(costs.models.values())

    def share(seconds: float) -> int:
        return max(1, min(cores, math.ceil(cores * seconds / total - 1e-9))) if total > 0 else cores

    return share(costs.ocr), {name: share(seconds) for name, seconds in costs.models.items()}


def gpu_workers_by(costs: Costs, cores: int, gpus: int) -> dict[str, int]:
    """Workers of each model pool on GPUs of their own that keep up with OCR on all cores; at most one a GPU."""
    rate = cores / costs.ocr if costs.ocr > 0 else math.inf
    return {name: max(1, min(gpus, math.ceil(min(gpus, rate * seconds)))) for name, seconds in costs.models.items()}
