"""Both clients against a server that does what it is told."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kie_ray.client import ApiError, Client, PicturedDocument, Retries
from kie_ray.errors import Category, Stage
from kie_ray.records import Line, Page
from kie_ray.schemas import row_to_document
from tests.kie_ray.client.scripted import KINDS, Answer, ScriptedServer, good, problem, record, scripted_server

SOON = Retries(first_seconds=0.01)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[Any]:
    with KINDS[request.param](server.url, retries=SOON, timeout=20) as client:
        yield client


def test_importing_the_client_loads_neither_models_nor_ray() -> None:
    code = (
        "import sys, kie_ray.client.__main__; print([n for n in ('torch', 'transformers', 'ray') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_record_becomes_a_document(server: ScriptedServer, client: Any) -> None:
    server.answers = [good()]
    document = client.extract(b"bytes", model="zh", min_score=0.25)
    assert document == row_to_document(record())
    assert document.fields[0].value == "Ada\x1b"
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/v1/extract", b"bytes")
    assert seen.query == {"model": ["zh"], "min_score": ["0.25"]}
    assert seen.headers["content-length"] == "5"
    assert "transfer-encoding" not in seen.headers
    assert "authorization" not in seen.headers


def test_what_a_file_is_called(server: ScriptedServer, client: Any, tmp_path: Path) -> None:
    path = tmp_path / "表 1.png"
    path.write_bytes(b"data")
    raw = tmp_path / os.fsdecode(b"caf\xe9.png")
    raw.write_bytes(b"data")
    server.answers = [good()]
    client.extract(path)
    client.extract(str(path), name="another.png")
    with path.open("rb") as file:
        client.extract(file)
    client.extract(io.BytesIO(b"data"))
    client.extract(raw)
    names = [seen.query.get("name", [None])[0] for seen in server.seen]
    assert names == ["表 1.png", "another.png", "表 1.png", None, "caf?.png"]
    assert {seen.body for seen in server.seen} == {b"data"}


def test_a_big_file_is_sent_in_pieces(server: ScriptedServer, client: Any, tmp_path: Path) -> None:
    content = os.urandom(3 * 2**20 + 5)
    path = tmp_path / "big.pdf"
    path.write_bytes(content)
    server.answers = [good()]
    client.extract(path)
    with path.open("rb") as file:
        file.seek(2**20)
        client.extract(file)
    assert [seen.body for seen in server.seen] == [content, content[2**20 :]]
    assert [seen.headers["content-length"] for seen in server.seen] == [str(3 * 2**20 + 5), str(2 * 2**20 + 5)]


def test_no_file_is_held_in_memory_whole(server: ScriptedServer, tmp_path: Path) -> None:
    reads: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            reads.append(len(data := super().read(size)))
            return data

    server.answers = [good()]
    with Client(server.url) as client:
        client.extract(Counting(bytes(2**21)))
    assert max(reads) <= 2**18
    assert sum(reads) == 2**21


def test_a_stream_that_cannot_be_rewound_is_sent_again_too(server: ScriptedServer, client: Any) -> None:
    server.answers = [Answer(503), good()]
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(b"from a pipe")
    with os.fdopen(reading, "rb") as pipe:
        assert client.extract(pipe, name="p").status == "ok"
    assert [seen.body for seen in server.seen] == [b"from a pipe"] * 2


def test_annotations_travel_in_a_form(server: ScriptedServer, client: Any, tmp_path: Path) -> None:
    from email.parser import BytesParser
    from email.policy import HTTP

    path = tmp_path / 'a "b".png'
    path.write_bytes(b"\x89PNG\r\n--not a boundary")
    lines = [{"transcription": "姓名", "points": [[0, 0], [9, 0], [9, 9], [0, 9]], "id": 3}]
    server.answers = [Answer(429), good()]
    client.extract(path, annotations=lines)
    client.extract(b"data", annotations=json.dumps([lines]))
    for seen, name, data, sent in zip(
        server.seen[1:],
        ("a %22b%22.png", "upload"),
        (b"\x89PNG\r\n--not a boundary", b"data"),
        (lines, [lines]),
        strict=True,
    ):
        assert int(seen.headers["content-length"]) == len(seen.body)
        head = f"Content-Type: {seen.headers['content-type']}\r\n\r\n".encode()
        parts = {
            part.get_param("name", header="content-disposition"): part
            for part in BytesParser(policy=HTTP).parsebytes(head + seen.body).iter_parts()
        }
        assert json.loads(parts["annotations"].get_content()) == sent
        assert parts["file"].get_content() == data
        assert parts["file"].get_filename() == name


def test_lines_without_a_file(server: ScriptedServer, client: Any) -> None:
    server.answers = [good()]
    page = Page(7, 100, 50, [Line(4, "姓名", (1, 2, 3, 4, 5, 6, 7, 8.5), 0.5, "QUESTION", 1.0)], source="kept.png")
    client.extract_pages([page], name="n", min_score=0.5)
    (seen,) = server.seen
    assert seen.headers["content-type"] == "application/json"
    assert seen.query == {"min_score": ["0.5"]}
    line = {"text": "姓名", "points": [1, 2, 3, 4, 5, 6, 7, 8.5], "id": 4, "ocr_score": 0.5}
    assert json.loads(seen.body) == {"name": "n", "pages": [{"width": 100, "height": 50, "lines": [line]}]}
    with pytest.raises(ValueError, match="Out of range"):
        client.extract_pages([Page(0, 9, 9, [Line(0, "a", (float("nan"),) * 8)])])


def test_pictures_models_preview_and_health(server: ScriptedServer, client: Any) -> None:
    picture = {"page": 0, "width": 2, "height": 1, "media_type": "image/jpeg", "data": "/9g="}
    model = {"name": "m", "fingerprint": "f", "tasks": ["ser"], "labels": ["OTHER"], "default": True}
    listed = {"models": [{**model, "sees_images": False, "ocr": "rapidocr", "of a later version": 1}]}
    png = b"\x89PNG\r\n\x1a\n..."
    server.answers = [
        good(pictures=[picture]),
        Answer(200, json.dumps(listed).encode()),
        Answer(200, png, {"Content-Type": "image/png"}),
        Answer(200, b'{"status": "ok"}'),
        problem(503, {"Retry-After": "60"}),
        problem(401),
    ]
    document = client.extract(b"x", pictures=True)
    assert isinstance(document, PicturedDocument)
    assert [(one.page, one.width, one.data) for one in document.pictures] == [(0, 2, b"\xff\xd8")]
    assert [(one.name, one.tasks, one.ocr) for one in client.models()] == [("m", ("ser",), "rapidocr")]
    assert client.preview(b"x", page=3) == png
    assert client.health() is True
    assert client.health() is False
    with pytest.raises(ApiError):
        client.health()
    paths = ["/v1/extract", "/v1/models", "/v1/preview", "/healthz", "/healthz", "/healthz"]
    assert [seen.path for seen in server.seen] == paths
    assert server.seen[0].query == {"include": ["lines,links,fields,pictures"]}
    assert server.seen[2].query == {"page": ["3"]}


def test_a_problem_is_an_error_with_its_item(server: ScriptedServer, client: Any) -> None:
    server.answers = [
        problem(413, detail="page 2: too big", stage="read", category="too_large", retryable=False, page=2),
        problem(422, detail="min_score = 7", stage="request", category="invalid_request", retryable=False),
        problem(422, detail="no such page", stage="ocr", category="no_annotation", retryable=False),
        Answer(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
        Answer(302, b"", {"Location": "http://example.invalid/"}),
    ]
    found: list[ApiError] = []
    for _ in range(5):
        with pytest.raises(ApiError) as caught:
            client.extract(b"x")
        found.append(caught.value)
    too_large, option, missing, gateway, redirect = found
    assert (too_large.item.stage, too_large.item.category, too_large.item.page) == (Stage.READ, Category.TOO_LARGE, 2)
    assert (too_large.status, too_large.request_id, too_large.about_request) == (413, "r-1", False)
    assert str(too_large) == "HTTP 413: page 2: too big (request r-1)"
    assert (option.item.category, option.item.retryable, option.about_request) == (Category.UNSUPPORTED, False, True)
    assert (missing.item.category, missing.about_request) == (Category.NO_ANNOTATION, False)
    assert (gateway.item.category, gateway.item.retryable, gateway.again) == (Category.UNAVAILABLE, True, False)
    assert "bad gateway" in str(gateway)
    assert redirect.status == 302
    assert len(server.seen) == 5
    again = pickle.loads(pickle.dumps(too_large))
    assert (again.item, again.status, str(again)) == (too_large.item, 413, str(too_large))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"not json", b'{"pages": 3}', b"\xff\xfe", b"[" * 100_000])
def test_something_else_answers_there(server: ScriptedServer, client: Any, body: bytes) -> None:
    server.answers = [Answer(200, body)]
    for call in (lambda: client.extract(b"x"), client.models, lambda: client.preview(b"x")):
        with pytest.raises(ApiError, match="answered with no") as caught:
            call()
        assert caught.value.status == 200
        assert not caught.value.again


@pytest.mark.parametrize(
    "answer",
    [Answer(503), Answer(429), Answer(breaks="before"), Answer(breaks="unread")],
    ids=["503", "429", "reset", "reset while it is sent"],
)
def test_busy_and_broken_connections_are_tried_again(server: ScriptedServer, client: Any, answer: Answer) -> None:
    server.answers = [answer, answer, good()]
    data = os.urandom(2**20)
    assert client.extract(data).status == "ok"
    assert server.seen[-1].body == data
    assert len(server.seen) == (1 if answer.breaks == "unread" else 3)


@pytest.mark.parametrize("status", [400, 404, 408, 422, 500, 502, 504])
def test_other_answers_are_not_tried_again(server: ScriptedServer, client: Any, status: int) -> None:
    server.answers = [problem(status, {"Retry-After": "0"}), good()]
    with pytest.raises(ApiError) as caught:
        client.extract(b"x")
    assert caught.value.status == status
    assert len(server.seen) == 1


def test_an_answer_that_breaks_off_is_not_tried_again(server: ScriptedServer, client: Any) -> None:
    server.answers = [Answer(body=bytes(1000), breaks="inside"), good()]
    with pytest.raises(ApiError, match="broke off") as caught:
        client.extract(b"x")
    assert (caught.value.status, caught.value.item.category) == (None, Category.UNAVAILABLE)
    assert len(server.seen) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_answer_ends_in_a_time_out_and_is_not_asked_for_twice(server: ScriptedServer, kind: str) -> None:
    server.answers = [Answer(stays=2.0)]
    with KINDS[kind](server.url, timeout=0.6, retries=SOON) as client:
        with pytest.raises(ApiError) as caught:
            client.extract(b"x")
        assert client.health() is False
    assert (caught.value.status, caught.value.item.category) == (None, Category.TIMEOUT)
    assert len(server.seen) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_there(kind: str) -> None:
    with scripted_server() as server:
        url = server.url
    with KINDS[kind](url, retries=Retries(attempts=3, first_seconds=0.01)) as client:
        with pytest.raises(ApiError) as caught:
            client.extract(b"x")
        assert client.health() is False
    assert caught.value.again
    assert url in str(caught.value)
    assert "request" not in str(caught.value)


def test_retry_after_is_waited(server: ScriptedServer, client: Any) -> None:
    server.answers = [problem(503, {"Retry-After": "1"}), good()]
    client.extract(b"x")
    first, second = server.seen
    assert second.at - first.at >= 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_retries_are_bounded_in_number_and_time(server: ScriptedServer, kind: str) -> None:
    server.answers = [problem(503, {"Retry-After": "3600"})]
    with KINDS[kind](server.url, retries=Retries(attempts=3, first_seconds=0, longest_seconds=0.1)) as client:
        with pytest.raises(ApiError) as caught:
            client.extract(b"x")
        assert len(server.seen) == 3
        assert caught.value.retry_after == 3600
    with KINDS[kind](server.url, retries=Retries(attempts=99, total_seconds=0.5, longest_seconds=0.2)) as client:
        started = time.monotonic()
        with pytest.raises(ApiError):
            client.extract(b"x")
        assert time.monotonic() - started < 5
    assert 4 < len(server.seen) < 15


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_is_a_bearer_token(server: ScriptedServer, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIE_RAY_API_KEY", "from-the-environment")
    server.answers = [good()]
    for key in ("given", None, ""):
        with KINDS[kind](server.url, key) as client:
            client.extract(b"x")
    sent = [seen.headers.get("authorization") for seen in server.seen]
    assert sent == ["Bearer given", "Bearer from-the-environment", None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_url_or_key_is_refused_at_once(kind: str) -> None:
    for url in ("ftp://host", "host:8000", "/v1", ""):
        with pytest.raises(ValueError, match="url"):
            KINDS[kind](url)
    for key in ("two words", "line\nbreak", "ключ"):
        with pytest.raises(ValueError, match="api_key") as caught:
            KINDS[kind]("http://host", key)
        assert key not in str(caught.value)


def test_a_path_in_the_url_and_no_password_in_errors(server: ScriptedServer) -> None:
    server.answers = [Answer(404, b"")]
    with Client(server.url.replace("//", "//ada:secret@") + "/forms/") as client, pytest.raises(ApiError) as caught:
        client.extract(b"x")
    assert server.seen[0].path == "/forms/v1/extract"
    server.answers = [Answer(body=b"{}")]
    with Client(server.url.replace("//", "//ada:secret@")) as client, pytest.raises(ApiError) as caught:
        client.extract(b"x", name="private.png")
    assert "secret" not in str(caught.value)
    assert "private" not in str(caught.value)


def test_a_source_of_another_type(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    with path.open() as text, pytest.raises(TypeError, match="'rb'"):
        client.extract(text)
    with pytest.raises(TypeError, match="not int"):
        client.extract(7)
    with pytest.raises(FileNotFoundError):
        client.extract(tmp_path / "nowhere.png")


def test_threads_may_share_a_client(server: ScriptedServer) -> None:
    server.answers = [good()]
    with Client(server.url) as client:
        threads = [threading.Thread(target=client.extract, args=(b"%d" % number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(int(seen.body) for seen in server.seen) == list(range(12))
