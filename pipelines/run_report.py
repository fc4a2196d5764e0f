"""Content of run.json: what was done, how busy each stage was, and what a page has cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.cluster import Plan
from pipelines.config import ExtractConfig, PricesSettings
from pipelines.dataset import small_tasks
from pipelines.totals import Totals

_HOUR = 3600.0


@dataclass(frozen=True)
class StageWorkers:
    """Who does the work of a stage. `count`: at a time; `cpus`, `gpus`: what one of them keeps while it is busy."""

    count: int
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Machines:
    """Cores and GPUs of the cluster, busy or not."""

    cpus: float
    gpus: float


def stage_workers(plan: Plan, config: ExtractConfig) -> dict[str, StageWorkers]:
    """Workers by stage. The stages of one pool share its actors; decoding runs beside OCR, on a core of its own."""
    models = plan.ser if plan.re is None else plan.re
    fetch = config.fetch
    return {
        "fetch": StageWorkers(small_tasks(plan) * fetch.threads, fetch.num_cpus / fetch.threads, 0.0),
        "read": StageWorkers(plan.ocr.max_size, 1.0, 0.0),
        "ocr": StageWorkers(plan.ocr.max_size, plan.ocr.threads, plan.ocr.num_gpus),
        "ser": StageWorkers(plan.ser.max_size, plan.ser.threads, plan.ser.num_gpus),
        "re": StageWorkers(models.max_size, models.threads, models.num_gpus),
        "fields": StageWorkers(models.max_size, models.threads, models.num_gpus),
    }


def run_report(
    totals: Totals,
    seconds: float,
    workers: Mapping[str, StageWorkers],
    machines: Machines,
    prices: PricesSettings,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """The counts, speeds, shares and costs, and `extra` after them.

    A stage's `seconds_per_page` is work, and its cost that of what works; the cost of the run is that of all `machines`
    for all `seconds`, so the difference between it and the sum of the stages is what waited. Costs are there where
    `prices` are.
    """
    report: dict[str, Any] = {
        "documents": totals.documents,
        "succeeded": totals.succeeded,
        "failed": totals.failed,
        "partial": totals.partial,
        "pages": totals.pages,
        "fields": totals.fields,
        "entities": totals.entities,
        "seconds": round(seconds, 3),
        "pages_per_second": round(totals.pages / seconds, 4) if seconds > 0 else 0.0,
    }
    cost = cost_per_million(seconds, machines.cpus, machines.gpus, totals.pages, prices)
    if cost is not None:
        report["cost_per_million_pages"] = cost
    report["machines"] = {"cpus": machines.cpus, "gpus": machines.gpus}
    report["stages"] = {
        stage: _stage(busy, workers[stage], seconds, totals.pages, prices) for stage, busy in totals.busy.items()
    }
    report["errors"] = dict(totals.errors_by_category.most_common())
    report["scores"] = {name: histogram.tolist() for name, histogram in totals.scores.items()}
    return {**report, **extra}


def _stage(busy: float, workers: StageWorkers, seconds: float, pages: int, prices: PricesSettings) -> dict[str, Any]:
    stage: dict[str, Any] = {
        "busy_seconds": round(busy, 3),
        "pages_per_second": round(pages / busy, 3) if busy > 0 else 0.0,
        "seconds_per_page": round(busy / pages, 6) if pages else 0.0,
        "workers": workers.count,
        "busy_share": round(busy / (seconds * workers.count), 4) if seconds > 0 else 0.0,
    }
    cost = cost_per_million(busy, workers.cpus, workers.gpus, pages, prices)
    if cost is not None:
        stage["cost_per_million_pages"] = cost
    return stage


def cost_per_million(seconds: float, cpus: float, gpus: float, pages: int, prices: PricesSettings) -> float | None:
    """What `cpus` cores and `gpus` GPUs cost in `seconds`, for a million pages at that pace.

    A price that is not given counts as nothing where the other one is: GPU machines are often priced as a whole. None
    where no price is given, where GPUs have none, and where there is no page.
    """
    if not pages or (prices.cpu_hour is None and prices.gpu_hour is None) or (gpus > 0 and prices.gpu_hour is None):
        return None
    hourly = cpus * (prices.cpu_hour or 0.0) + gpus * (prices.gpu_hour or 0.0)
    return round(hourly * seconds / _HOUR / pages * 1e6, 4)
