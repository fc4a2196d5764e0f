"""Many files through both clients: order, bounds, and errors that are results."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kie_ray.client import ApiError, Retries
from kie_ray.errors import Category, Stage
from tests.kie_ray.client.scripted import KINDS, Answer, ScriptedServer, good, problem, record, scripted_server


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[Any]:
    with KINDS[request.param](server.url, retries=Retries(first_seconds=0.01), timeout=20) as client:
        yield client


def test_one_bad_file_does_not_stop_the_rest(server: ScriptedServer, client: Any, tmp_path: Path) -> None:
    good_file = tmp_path / "good.png"
    good_file.write_bytes(b"x")
    corrupt = problem(400, detail="broken", stage="read", category="corrupt", retryable=False)
    server.answers = [good(), corrupt, problem(422, category="no_annotation"), good()]
    sources = [good_file, b"1", tmp_path / "nowhere.png", good_file, tmp_path, str(good_file)]
    results = list(client.extract_many(sources, concurrency=1))
    assert [source for source, _ in results] == sources
    documents = [document for _, document in results]
    assert [one.status for one in documents] == ["ok", "failed", "failed", "failed", "failed", "ok"]
    errors = [one.error and (one.error.stage, one.error.category) for one in documents]
    assert errors == [
        None,
        (Stage.READ, Category.CORRUPT),
        (Stage.FETCH, Category.NOT_FOUND),
        (Stage.FETCH, Category.NO_ANNOTATION),
        (Stage.FETCH, Category.UNSUPPORTED),
        None,
    ]
    assert documents[2].uri == "nowhere.png"


@pytest.mark.parametrize("status", [401, 403, 404, 405, 422])
def test_a_wrong_key_address_or_option_ends_it(server: ScriptedServer, client: Any, status: int) -> None:
    server.answers = [problem(status, category="invalid_request")]
    with pytest.raises(ApiError):
        list(client.extract_many([b"1"] * 50, concurrency=2))
    assert len(server.seen) <= 6


def test_the_order_of_the_sources_or_of_the_answers(server: ScriptedServer, client: Any) -> None:
    slow = Answer(200, json.dumps(record("slow")).encode(), stays=0.6)
    for ordered in (True, False):
        server.answers = [slow, good()]
        sources = [b"%d" % n for n in range(9)]
        results = list(client.extract_many(sources, concurrency=3, ordered=ordered))
        place = [one.uri for _, one in results].index("slow")
        if ordered:
            assert [source for source, _ in results] == sources
            assert place < 3  # of the first three, whichever reached the server first
        else:
            assert sorted(source for source, _ in results) == sources
            assert place > 2


def test_sources_are_taken_as_they_are_needed(server: ScriptedServer, client: Any) -> None:
    server.answers = [Answer(200, good().body, stays=0.05)]
    taken = itertools.count()
    endless = (b"x" for _ in iter(lambda: next(taken), None))
    results = client.extract_many(endless, concurrency=4)
    assert len(list(itertools.islice(results, 20))) == 20
    results.close()
    assert next(taken) <= 20 + 2 * 4
    assert 2 <= server.most_at_once <= 4
    seen = len(server.seen)
    assert client.extract(b"after").status == "ok"
    assert len(server.seen) <= seen + 4 + 1  # the server may notice only now what was on its way when we stopped


def test_nothing_to_do_and_no_concurrency(client: Any) -> None:
    assert list(client.extract_many([])) == []
    with pytest.raises(ValueError, match="concurrency = 0"):
        client.extract_many([b"x"], concurrency=0)


def test_a_source_of_another_type_ends_it(client: Any) -> None:
    with pytest.raises(TypeError):
        list(client.extract_many([7]))
