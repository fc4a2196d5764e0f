"""Bodies as they stream in: limits hold at the first byte too many, whatever the headers say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from kie_ray.limits import Limits
from pipelines.online.api.app import build_api
from pipelines.online.api.backend import Busy
from pipelines.online.api.body import MemoryBudget
from pipelines.online.api.settings import ApiSettings
from tests.pipelines.online.api.support import (
    PNG,
    Exchange,
    Scripted,
    client,
    json_body,
    json_line,
    json_page,
    problem,
    send,
)

SMALL = ApiSettings(limits=Limits(max_bytes=10_000), max_json_bytes=5_000)
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}
JSON = {"Content-Type": "application/json"}
PIECES = 400


def forever(piece: bytes = b"x" * 1000, head: bytes = b"") -> Iterator[bytes]:
    yield head
    for _ in range(PIECES):
        yield piece


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'--edge\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


END = b"--edge--\r\n"


def exchange(pieces: Any, settings: ApiSettings = SMALL, **options: Any) -> tuple[Exchange, Scripted]:
    backend = Scripted()
    return asyncio.run(send(build_api(backend, settings), pieces, **options)), backend


@pytest.mark.parametrize(
    ("headers", "head", "most", "words"),
    [
        ({}, PNG[:100], 12, "the file is over the limit of 10000 bytes"),
        (JSON, b"[", 7, "the JSON body is over the limit of 5000 bytes"),
        (FORM, part("file", b"", "a.png")[:-2], 12, "file is over the limit of 10000 bytes"),
        (FORM, part("annotations", b"")[:-2], 7, "annotations is over the limit of 5000 bytes"),
        (FORM, b"\r\n", 90, "the body is over the limit of 80536 bytes"),
    ],
)
def test_an_endless_body_is_refused_at_once(headers: dict[str, str], head: bytes, most: int, words: str) -> None:
    done, backend = exchange(forever(head=head), headers=headers)
    assert done.status in (413, 422)
    if headers is not FORM or b"name" in head:
        assert done.json["category"] == "too_large"
        assert words in done.json["detail"]
    assert done.taken <= most
    assert not backend.seen


@pytest.mark.parametrize("headers", [{}, JSON, FORM])
def test_a_declared_length_over_the_limit_is_refused_unread(headers: dict[str, str]) -> None:
    done, _ = exchange(forever(), headers={**headers, "Content-Length": "99999999999999999999"})
    assert (done.status, done.taken) == (413, 0)


def test_a_length_that_lies_changes_nothing() -> None:
    done, _ = exchange(forever(), headers={"Content-Length": "10"})
    assert done.status == 413


def test_a_file_of_exactly_the_limit_is_taken() -> None:
    data = PNG + bytes(10_000 - len(PNG))
    for size, status in ((10_000, 200), (10_001, 413)):
        body = data + bytes(size - 10_000)
        assert exchange([body[:3000], body[3000:]])[0].status == status
        assert exchange([part("file", body, "a.png"), END], headers=FORM)[0].status == status


def test_a_body_that_never_ends_is_given_up() -> None:
    settings = ApiSettings(body_seconds=0.2)
    done, backend = exchange(forever(b"x"), settings, pause=0.05)
    assert (done.status, done.json["category"], done.json["retryable"]) == (408, "timeout", True)
    assert not backend.seen


@pytest.mark.parametrize("encoding", ["gzip", "deflate, gzip", "br"])
def test_compressed_bodies_are_refused(encoding: str) -> None:
    done, _ = exchange([PNG], headers={"Content-Encoding": encoding})
    assert (done.status, done.taken) == (415, 0)
    assert exchange([PNG], headers={"Content-Encoding": "identity"})[0].status == 200


def test_a_form_in_any_pieces() -> None:
    body = part("annotations", b"[]") + part("file", PNG, "form.png") + END
    for size in (1, 7, 1000, len(body)):
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        done, backend = exchange(pieces, headers=FORM)
        assert (done.status, done.json["uri"]) == (200, "form.png")
        (work,) = backend.seen
        assert work.data == PNG
        assert work.pages is not None
        assert [page.lines for page in work.pages] == [[]]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (part("annotations", b"[]") + END, "needs a part named file"),
        (part("fil", PNG) + END, "unknown part 'fil'; did you mean file?"),
        (part("file", PNG) + part("file", PNG) + END, "part file is there twice"),
        (part("file", PNG), "ends before its last boundary"),
        (b"", "ends before its last boundary"),
        (b"no boundary at all", "multipart/form-data"),
        (b"--edge\r\n\r\nx\r\n--edge--\r\n", "unknown part ''"),
        (b"--edge\r\nContent-Disposition\r\n\r\nx\r\n--edge--\r\n", "multipart/form-data"),
        (b"--edge\r\nContent-Disposition: form-data; name=file\r\nX: " + b"y" * 9000, "multipart/form-data"),
        (b"--edge\r\n" + b"A: b\r\n" * 50, "multipart/form-data"),
    ],
)
def test_broken_forms(body: bytes, words: str) -> None:
    done, backend = exchange([body], headers=FORM)
    assert (done.status, done.json["category"]) == (422, "invalid_request")
    assert words in done.json["detail"]
    assert not backend.seen


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=" + "b" * 300, "multipart/mixed; boundary=x"]
)
def test_content_types_of_broken_forms(kind: str) -> None:
    done, _ = exchange([part("file", PNG), END], headers={"Content-Type": kind})
    assert (done.status, done.json["category"]) == (422, "invalid_request")


def test_the_name_of_a_file_is_only_a_name() -> None:
    names = {
        "../../etc/passwd": "passwd",
        "C:\\forms\\a.png": "a.png",
        "\u59d3\u540d.png": "\u59d3\u540d.png",
        "a\tb.png": "ab.png",
        "..": "document",
        "": "document",
    }
    for given, kept in names.items():
        body = part("file", PNG, given) + END
        done, backend = exchange([body], headers=FORM)
        assert (done.json["uri"], backend.seen[0].name) == (kept, kept)
    named, _ = exchange([part("file", PNG, "a.png") + END], path="/v1/extract?name=x/b.png", headers=FORM)
    assert named.json["uri"] == "b.png"


def test_any_other_content_type_is_a_bare_file() -> None:
    connection = client(Scripted())
    for kind in ("image/png", "application/x-www-form-urlencoded", "text/plain", "application/pdf", "nonsense"):
        assert connection.post("/v1/extract", content=PNG, headers={"Content-Type": kind}).status_code == 200
    lines = json_body(json_page([json_line()]), name="a/b.json")
    for kind in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON"):
        body = connection.post("/v1/extract", content=lines, headers={"Content-Type": kind}).json()
        assert (body["uri"], body["media_type"], body["provenance"]["ocr"]) == ("b.json", None, "annotations")
    problem(connection.post("/v1/extract", content=PNG, headers=JSON), 422)


def test_bodies_in_memory_are_bounded_together() -> None:
    settings = ApiSettings(limits=Limits(max_bytes=10_000), max_bytes_in_flight=12_000)

    async def crowd() -> list[int]:
        app = build_api(Scripted(), settings)
        pieces = [PNG[:1000], *[b"x" * 1000] * 8]
        done = await asyncio.gather(*(send(app, pieces, pause=0.01) for _ in range(4)))
        after = await send(app, pieces)
        return [*sorted(item.status for item in done), after.status]

    statuses = asyncio.run(crowd())
    assert set(statuses[:-1]) == {200, 503}
    assert statuses[-1] == 200


def test_the_budget_takes_one_large_body_and_forgets_nothing() -> None:
    budget = MemoryBudget(100)
    with budget.lease() as large:
        large.add(250)
        with budget.lease() as other, pytest.raises(Busy):
            other.add(1)
    assert budget.used == 0
    with budget.lease() as first, budget.lease() as second:
        first.add(60)
        with pytest.raises(Busy):
            second.add(60)
        assert budget.used == 60
    assert budget.used == 0
