from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from pipelines.cluster import Plan, PoolPlan
from pipelines.config import ExtractConfig, PricesSettings
from pipelines.counters import Counts
from pipelines.run_report import Machines, cost_per_million, run_report, stage_workers
from pipelines.timeline import MOST_SAMPLES, Timeline
from pipelines.totals import Totals

CPU_POOL = PoolPlan(2, 4, 0.5, 0.0, 1)
GPU_POOL = PoolPlan(2, 2, 0.5, 0.25, 3)


def report(prices: PricesSettings, gpus: float = 0.0) -> dict[str, Any]:
    plan = Plan(CPU_POOL, GPU_POOL if gpus else CPU_POOL)
    totals = Totals(documents=10, failed=1, pages=40)
    totals.busy |= {"ocr": 80.0, "ser": 8.0}
    workers = stage_workers(plan, ExtractConfig())
    return run_report(totals, 25.0, workers, Machines(8.0, gpus), prices, {"fingerprint": "f"})


def test_shares_and_speeds() -> None:
    found = report(PricesSettings())
    assert (found["documents"], found["succeeded"], found["failed"], found["pages_per_second"]) == (10, 9, 1, 1.6)
    assert found["stages"]["ocr"] == {
        "busy_seconds": 80.0,
        "pages_per_second": 0.5,
        "seconds_per_page": 2.0,
        "workers": 4,
        "busy_share": 0.8,  # 80 of 25 seconds x 4 actors
    }
    assert found["stages"]["fetch"]["workers"] == 8  # one task (of 4 OCR actors) with 8 threads
    assert found["stages"]["re"]["busy_share"] == 0.0
    assert "cost_per_million_pages" not in found
    assert [len(found["scores"][name]) for name in ("ocr_score", "label_score", "field_score")] == [20] * 3
    assert found["fingerprint"] == "f"
    json.dumps(found)


def test_costs_follow_the_prices() -> None:
    found = report(PricesSettings(cpu_hour=0.36))
    assert found["stages"]["ocr"]["cost_per_million_pages"] == 200.0  # 2 s a page at 0.0001 a second
    assert found["cost_per_million_pages"] == 500.0  # 8 cores for 25 s and 40 pages
    with_gpus = report(PricesSettings(cpu_hour=0.36, gpu_hour=3.6), gpus=2.0)
    assert with_gpus["cost_per_million_pages"] == 1750.0  # and 2 GPUs at 0.001 a second
    # 0.2 s a page on 3 cores and a quarter of a GPU
    assert with_gpus["stages"]["ser"]["cost_per_million_pages"] == 110.0


def test_a_cost_that_is_not_known_is_not_told() -> None:
    assert "cost_per_million_pages" not in report(PricesSettings(cpu_hour=0.36), gpus=2.0)
    assert cost_per_million(10.0, 1.0, 0.0, 0, PricesSettings(cpu_hour=1.0)) is None
    assert cost_per_million(3600.0, 4.0, 1.0, 10**6, PricesSettings(gpu_hour=2.5)) == 2.5


def test_a_run_without_pages_or_time_divides_by_nothing() -> None:
    workers = stage_workers(Plan(CPU_POOL, CPU_POOL), ExtractConfig())
    found = run_report(Totals(), 0.0, workers, Machines(2.0, 0.0), PricesSettings(cpu_hour=1.0), {})
    assert found["pages_per_second"] == 0.0
    assert found["stages"]["ocr"]["busy_share"] == 0.0


def counts(rows: int) -> Counts:
    return Counts(rows=rows, pages=2 * rows, failed=rows // 10, busy={"ocr": 0.5 * rows})


def test_a_timeline_goes_on_after_an_interruption() -> None:
    first = Timeline()
    for second in range(4):
        first.add(10.0 * second, counts(second))
    stored = json.loads(json.dumps(first.samples))
    second_start = Timeline(stored)
    second_start.add(45.0, Counts())
    second_start.add(55.0, counts(7))
    assert [sample["start"] for sample in second_start.samples] == [0, 0, 0, 0, 1, 1]
    assert [sample["rows"] for sample in second_start.samples] == [0, 1, 2, 3, 3, 10]
    assert second_start.samples[-1] == {
        "start": 1,
        "seconds": 55.0,
        "rows": 10,
        "pages": 20,
        "failed": 0,
        "busy": {"ocr": 5.0},
    }
    assert stored == first.samples  # what was read is not changed


def test_a_long_timeline_is_thinned_evenly() -> None:
    timeline = Timeline([{"start": 0, "seconds": 5.0, "rows": 0, "pages": 0, "failed": 0, "busy": {}}])
    for tick in range(5000):
        timeline.add(100.0 + 10.0 * tick, counts(tick))
    assert len(timeline.samples) == MOST_SAMPLES
    seconds = [sample["seconds"] for sample in timeline.samples]
    assert (seconds[0], seconds[1], seconds[-1]) == (5.0, 100.0, 50_090.0)
    gaps = [after - before for before, after in pairwise(seconds[1:])]
    assert max(gaps) <= 3 * 50_090 / MOST_SAMPLES


@pytest.mark.parametrize("name", ["cpu_hour", "gpu_hour"])
def test_prices_are_no_part_of_the_results(name: str) -> None:
    from kie_ray.config import load_settings

    priced = load_settings(ExtractConfig, None, [f"prices.{name}=2", "pools.ocr.size=3"])
    assert priced.results_part() == ExtractConfig().results_part()
    assert priced.differences() == {f"prices.{name}": 2.0, "pools.ocr.size": 3}
