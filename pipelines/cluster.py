"""Connection to Ray, and pool sizes that fit what is there: no user has to set anything and nothing dead-locks."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

import kie_ray
from kie_ray.errors import ConfigError
from pipelines.config import ExtractConfig, PoolSettings
from pipelines.costs import Costs, gpu_workers_by, workers_by

SMALL_TASK_CPUS = 0.1
"""Reserved for a read, download or write task: they wait more than they compute."""

_FILTER_CPUS = 1.0
_SMALL_TASKS_CPUS = 0.5
_LOCAL_OBJECT_STORE = 2 * 2**30
_WAIT_FOR_NODES = 15 * 60
_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # the variable's own name; `ray job submit` sets it for the entrypoint


@dataclass(frozen=True)
class PoolPlan:
    """One pool as it will be started."""

    min_size: int
    max_size: int
    num_cpus: float
    num_gpus: float
    threads: int


@dataclass(frozen=True)
class Plan:
    """All pools of a run. `re` is None where one encoder serves both heads: then the `ser` pool runs both."""

    ocr: PoolPlan
    ser: PoolPlan
    re: PoolPlan | None = None

    @property
    def slots(self) -> int:
        return self.ocr.max_size

    @property
    def pools(self) -> dict[str, PoolPlan]:
        """The pools of this run by name, in the order in which a document passes them."""
        named = {"ocr": self.ocr, "ser": self.ser, "re": self.re}
        return {name: pool for name, pool in named.items() if pool is not None}


def connect(min_cpus: int = 0, config: ExtractConfig | None = None) -> bool:
    """Join the cluster that RAY_ADDRESS names, else start Ray on this machine. True where it was started here.

    On a cluster the workers run this driver's code, whatever is installed there, and an autoscaler is given the time to
    bring the first nodes: a run needs 2 CPUs, or what the sizes in `config` reserve.

    `min_cpus`: logical CPUs that a Ray started here declares at least.

    Raises:
        ConfigError: the nodes did not come.
    """
    if ray.is_initialized():
        return False
    if os.environ.get("RAY_ADDRESS"):
        ray.init(runtime_env=own_code(), log_to_driver=False, logging_level=logging.ERROR)
        _keep_sigterm()
        wait_for_nodes(smallest_run(config))
        return False
    # Ray schedules by declared CPUs. On a resumed run the checkpoint filter is an actor that takes one for itself, so
    # the pools would wait for ever on a small machine that declares no more than it has (seen on 2 CPUs, Ray 2.60).
    ray.init(
        address="local",
        num_cpus=max(usable_cpus() + 2, min_cpus),
        object_store_memory=min(_LOCAL_OBJECT_STORE, _physical_memory() // 5),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    _keep_sigterm()
    return True


def _keep_sigterm() -> None:
    """Give SIGTERM back to the Python handler of this process, if it has one.

    Ray's core puts one of its own below Python's, which prints a stack of C++ and ends the process: `ray job stop`, and
    Kubernetes where it takes a pod away, would never reach the driver's.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def own_code() -> dict[str, Any] | None:
    """Runtime environment with this driver's packages; None in a submitted job, which brings its working_dir or image.

    Without it a worker imports what its own machine has installed, and the two sides of a run may differ.
    """
    if _SUBMITTED in os.environ:
        return None
    root = Path(kie_ray.__file__).parents[1]
    return {"py_modules": [str(root / "kie_ray"), str(root / "pipelines")], "excludes": ["__pycache__"]}


def smallest_run(config: ExtractConfig | None) -> list[dict[str, float]]:
    """What must be free for a run with the sizes that `config` fixes, in pieces that each fit into one node."""
    pools = [config.pools.ocr, config.pools.ser, config.pools.re] if config is not None else []
    actors = [
        {"CPU": SMALL_TASK_CPUS if pool.num_cpus is None else pool.num_cpus, "GPU": pool.num_gpus or 0.0}
        for pool in pools
        for _ in range(pool.size or pool.min_size or 0)
    ]
    with_gpus = [{name: share for name, share in actor.items() if share} for actor in actors if actor["GPU"]]
    cpus = max(2.0, _FILTER_CPUS + _SMALL_TASKS_CPUS + sum(actor["CPU"] for actor in actors if not actor["GPU"]))
    return with_gpus + [{"CPU": 1.0}] * math.ceil(cpus)


def wait_for_nodes(pieces: list[dict[str, float]], seconds: float = _WAIT_FOR_NODES) -> None:
    """Until the cluster has room for `pieces`; returns at once where its total says so.

    Raises:
        ConfigError: it has not after `seconds`.
    """
    wanted = {name: sum(piece.get(name, 0.0) for piece in pieces) for name in ("CPU", "GPU")}
    if _has(wanted):
        return
    print(
        f"waiting for nodes: the cluster has {_shown(ray.cluster_resources())}, the smallest run needs "
        f"{_shown(wanted)}",
        file=sys.stderr,
        flush=True,
    )
    # Unlike `request_resources` of the autoscaler, a placement group goes away with its driver and holds no node after.
    group = placement_group(pieces)
    try:
        if not group.wait(seconds):
            raise ConfigError(
                f"the Ray cluster has {_shown(ray.cluster_resources())} after {seconds:g} s, the smallest run needs "
                f"{_shown(wanted)}: add nodes, or lower pools.*.size, min_size, num_cpus or num_gpus"
            )
    finally:
        remove_placement_group(group)


