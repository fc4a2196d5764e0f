"""Whether a replica still works: a small forward pass while nothing else has shown it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pipelines.online.batches import Batches

FRESH_SECONDS = 15.0
"""After a call that succeeded nothing is tried for so long."""

_PROBE_SECONDS = 15.0


class Pulse:
    """Health of one replica, whose work all goes through `batches`.

    Work that takes long is no sign of illness: a busy replica is healthy until one call of its engine or model has
    taken `stuck_seconds`. An idle one runs `probe`, which raises where the models do not work.
    """

    def __init__(
        self, batches: Batches[Any, Any, Any], probe: Callable[[], Awaitable[None]], stuck_seconds: float
    ) -> None:
        self._batches = batches
        self._probe = probe
        self._stuck_seconds = stuck_seconds

    async def check(self) -> None:
        """Raises RuntimeError where a call hangs, and whatever `probe` raises."""
        self._check_hang()
        if self._batches.busy_seconds or self._batches.idle_seconds < FRESH_SECONDS:
            return
        try:
            async with asyncio.timeout(min(_PROBE_SECONDS, self._stuck_seconds)):
                await self._probe()
        except TimeoutError:
            self._check_hang()  # a request may have come first, and it may be a large one

    def _check_hang(self) -> None:
        busy = self._batches.busy_seconds
        if busy >= self._stuck_seconds:
            raise RuntimeError(
                f"one call has taken {busy:.0f} s, over the limit of stuck_seconds = {self._stuck_seconds:g}"
            )
