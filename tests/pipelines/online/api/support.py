"""What the tests of the API share: a scripted backend, requests by hand, and small documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.testclient import TestClient

from kie_ray.records import Document, Field, Line, Link, Page
from pipelines.online.api.app import build_api
from pipelines.online.api.backend import Extracted, ModelInfo, Picture, Work
from pipelines.online.api.metrics import RequestSummary
from pipelines.online.api.settings import ApiSettings
from tests.faults.test_hostile_files import picture

PNG = picture()
MODEL = ModelInfo(
    "default", "ab" * 32, ["ser", "re"], ["OTHER", "QUESTION", "ANSWER"], True, False, "scripted", "scripted"
)
VISUAL = replace(MODEL, name="visual", default=False, sees_images=True)


def line(line_id: int, text: str = "Name", label: str = "OTHER") -> Line:
    """A line somewhere on the page."""
    return Line(line_id, text, (1.5, 2, 30, 2, 30, 12, 1.5, 12), 0.9, label, 0.8)


def document(pages: int = 1) -> Document:
    """Pages with a strong and a weak link each, and the fields of both."""
    made = []
    for index in range(pages):
        lines = [line(4, "Name", "QUESTION"), line(7, "Ada", "ANSWER"), line(9, "1843", "ANSWER")]
        links = [Link(4, 7, 0.9), Link(4, 9, 0.3)]
        box = (1.5, 2.0, 30.0, 12.0)
        fields = [Field("Name", "Ada", 0.8, [4], [7], box, box), Field("Name", "1843", 0.2, [4], [9], box, box)]
        made.append(Page(index, 60, 40, lines, links, fields))
    return Document("d", "d", made, timings={"read": 0.25, "ocr": 0.5})


@dataclass
class Scripted:
    """A backend that answers what it is told, and keeps what it was asked.

    `answer`: a document, an exception to raise, or a function of the work.
    """

    answer: Document | Exception | Callable[[Work], Document] = field(default_factory=document)
    ready: Exception | None = None
    served: Sequence[ModelInfo] = (MODEL, VISUAL)
    seen: list[Work] = field(default_factory=list)

    async def extract(self, work: Work) -> Extracted:
        await asyncio.sleep(0)
        self.seen.append(work)
        pictures = {0: Picture(b"\xff\xd8\xff", 3, 2)} if work.pictures else {}
        return Extracted(self._document(work), pictures)

    async def draw(self, work: Work, page: int) -> tuple[bytes, Document]:
        self.seen.append(work)
        return PNG, self._document(work)

    async def models(self) -> Sequence[ModelInfo]:
        return self.served

    async def check(self) -> None:
        if self.ready is not None:
            raise self.ready

    def _document(self, work: Work) -> Document:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(work) if callable(self.answer) else self.answer


class Recorded:
    """Metrics as a list."""

    def __init__(self) -> None:
        self.requests: list[RequestSummary] = []

    def record(self, request: RequestSummary) -> None:
        self.requests.append(request)


def client(backend: Any, settings: ApiSettings | None = None, metrics: Any = None) -> TestClient:
    """A client of the API in this process; an exception that leaves the application fails the test."""
    return TestClient(build_api(backend, settings, metrics))


def problem(response: Any, status: int, category: str | None = None) -> dict[str, Any]:
    """The problem document of a response, checked for what all of them have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail", "stage", "category", "retryable", "request_id"} <= set(body)
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["type"].endswith(f":{body['category']}")
    if category is not None:
        assert body["category"] == category
    return body


def json_page(lines: Iterable[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """One page of a JSON body."""
    return {"width": 100, "height": 50, "lines": list(lines), **changes}


def json_line(text: str = "Name", **changes: Any) -> dict[str, Any]:
    """One line of a JSON body."""
    return {"text": text, "points": [1, 2, 30, 2, 30, 12, 1, 12], **changes}


def json_body(*pages: dict[str, Any], **more: Any) -> bytes:
    """A JSON body."""
    return json.dumps({"pages": list(pages), **more}).encode()


@dataclass
class Exchange:
    """What came of `send`: messages that the application sent, and how many pieces of the body it took."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    taken: int = 0

    @property
    def status(self) -> int:
        return next(m["status"] for m in self.sent if m["type"] == "http.response.start")

    @property
    def headers(self) -> dict[str, str]:
        start = next(m for m in self.sent if m["type"] == "http.response.start")
        return {name.decode(): value.decode() for name, value in start["headers"]}

    @property
    def json(self) -> Any:
        return json.loads(b"".join(m["body"] for m in self.sent if m["type"] == "http.response.body"))


async def send(
    app: Any,
    pieces: Iterable[bytes],
    path: str = "/v1/extract",
    *,
    headers: dict[str, str] | None = None,
    method: str = "POST",
    leaves: bool = False,
    pause: float = 0.0,
) -> Exchange:
    """One request by hand, in pieces and without Content-Length; `leaves`: the client is gone after the last one."""
    exchange = Exchange()
    remaining = iter(pieces)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        piece = next(remaining, None)
        if piece is not None:
            exchange.taken += 1
            return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b"", "more_body": False}

    async def take(message: dict[str, Any]) -> None:
        exchange.sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, take)
    return exchange
