from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from pipelines.online import stage_calls
from pipelines.online.api.backend import Busy, NotReady
from pipelines.online.stage_calls import StageCalls, StageDied


class Handle:
    """A deployment whose answers are those of `answer`, which may raise."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self._answer = answer
        self.calls: list[tuple[str, str, tuple[Any, ...]]] = []
        self.running = self.most_running = 0

    def options(self, method_name: str, multiplexed_model_id: str) -> Handle:
        self._asked = (method_name, multiplexed_model_id)
        return self

    def remote(self, *arguments: Any) -> Response:
        self.calls.append((*self._asked, arguments))
        return Response(self, arguments)


class Response:
    def __init__(self, handle: Handle, arguments: tuple[Any, ...]) -> None:
        self._handle, self._arguments = handle, arguments

    def __await__(self) -> Any:
        return self._run().__await__()

    async def _run(self) -> Any:
        self._handle.running += 1
        self._handle.most_running = max(self._handle.most_running, self._handle.running)
        try:
            await asyncio.sleep(0)
            return self._handle._answer(*self._arguments)
        finally:
            self._handle.running -= 1

    def cancel(self) -> None:
        pass


class Load:
    """Counts what `LoadMetrics` would export."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def refused(self, stage: str) -> None:
        self.told.append(f"{stage} refused")

    def repeated(self, stage: str) -> None:
        self.told.append(f"{stage} repeated")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_calls, "_BACKOFF_SECONDS", 0.001)


def calls_of(answer: Callable[..., Any], attempts: int = 3) -> tuple[StageCalls, Handle, Load]:
    handle, load = Handle(answer), Load()
    made = StageCalls(handle, "models", attempts=attempts, retry_after=3.0, load=load)  # type: ignore[arg-type]
    return made, handle, load


def after(failures: list[Exception], result: Any = "done") -> Callable[..., Any]:
    def answer(*_: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return result

    return answer


def test_an_answer() -> None:
    stage, handle, load = calls_of(lambda a, b: a + b)
    assert asyncio.run(stage.call("annotate", 1, 2, model="default")) == 3
    assert handle.calls == [("annotate", "default", (1, 2))]
    assert load.told == []


@pytest.mark.parametrize("death", [ActorDiedError(), ActorUnavailableError("gone", None)])
def test_a_death_is_repeated(death: Exception) -> None:
    stage, handle, load = calls_of(after([death, death]))
    assert asyncio.run(stage.call("annotate")) == "done"
    assert len(handle.calls) == 3
    assert load.told == ["models repeated"] * 2


def test_a_killer_is_given_up() -> None:
    stage, handle, _ = calls_of(after([ActorDiedError() for _ in range(9)]))
    with pytest.raises(StageDied):
        asyncio.run(stage.call("annotate"))
    assert len(handle.calls) == 3


def test_a_killer_takes_nobody_with_it_twice() -> None:
    """All six die together once. Then they go one at a time, so only the killer dies again."""
    alone: dict[str, int] = {}

    def answer(name: str) -> str:
        if len(handle.calls) <= 6:
            raise ActorDiedError()
        alone[name] = alone.get(name, 0) + 1
        assert handle.running == 1
        if name == "killer":
            raise ActorDiedError()
        return name

    stage, handle, _ = calls_of(answer)

    async def run() -> list[Any]:
        names = ["a", "b", "killer", "c", "d", "e"]
        return await asyncio.gather(*(stage.call("annotate", name) for name in names), return_exceptions=True)

    results = asyncio.run(run())
    assert [result for result in results if isinstance(result, str)] == ["a", "b", "c", "d", "e"]
    assert isinstance(results[2], StageDied)
    assert handle.most_running == 6
    assert alone == {"a": 1, "b": 1, "killer": 2, "c": 1, "d": 1, "e": 1}


def test_a_full_queue_is_busy_unless_the_document_was_accepted() -> None:
    stage, _, load = calls_of(after([BackPressureError(4, 4)]))
    with pytest.raises(Busy) as caught:
        asyncio.run(stage.call("annotate"))
    assert caught.value.retry_after == 3.0
    assert load.told == ["models refused"]
    stage, handle, load = calls_of(after([BackPressureError(4, 4)] * 3))
    assert asyncio.run(stage.call("annotate", patient=True)) == "done"
    assert len(handle.calls) == 4
    assert load.told == []


def test_a_deployment_that_failed_is_not_ready() -> None:
    stage, _, _ = calls_of(after([DeploymentUnavailableError("models")]))  # type: ignore[arg-type]
    with pytest.raises(NotReady, match="models"):
        asyncio.run(stage.call("annotate"))


def test_what_a_replica_raises_is_not_repeated() -> None:
    stage, handle, _ = calls_of(after([KeyError("x")]))
    with pytest.raises(KeyError):
        asyncio.run(stage.call("annotate"))
    assert len(handle.calls) == 1


def test_answers() -> None:
    async def run(answer: Callable[..., Any], before: str | None = None) -> bool:
        stage, _, _ = calls_of(answer, attempts=1)
        if before == "answered":
            stage._answered = asyncio.get_running_loop().time() - 10
        return await stage.answers(0.2)

    def busy(*_: Any) -> None:
        raise BackPressureError(4, 4)

    assert asyncio.run(run(lambda: True))
    assert not asyncio.run(run(after([ActorDiedError()])))
    assert not asyncio.run(run(busy))
    assert asyncio.run(run(busy, before="answered"))
