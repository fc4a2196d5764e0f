"""One request at a time to a store that throttles, breaks off, trickles or stays silent: worth another try, each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import boto3
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from kie_ray.errors import Category, DocumentError
from kie_ray.storage import filesystem_for, list_files, read_bytes, s3, s3_client
from kie_ray.storage.patience import Patience, is_passing, retried
from kie_ray.storage.s3_client import S3Error
from pipelines.config import FetchSettings
from pipelines.fetch import FetchStage
from pipelines.layout import OutputLayout
from pipelines.parquet_files import count_rows, read_batches, read_table
from tests.faults.s3_proxy import Fault, Kind, Proxy, proxied_s3_server

BODY = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with proxied_s3_server() as proxy:
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


@pytest.mark.parametrize("kind", ["503", "reset", "lost answer", "partial"])
def test_an_object_is_read_whole_by_one_call(proxy: Proxy, kind: Kind) -> None:
    """Label files, manifests and the lock are read without the tries that a download has."""
    proxy.faults = [Fault(kind, get, times=2)]
    found = s3.read_versioned("forms", "in/0.png", 2**20)
    assert found is not None
    assert found.data == BODY
    assert proxy.hits[kind] == 2


def test_a_body_that_breaks_for_good_is_asked_for_three_times(proxy: Proxy) -> None:
    proxy.faults = [Fault("partial", get)]
    with pytest.raises(S3Error) as caught:
        s3.read_object("forms", "in/0.png", 2**20)
    assert caught.value.category == Category.UNAVAILABLE
    assert proxy.hits["partial"] == 3


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
    with pytest.raises(S3Error, match=r"of 102400 bytes came in 1 seconds") as caught:
        s3.read_object("forms", "in/0.png", 2**20, max_seconds=1.0)
    assert caught.value.category == Category.UNAVAILABLE
    assert time.monotonic() - started < 20


def test_a_silent_server_is_given_up_in_time(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(s3_client, "_client", s3_client._client.__wrapped__)  # one that knows the shorter time
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


@pytest.fixture
def quick_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kie_ray.storage.patience._FIRST_WAIT_SECONDS", 0.01)


def test_a_file_smaller_than_the_error_that_is_sent_in_its_place_is_read(proxy: Proxy, quick_patience: None) -> None:
    """Arrow alone does not try again here: the error's text overflows the buffer that waits for the file."""
    layout = OutputLayout("s3://forms/small")
    layout.write_json(layout.state_file, {"rows": 3})

    def first_get(method: str, path: str) -> bool:
        return method == "GET" and "state.json" in path

    filesystem: pafs.FileSystem = layout.filesystem
    proxy.faults = [Fault("503", first_get, times=1)]
    with pytest.raises(OSError, match="AWS Error") as caught, filesystem.open_input_stream(layout.state_file) as stream:
        stream.read()
    assert is_passing(caught.value)
    proxy.faults = [Fault("503", first_get, times=2)]
    assert layout.read_json(layout.state_file) == {"rows": 3}
    assert proxy.hits["503"] == 3


@pytest.mark.parametrize("kind", ["503", "500", "reset", "partial", "lost answer"])
def test_a_parquet_file_is_read_whole_while_every_fourth_request_fails(
    proxy: Proxy, kind: Kind, quick_patience: None
) -> None:
    table = pa.table({"number": list(range(6000)), "text": [f"value {number}" for number in range(6000)]})
    filesystem, path = filesystem_for("s3://forms/tables/part.parquet")
    pq.write_table(table, path, filesystem=filesystem, row_group_size=1000)
    turns = itertools.cycle([False, False, True, False])
    proxy.faults = [Fault(kind, lambda method, path: "part.parquet" in path and next(turns))]
    assert count_rows(filesystem, path) == 6000
    assert read_table(filesystem, path, ["text"]) == table.select(["text"])
    batches, shares = zip(*read_batches(filesystem, path, most_rows=300), strict=True)
    assert pa.Table.from_batches(batches) == table
    assert (list(shares), shares[-1]) == (sorted(shares), 1.0)
    assert proxy.hits[kind] >= 3


def test_a_row_group_whose_reading_fails_half_way_is_read_again_without_double_rows(quick_patience: None) -> None:
    table = pa.table({"number": list(range(1000))})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    breaks = iter([2, 5])

    class Breaking(pq.ParquetFile):
        def iter_batches(self, *args: object, **kwargs: object) -> Iterator[pa.RecordBatch]:
            good = next(breaks, 1000)
            for number, batch in enumerate(super().iter_batches(*args, **kwargs)):
                if number == good:
                    raise OSError("AWS Error NETWORK_CONNECTION during GetObject operation")
                yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "pipelines.parquet_files.pq.ParquetFile", lambda *_, **__: Breaking(pa.BufferReader(sink.getvalue()))
        )
        batches = [batch for batch, _ in read_batches(pafs.LocalFileSystem(), "a.parquet", most_rows=100)]
    assert pa.Table.from_batches(batches) == table


def test_what_will_not_pass_is_not_tried_again(quick_patience: None) -> None:
    calls = []

    @retried
    def read(error: OSError) -> None:
        calls.append(error)
        raise error

    for error in (FileNotFoundError("no such file"), OSError("AWS Error ACCESS_DENIED during GetObject operation")):
        with pytest.raises(OSError, match=str(error)):
            read(error)
    assert len(calls) == 2
    with pytest.raises(OSError, match="SLOW_DOWN"):
        read(OSError("AWS Error SLOW_DOWN during GetObject operation"))
    assert len(calls) == 2 + 6
    with pytest.raises(OSError, match="No space left"):
        Patience().after(OSError("No space left on device"))


def test_what_is_tried_within_something_that_is_tried_is_not_tried_36_times(quick_patience: None) -> None:
    calls = 0

    @retried
    def fails_for_good() -> None:
        nonlocal calls
        calls += 1
        raise OSError("AWS Error SERVICE_UNAVAILABLE during GetObject operation")

    @retried
    def around_it() -> None:
        fails_for_good()

    with pytest.raises(OSError, match="SERVICE_UNAVAILABLE"):
        around_it()
    assert calls == 6
