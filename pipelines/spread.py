"""One function over the parts of a finished run: a single part in this process, several as tasks of Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from kie_ray.storage.patience import retried

R = TypeVar("R")


def spread(function: Callable[..., R], calls: Sequence[tuple[Any, ...]], at_a_time: int = 1) -> Iterator[R]:
    """What `function` gives for the arguments in each of `calls`, in the order in which they end.

    `function` may run twice for one call: where the storage failed, or its node died. For several calls Ray has to be
    connected; at most `at_a_time` run at a time, all over the cluster.
    """
    if len(calls) == 1:
        yield retried(function)(*calls[0])
        return
    import ray

    from pipelines.cluster import SMALL_TASK_CPUS

    remote: Any = ray.remote(function)
    task = remote.options(
        num_cpus=SMALL_TASK_CPUS, max_retries=3, retry_exceptions=[OSError], scheduling_strategy="SPREAD"
    )
    waiting = iter(calls)
    running: list[ray.ObjectRef] = []
    try:
        while True:
            while len(running) < at_a_time and (arguments := next(waiting, None)) is not None:
                running.append(task.remote(*arguments))
            if not running:
                return
            ready, running = ray.wait(running, num_returns=1)
            yield ray.get(ready[0])
    finally:
        for reference in running:
            ray.cancel(reference)