def _has(wanted: Mapping[str, float]) -> bool:
    there = ray.cluster_resources()
    return all(there.get(name, 0.0) >= amount for name, amount in wanted.items())


def _shown(resources: Mapping[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"


def usable_cpus() -> int:
    """Cores that this process may use: its affinity, and the quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return max(1, cores)


def plan_pools(
    config: ExtractConfig,
    resources: Mapping[str, float],
    cores: int | None = None,
    *,
    separate_re: bool = False,
    costs: Costs | None = None,
) -> Plan:
    """Sizes and shares of the pools on a Ray with these `resources` (as `ray.cluster_resources()` gives them).

    `cores`: real cores where Ray declares more (`connect` does); by default the declared ones. What the configuration
    leaves open: one OCR actor of one thread a core (more pages at a time beat more threads a page), up to half as many
    actors of each model, or the other way round where annotations stand in for OCR; with GPUs, one actor of each model
    a GPU. With `costs` workers stand to each other as the work does: OCR and models share the cores, or as many models
    have a GPU as keep up with OCR on the cores (where OCR is on GPUs too, nothing changes). Their logical CPUs together
    leave room for the checkpoint filter and the small tasks. `separate_re`: the bundle holds two models, so RE has a
    pool of its own.

    Raises:
        ConfigError: the cluster has fewer than 2 CPUs, or the configured pools do not fit into it.
    """
    declared, gpus = float(resources.get("CPU", 0)), float(resources.get("GPU", 0))
    if declared < 2:
        raise ConfigError(f"the Ray cluster has {declared:g} CPUs; the job needs at least 2")
    cores = cores or int(declared)
    budget = declared - _FILTER_CPUS - _SMALL_TASKS_CPUS
    recognises = config.ocr.engine != "annotations"
    readers = cores if recognises else max(1, cores // 2)
    ocr_low, ocr_high = _sizes(config.pools.ocr, readers, readers)
    with_gpus = gpus >= 1 and config.device != "cpu" and config.pools.ser.num_gpus != 0
    wanted = int(gpus) if with_gpus else max(1, cores // 2) if recognises else cores
    models = {"ser": config.pools.ser} | ({"re": config.pools.re} if separate_re else {})
    most = dict.fromkeys(models, wanted)
    if costs is not None and not with_gpus:
        readers, most = workers_by(costs, cores)
        ocr_low, ocr_high = _sizes(config.pools.ocr, readers, readers)
    elif costs is not None and not _onnx_has_cuda():
        most = gpu_workers_by(costs, cores, int(gpus))
    sizes = {name: _sizes(pool, most[name] if with_gpus else 1, most[name]) for name, pool in models.items()}
    share = _open_share(
        budget, [(config.pools.ocr, (ocr_low, ocr_high)), *((models[name], sizes[name]) for name in models)]
    )
    ocr_gpus = _auto_gpus(config.pools.ocr, 0.5 * gpus / ocr_high if with_gpus and _onnx_has_cuda() else 0.0)
    gpu_share = 0.5 / len(models) if with_gpus else 0.0
    plan = Plan(
        PoolPlan(ocr_low, ocr_high, _cpus(config.pools.ocr, share), ocr_gpus, config.pools.ocr.threads or 1),
        **{
            name: PoolPlan(*sizes[name], _cpus(pool, share), _auto_gpus(pool, gpu_share), pool.threads or 1)
            for name, pool in models.items()
        },
    )
    _check_fit(plan, budget, gpus)
    return plan


def _check_fit(plan: Plan, budget: float, gpus: float) -> None:
    cpus = sum(pool.min_size * pool.num_cpus for pool in plan.pools.values())
    if cpus > budget + 1e-6:
        raise ConfigError(
            f"the pools reserve {cpus:g} CPUs (pools.*.size x num_cpus), the cluster has {budget:g} for them; "
            "lower pools.ocr.num_cpus or the sizes"
        )
    wanted = sum(pool.min_size * pool.num_gpus for pool in plan.pools.values())
    if wanted > gpus + 1e-6:
        raise ConfigError(f"the pools reserve {wanted:g} GPUs (pools.*.size x num_gpus), the cluster has {gpus:g}")


def _sizes(pool: PoolSettings, low: int, high: int) -> tuple[int, int]:
    if pool.size is not None:
        return pool.size, pool.size
    low = pool.min_size or min(low, pool.max_size or low)
    return low, pool.max_size or max(low, high)


def _open_share(budget: float, pools: Sequence[tuple[PoolSettings, tuple[int, int]]]) -> float:
    """CPUs of an actor whose pool does not say: equal parts of what the pools that do say leave at their smallest."""
    said = sum(low * pool.num_cpus for pool, (low, _) in pools if pool.num_cpus is not None)
    unsaid = sum(high for pool, (_, high) in pools if pool.num_cpus is None)
    return (budget - said) / max(1, unsaid)


def _cpus(pool: PoolSettings, share: float) -> float:
    if pool.num_cpus is not None:
        return pool.num_cpus
    return max(0.01, min(1.0, int(share * 100) / 100))


def _auto_gpus(pool: PoolSettings, automatic: float) -> float:
    return int(automatic * 100) / 100 if pool.num_gpus is None else pool.num_gpus


def _onnx_has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
