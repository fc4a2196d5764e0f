"""One request at a time to a store that throttles, breaks off, trickles or stays silent: worth another try, each."""

from __future__ import annotations

import time
from collections.abc import Iterator

import boto3
import pytest

from kie_ray.errors import Category, DocumentError
from kie_ray.storage import list_files, read_bytes, s3
from pipelines.config import FetchSettings
from pipelines.fetch import FetchStage
from pipelines.layout import OutputLayout
from tests.faults.s3_proxy import Fault, Kind, Proxy, running_proxy
from tests.kie_ray.s3_server import environment, running_s3_server

BODY = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with running_s3_server() as upstream, pytest.MonkeyPatch.context() as patch, running_proxy(upstream) as proxy:
        for name, value in environment(proxy.endpoint).items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="forms")
        for number in range(3):
            client.put_object(Bucket="forms", Key=f"in/{number}.png", Body=BODY)
        yield proxy


@pytest.fixture(autouse=True)
def calm(proxy: Proxy, quick_retries: None) -> Iterator[None]:
    """No fault is left over."""
    yield
    proxy.calm()
    proxy.hits.clear()


def get(method: str, path: str) -> bool:
    return method == "GET" and "/in/" in path


def fetched(**settings: float) -> dict[str, object]:
    stage = FetchStage(FetchSettings(backoff_seconds=0.01, **settings), 2**20)  # type: ignore[arg-type]
    (row,) = stage.process([{"uri": "s3://forms/in/0.png", "error": None}])
    return row


@pytest.mark.parametrize("kind", ["503", "500", "reset", "lost answer", "partial", "slow"])
def test_a_passing_fault_costs_only_time(proxy: Proxy, kind: Kind) -> None:
    proxy.faults = [Fault(kind, get, times=2)]
    row = fetched()
    assert (row["error"], row["data"]) == (None, BODY)
    assert proxy.hits[kind] == (2 if kind != "slow" else 1)


@pytest.mark.parametrize("kind", ["503", "500", "reset", "partial"])
def test_a_lasting_fault_becomes_an_error_that_is_worth_another_try(proxy: Proxy, kind: Kind) -> None:
    proxy.faults = [Fault(kind, get)]
    row = fetched(attempts=2)
    error = row["error"]
    assert isinstance(error, dict)
    assert row["data"] is None
    assert (error["stage"], error["category"], error["retryable"]) == ("fetch", "unavailable", True)
    assert "s3://forms/in/0.png" in error["message"]


def test_an_object_that_only_trickles_is_given_up_in_time(proxy: Proxy) -> None:
    proxy.faults = [Fault("trickle", get, seconds=0.05)]
    started = time.monotonic()
    with pytest.raises(s3.S3Error, match=r"of 102400 bytes came in 1 seconds") as caught:
        s3.read_object("forms", "in/0.png", 2**20, max_seconds=1.0)
    assert caught.value.category == Category.UNAVAILABLE
    assert time.monotonic() - started < 20


def test_a_silent_server_is_given_up_in_time(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(s3, "_client", s3._client.__wrapped__)  # one that knows the shorter time
    proxy.faults = [Fault("hang", get)]
    with pytest.raises(DocumentError, match="ReadTimeoutError") as caught:
        read_bytes("s3://forms/in/0.png", 2**20)
    assert caught.value.item.category == Category.UNAVAILABLE


@pytest.mark.parametrize("kind", ["503", "reset"])
def test_a_listing_outlasts_a_passing_fault_and_names_a_lasting_one(proxy: Proxy, kind: Kind) -> None:
    proxy.faults = [Fault(kind, lambda method, path: "list-type" in path, times=2)]
    assert len(list(list_files(["s3://forms/in/"]))) == 3
    proxy.faults = [Fault(kind, lambda method, path: "list-type" in path)]
    with pytest.raises(DocumentError, match="s3://forms/in/") as caught:
        list(list_files(["s3://forms/in/"]))
    assert caught.value.item.retryable


@pytest.mark.parametrize("kind", ["503", "lost answer"])
def test_the_job_s_own_files_outlast_a_passing_fault(proxy: Proxy, kind: Kind) -> None:
    layout = OutputLayout("s3://forms/out")
    proxy.faults = [Fault(kind, lambda method, path: method in ("PUT", "POST"), times=3)]
    layout.write_json(layout.state_file, {"kind": kind})
    proxy.faults += [Fault(kind, lambda method, path: method in ("GET", "HEAD"), times=2)]
    assert layout.read_json(layout.state_file) == {"kind": kind}
    assert proxy.hits[kind] >= 4
