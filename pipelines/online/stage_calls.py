"""Calls of the ingress to one deployment: full queues, dead replicas and documents that kill them."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any

from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, WorkerCrashedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from pipelines.online.api.backend import Busy, NotReady
from pipelines.online.metrics import LoadMetrics

DEATHS = (
    RayActorError,
    WorkerCrashedError,
    NodeDiedError,
    OutOfMemoryError,
    ObjectLostError,
    ReplicaUnavailableError,
)
"""What a call raises when the replica died, or was unreachable, or its answer was lost with its node."""

_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 2.0
_BUSY_SECONDS = 60.0

logger = logging.getLogger(__name__)


class StageDied(Exception):
    """Every replica that was given this call died under it."""


class StageCalls:
    """Calls one deployment.

    A call whose replica dies is repeated, `attempts` times in all. It may itself be what kills replicas, so such calls
    go one at a time: a document that was only near a killer is not near it again, and comes through at its next try.
    """

    def __init__(
        self, handle: DeploymentHandle, name: str, *, attempts: int, retry_after: float, load: LoadMetrics
    ) -> None:
        self._handle = handle
        self.name = name
        self._attempts = attempts
        self._retry_after = retry_after
        self._load = load
        self._suspects = asyncio.Lock()
        self._answered = float("-inf")
        self._died = float("-inf")

    async def call(self, method: str, *arguments: Any, model: str = "", patient: bool = False) -> Any:
        """What `method` of a replica returns.

        Args:
            model: bundle that the replica should have in memory.
            patient: wait where the deployment's queue is full; such a document has been accepted already.

        Raises:
            Busy: the queue is full, and the call is not `patient`.
            NotReady: the deployment failed to start.
            StageDied: after `attempts` deaths.
        """
        try:
            return await self._once(method, arguments, model, patient)
        except Busy:
            self._load.refused(self.name)
            raise
        except DEATHS as error:
            self._note(error, method, 1)
        async with self._suspects:
            for attempt in range(2, self._attempts + 1):
                await asyncio.sleep(_backoff(attempt))
                try:
                    return await self._once(method, arguments, model, patient=True)
                except DEATHS as error:
                    self._note(error, method, attempt)
        raise StageDied(self.name)

    async def answers(self, seconds: float) -> bool:
        """Whether a replica answers within `seconds`; where the queue is too long for that, whether one did lately."""
        silent = time.monotonic() - self._answered
        if silent < seconds:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._once("alive", (), "", patient=False)
        except (*DEATHS, NotReady):
            return False
        except (Busy, TimeoutError):
            return silent < _BUSY_SECONDS and self._died < self._answered
        return True

    async def _once(self, method: str, arguments: tuple[Any, ...], model: str, patient: bool) -> Any:
        handle = self._handle.options(method_name=method, multiplexed_model_id=model)
        waited = 0
        while True:
            response = handle.remote(*arguments)
            try:
                result = await response
            except BackPressureError:
                if not patient:
                    raise Busy(self._retry_after) from None
                waited += 1
                await asyncio.sleep(_backoff(waited))
                continue
            except DeploymentUnavailableError as error:
                raise NotReady(f"deployment {self.name} failed to start") from error
            except asyncio.CancelledError:
                response.cancel()
                raise
            self._answered = time.monotonic()
            return result

    def _note(self, error: Exception, method: str, attempt: int) -> None:
        self._died = time.monotonic()
        self._load.repeated(self.name)
        logger.warning("%s.%s: %s, attempt %d of %d", self.name, method, type(error).__name__, attempt, self._attempts)


def _backoff(attempt: int) -> float:
    longest = min(_LONGEST_BACKOFF_SECONDS, _BACKOFF_SECONDS * 2**attempt)
    return longest * random.uniform(0.5, 1.0)
