"""Two runs never write to one output at once, and a run that was killed is in nobody's way."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from kie_ray.errors import ConfigError
from kie_ray.storage import s3
from kie_ray.storage.leases import Lease, LeaseHeld
from pipelines.failures import IncompleteRun
from pipelines.layout import OutputLayout
from tests.faults.s3_proxy import Fault, Proxy, proxied_s3_server
from tests.job_support import ROOT

KEY = "out/.kie_ray/lock"
RENEW, LEASE = 0.1, 1.0
HOLD = """
import sys
sys.path.insert(0, {root!r})
from kie_ray.storage import leases
from pipelines.layout import OutputLayout
leases.RENEW_SECONDS = {renew}
with OutputLayout(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with proxied_s3_server() as proxy:
        yield proxy


@pytest.fixture
def bucket(proxy: Proxy, request: pytest.FixtureRequest, quick_retries: None) -> Iterator[str]:
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    boto3.client("s3").create_bucket(Bucket=name)
    yield name
    proxy.calm()


@contextlib.contextmanager
def another_run(uri: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds `uri` until its input ends, or until it is killed."""
    script = HOLD.format(root=str(ROOT), renew=RENEW)
    with subprocess.Popen(
        [sys.executable, "-c", script, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def lease(bucket: str, **options: object) -> Lease:
    return Lease(bucket, KEY, renew_seconds=RENEW, lease_seconds=LEASE, **options)  # type: ignore[arg-type]


def disguised(held: Lease) -> Lease:
    """As if its process were on another machine, where nobody can see whether it lives."""
    held._owner["machine"] = "another machine"
    return held


@pytest.mark.parametrize("remote", [False, True])
def test_a_second_run_is_refused_and_takes_over_once_the_first_was_killed(
    bucket: str, tmp_path: Path, remote: bool
) -> None:
    uri = f"s3://{bucket}/out" if remote else str(tmp_path / "out")
    with another_run(uri) as first:
        with pytest.raises(ConfigError, match="another run") as caught, OutputLayout(uri).locked():
            pass
        assert uri in str(caught.value)
        os.kill(first.pid, signal.SIGKILL)
        first.wait(10)
        started = time.monotonic()
        with OutputLayout(uri).locked():
            assert time.monotonic() - started < 5  # it ran here: nobody waits for its lease
    with OutputLayout(uri).locked():
        pass


def test_a_holder_elsewhere_that_stops_renewing_is_taken_over_after_a_lease(bucket: str) -> None:
    waits: list[str] = []
    dead = disguised(lease(bucket))
    dead.acquire()
    dead._stop.set()  # as if its machine were gone: no renewal, no release
    started = time.monotonic()
    second = lease(bucket, on_wait=waits.append)
    second.acquire()
    assert time.monotonic() - started >= LEASE
    assert waits == [f"process {os.getpid()} on {dead._owner['host']}"]
    second.release()


def test_a_holder_elsewhere_that_renews_is_left_alone(bucket: str) -> None:
    first, second = disguised(lease(bucket)), lease(bucket)
    first.acquire()
    with pytest.raises(LeaseHeld, match=f"process {os.getpid()}"):
        second.acquire()
    first.release()
    started = time.monotonic()
    second.acquire()
    assert time.monotonic() - started < LEASE  # given back, so there is nothing to wait for
    second.release()


def test_of_ten_that_start_together_one_comes_through(bucket: str) -> None:
    winners: list[Lease] = []
    refused: list[LeaseHeld] = []
    barrier = threading.Barrier(10)

    def start() -> None:
        mine = disguised(lease(bucket))
        barrier.wait()
        try:
            mine.acquire()
            winners.append(mine)
        except LeaseHeld as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for winner in winners:
        winner.release()
    assert (len(winners), len(refused)) == (1, 9)


def test_who_finds_its_lease_taken_stops(bucket: str) -> None:
    lost = threading.Event()
    first = disguised(lease(bucket, on_lost=lost.set))
    first.acquire()
    s3.write_version(bucket, KEY, b'{"state": "held", "owner": {}}', None, conditional=False)
    assert lost.wait(10)
    assert first.lost
    first.release()
    found = s3.read_versioned(bucket, KEY, 1000)
    assert found is not None
    assert found.data == b'{"state": "held", "owner": {}}', "the other one's lease was touched"


def test_a_run_that_was_cut_off_ends_with_a_reason(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kie_ray.storage.leases.RENEW_SECONDS", RENEW)

    def run() -> None:
        with OutputLayout(f"s3://{bucket}/out").locked():
            s3.write_version(bucket, KEY, b'{"state": "held", "owner": {}}', None, conditional=False)
            for _ in range(1000):
                time.sleep(0.05)

    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a job that a script has put into the background
    started = time.monotonic()
    try:
        with pytest.raises(IncompleteRun, match="another run took over"):
            run()
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert time.monotonic() - started < 25  # not only when it was over anyway


@pytest.mark.parametrize("kind", ["503", "reset", "lost answer"])
def test_a_lease_outlasts_a_store_that_fails_for_a_while(bucket: str, proxy: Proxy, kind: str) -> None:
    proxy.faults = [Fault(kind, lambda method, path: KEY in path, times=2)]  # type: ignore[arg-type]
    held = lease(bucket)
    held.acquire()
    proxy.faults = [Fault(kind, lambda method, path: KEY in path, times=8)]  # type: ignore[arg-type]
    deadline = time.monotonic() + 60
    while proxy.faults[0].times and time.monotonic() < deadline:
        time.sleep(0.05)
    renewals = held._renewals
    while held._renewals < renewals + 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not held.lost
    with pytest.raises(LeaseHeld):
        lease(bucket).acquire()
    held.release()


def test_a_store_that_does_not_answer_is_told_in_one_line(bucket: str, proxy: Proxy) -> None:
    proxy.faults = [Fault("503")]
    with (
        pytest.raises(IncompleteRun, match=rf"--output s3://{bucket}/out: .*SlowDown"),
        OutputLayout(f"s3://{bucket}/out").locked(),
    ):
        pass


def test_a_missing_bucket_is_told_in_one_line(proxy: Proxy) -> None:
    with (
        pytest.raises(ConfigError, match=r"--output s3://nowhere/out: .*NoSuchBucket"),
        OutputLayout("s3://nowhere/out").locked(),
    ):
        pass


def test_a_store_without_conditional_writes_still_refuses_a_second_run(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = s3.write_version

    def old_store(place: str, key: str, data: bytes, etag: str | None, *, conditional: bool = True) -> str:
        if conditional:
            raise s3.ConditionsUnknown("NotImplemented")
        return real(place, key, data, etag, conditional=False)

    monkeypatch.setattr(s3, "write_version", old_store)
    first, second = disguised(lease(bucket)), lease(bucket)
    first.acquire()
    with pytest.raises(LeaseHeld):
        second.acquire()
    assert not first.conditional
    first.release()


def test_what_lies_there_in_place_of_a_lease_is_no_reason_to_crash(bucket: str) -> None:
    for content in (b"", b"\xff\x00", b"[]", b'{"state": 3}', b'{"state": "held", "owner": 7}'):
        boto3.client("s3").put_object(Bucket=bucket, Key=KEY, Body=content)
        held = lease(bucket)
        held.acquire()  # nobody renews it
        held.release()
        found = s3.read_versioned(bucket, KEY, 1000)
        assert found is not None
        assert b'"released"' in found.data
