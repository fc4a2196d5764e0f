from __future__ import annotations

from typing import Any

import pytest

from kie_ray.config import load_settings
from pipelines.cluster import plan_pools
from pipelines.config import ExtractConfig
from pipelines.costs import Costs, costs_of, gpu_workers_by, workers_by


def row(pages: int, **timings: float) -> dict[str, Any]:
    stages = dict.fromkeys(("fetch", "read", "ocr", "ser", "re", "fields"), 0.0)
    return {"pages": [{}] * pages, "timings": {**stages, **timings}}


def test_costs_are_medians_a_page_and_rows_without_pages_say_nothing() -> None:
    rows = [
        row(1, fetch=50.0, read=0.1, ocr=9.0, ser=3.0),  # the first call is slow
        row(2, read=0.2, ocr=2.0, ser=0.4, re=0.1, fields=0.1),
        row(1, read=0.1, ocr=1.2, ser=0.2, re=0.1, fields=0.1),
        row(0, read=30.0),
    ]
    assert costs_of(rows, separate_re=False) == Costs(pytest.approx(1.3), {"ser": pytest.approx(0.4)}, 4)
    assert costs_of(rows, separate_re=True) == Costs(
        pytest.approx(1.3), {"ser": pytest.approx(0.2), "re": pytest.approx(0.1)}, 4
    )
    assert costs_of([row(0)], separate_re=False) is None


@pytest.mark.parametrize(
    ("ocr", "models", "cores", "readers", "workers"),
    [
        (1.3, {"ser": 0.09}, 16, 15, {"ser": 2}),
        (1.0, {"ser": 2.0}, 16, 6, {"ser": 11}),
        (1.0, {"ser": 1.0, "re": 2.0}, 16, 4, {"ser": 4, "re": 8}),
        (1.3, {"ser": 0.09}, 2, 2, {"ser": 1}),
        (1.0, {"ser": 9.0}, 2, 1, {"ser": 2}),
        (0.0, {"ser": 1.0}, 4, 1, {"ser": 4}),
        (0.0, {"ser": 0.0}, 4, 4, {"ser": 4}),
    ],
)
def test_workers_share_the_cores_as_the_work_does(
    ocr: float, models: dict[str, float], cores: int, readers: int, workers: dict[str, int]
) -> None:
    assert workers_by(Costs(ocr, models, 8), cores) == (readers, workers)


def test_models_on_gpus_keep_up_with_ocr_on_the_cores() -> None:
    assert gpu_workers_by(Costs(1.0, {"ser": 0.05}, 8), cores=32, gpus=4) == {"ser": 2}
    assert gpu_workers_by(Costs(1.0, {"ser": 0.01, "re": 1.0}, 8), cores=32, gpus=4) == {"ser": 1, "re": 4}
    assert gpu_workers_by(Costs(0.0, {"ser": 0.01}, 8), cores=32, gpus=4) == {"ser": 4}


def test_a_plan_follows_the_costs_where_the_configuration_says_nothing() -> None:
    heavy = Costs(1.0, {"ser": 2.0}, 8)
    without = plan_pools(ExtractConfig(), {"CPU": 18}, 16)
    plan = plan_pools(ExtractConfig(), {"CPU": 18}, 16, costs=heavy)
    assert (without.ocr.max_size, without.ser.max_size) == (16, 8)
    assert (plan.ocr.max_size, plan.ser.max_size) == (6, 11)
    assert sum(pool.max_size * pool.num_cpus for pool in plan.pools.values()) <= 18 - 1.5
    pinned = load_settings(ExtractConfig, None, ["pools.ocr.size=3", "pools.ser.max_size=5"])
    plan = plan_pools(pinned, {"CPU": 18}, 16, costs=heavy)
    assert (plan.ocr.max_size, plan.ser.max_size) == (3, 5)


def test_a_plan_takes_as_many_gpus_as_the_models_need() -> None:
    cheap = Costs(1.0, {"ser": 0.05}, 8)
    plan = plan_pools(ExtractConfig(), {"CPU": 32, "GPU": 4}, costs=cheap)
    assert (plan.ocr.max_size, plan.ser.min_size, plan.ser.max_size) == (32, 2, 2)
    assert plan_pools(ExtractConfig(), {"CPU": 32, "GPU": 4}).ser.min_size == 4
