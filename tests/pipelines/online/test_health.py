from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from pipelines.online.health import FRESH_SECONDS, Pulse


@dataclass
class State:
    """What `Batches` tells."""

    busy_seconds: float = 0.0
    idle_seconds: float = float("inf")


def check(state: Any, probe: Any, stuck_seconds: float = 30.0) -> None:
    asyncio.run(Pulse(state, probe, stuck_seconds).check())


async def broken() -> None:
    raise RuntimeError("no models here")


async def hanging() -> None:
    await asyncio.sleep(30)


def test_an_idle_replica_is_tried() -> None:
    with pytest.raises(RuntimeError, match="no models here"):
        check(State(), broken)


@pytest.mark.parametrize("state", [State(busy_seconds=20.0), State(idle_seconds=FRESH_SECONDS / 2)])
def test_real_work_is_proof_enough(state: State) -> None:
    check(state, broken)


def test_a_call_that_hangs_is_told() -> None:
    with pytest.raises(RuntimeError, match="stuck_seconds = 30"):
        check(State(busy_seconds=31.0), broken)


def test_a_probe_that_waits_behind_a_request_is_no_failure() -> None:
    check(State(), hanging, stuck_seconds=0.1)
