"""What a run asks of a cluster before it plans its pools."""

from __future__ import annotations

from pathlib import Path

import pytest

import kie_ray
from kie_ray.config import load_settings
from pipelines.cluster import own_code, plan_pools, smallest_run
from pipelines.config import ExtractConfig


def asked(*overrides: str) -> dict[str, float]:
    """Sums of the pieces, each of which has to fit into one node."""
    pieces = smallest_run(load_settings(ExtractConfig, None, list(overrides)))
    return {name: sum(piece.get(name, 0.0) for piece in pieces) for name in ("CPU", "GPU")}


def test_a_run_asks_for_two_cpus_where_nothing_is_said() -> None:
    assert asked() == {"CPU": 2, "GPU": 0}
    assert sum(piece["CPU"] for piece in smallest_run(None)) == 2


def test_a_run_asks_for_what_its_pools_reserve() -> None:
    overrides = ["pools.ocr.min_size=3", "pools.ocr.max_size=9", "pools.ocr.num_cpus=1", "pools.ser.min_size=2"]
    overrides += ["pools.ser.max_size=4", "pools.ser.num_gpus=1"]
    wanted = asked(*overrides)
    assert wanted == pytest.approx({"CPU": 1.5 + 0.5 + 3 + 2 * 0.1, "GPU": 2})
    # what was asked for is enough for the plan that follows
    plan = plan_pools(load_settings(ExtractConfig, None, overrides), wanted)
    assert (plan.ocr.min_size, plan.ocr.max_size, plan.ser.min_size, plan.ser.num_gpus) == (3, 9, 2, 1)


def test_the_pieces_fit_into_small_nodes() -> None:
    config = load_settings(ExtractConfig, None, ["pools.ocr.size=16", "pools.ocr.num_cpus=1"])
    assert all(piece == {"CPU": 1} for piece in smallest_run(config))


def test_workers_get_the_packages_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    environment = own_code()
    assert environment is not None
    modules = [Path(module) for module in environment["py_modules"]]
    assert modules == [Path(kie_ray.__file__).parent, Path(kie_ray.__file__).parents[1] / "pipelines"]
    assert all((module / "__init__.py").is_file() for module in modules)


def test_a_submitted_job_keeps_what_it_was_submitted_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"runtime_env": {}}')
    assert own_code() is None
