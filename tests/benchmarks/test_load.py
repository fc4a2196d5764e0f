"""The load generator, against a server that does what it is told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.load import Sent, closed_load, percentile, time_to_recover
from benchmarks.serving import gather_pages
from tests.kie_ray.client.scripted import Answer, ScriptedServer, good, problem, scripted_server

ONE = Sent(b"x", "application/octet-stream")
BUSY = {"Retry-After": "1"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.mark.parametrize(("share", "expected"), [(50, 5.0), (95, 10.0), (99, 10.0), (90, 9.0), (91, 10.0), (0, 1.0)])
def test_percentiles_are_values_that_occurred(share: float, expected: float) -> None:
    assert percentile([float(n) for n in range(10, 0, -1)], share) == expected
    assert percentile([], share) is None


def test_a_load_ends_after_its_number_of_requests(server: ScriptedServer) -> None:
    server.answers = [Answer(200, good().body, stays=0.05)]
    bodies = [Sent(b"%d" % number, "application/json") for number in range(3)]
    load = asyncio.run(closed_load(server.url, bodies, 4, count=20))
    assert sorted(seen.body for seen in server.seen) == sorted(b"%d" % (number % 3) for number in range(20))
    assert server.most_at_once == 4
    report = load.report()
    assert (report["statuses"], report["wrong"], report["clients"]) == ({"200": 20}, {}, 4)
    assert report["p50_seconds"] >= 0.05
    assert report["documents_per_second"] == pytest.approx(20 / load.seconds, rel=0.01)
    assert 0 < report["generator_cpu_share"] < 2


def test_a_load_ends_after_its_time(server: ScriptedServer) -> None:
    server.answers = [Answer(200, good().body, stays=0.05)]
    started = time.monotonic()
    load = asyncio.run(closed_load(server.url, [ONE], 2, seconds=0.5))
    assert 0.5 <= time.monotonic() - started < 5
    assert 2 < len(load.good) < 30


def test_what_is_wrong_under_an_overload(server: ScriptedServer) -> None:
    odd = good(status="partial")
    server.answers = [problem(503, BUSY), problem(429, BUSY), Answer(503), Answer(500), Answer(breaks="before"), odd]
    load = asyncio.run(closed_load(server.url, [ONE], 6, count=6, busy_allowed=True))
    assert load.report()["statuses"] == {"0": 1, "200": 1, "429": 1, "500": 1, "503": 2}
    kinds = sorted(wrong.split(":")[0] for wrong in load.wrong)
    assert kinds == ["200 with ('partial', 1)", "500", "503 without Retry-After", "ReadError"]
    server.answers = [problem(503, BUSY)]
    assert len(asyncio.run(closed_load(server.url, [ONE], 2, count=2)).wrong) == 2


def test_a_client_that_is_turned_away_waits_as_it_is_asked(server: ScriptedServer) -> None:
    server.answers = [problem(503, BUSY), good()]
    asyncio.run(closed_load(server.url, [ONE], 1, count=2, busy_allowed=True))
    first, second = server.seen
    assert second.at - first.at >= 1.0


def test_recovery_begins_with_the_first_of_good_answers_on_end(server: ScriptedServer) -> None:
    late = Answer(200, good().body, stays=0.4)
    server.answers = [problem(503, BUSY), good(), late, good()]
    seconds = asyncio.run(time_to_recover(server.url, ONE, fast=0.3, steady=0.5))
    assert seconds is not None
    assert 0.6 < seconds < 10  # three waits of 0.1 s and the late answer
    server.answers = [problem(503, BUSY)]
    assert asyncio.run(time_to_recover(server.url, ONE, fast=0.3, steady=0.2, limit=0.5)) is None


def test_pages_of_the_samples_and_of_data_sets(data_dir: Path, tmp_path: Path) -> None:
    assert [len(pages) for pages in (gather_pages(None, 4).lines, gather_pages(None, 4).images)] == [4, 4]
    pages = gather_pages(data_dir, 10)
    page = json.loads(pages.lines[0].content)["pages"][0]
    assert page["width"] > 500
    assert len(page["lines"]) > 10
    assert all(image.content.startswith((b"\xff\xd8", b"\x89PNG")) for image in pages.images)
    with pytest.raises(SystemExit, match="holds neither"):
        gather_pages(tmp_path, 4)
