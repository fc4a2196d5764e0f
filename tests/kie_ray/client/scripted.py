"""An HTTP server that answers what a test tells it to, and one face for both clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kie_ray.client import AsyncClient, Client


@dataclass(frozen=True, slots=True)
class Answer:
    """`breaks`: where the connection is reset: "before" an answer, "inside" its body, "unread" (before the request's
    body is read). `stays` seconds pass before the answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    breaks: str = ""
    stays: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived; `at`: seconds of the monotonic clock."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    at: float


class ScriptedServer(ThreadingHTTPServer):
    """Gives `answers` one after the other, the last one for ever; keeps what was asked in `seen`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Answer] = [Answer()]
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self.running = self.most_at_once = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_answer(self) -> Answer:
        with self.lock:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def _answer(self) -> None:
        answer = self.server.next_answer()
        if answer.breaks == "unread":
            return self._reset()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        with self.server.lock:
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = parse_qs(parts.query, strict_parsing=bool(parts.query))
            self.server.seen.append(Seen(self.command, parts.path, query, headers, body, time.monotonic()))
            self.server.running += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.running)
        time.sleep(answer.stays)
        with self.server.lock:
            self.server.running -= 1
        if answer.breaks == "before":
            return self._reset()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if answer.breaks else answer.body)
        return self._reset() if answer.breaks else None

    do_GET = do_POST = _answer

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextlib.contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


class Blocking:
    """An `AsyncClient` whose coroutines run at once, so that one test serves both clients."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *arguments, **options: self._runner.run(method(*arguments, **options))

    def extract_many(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        results: AsyncIterator[Any] = self._client.extract_many(*arguments, **options)

        def one_by_one() -> Iterator[Any]:
            try:
                while True:
                    yield self._runner.run(anext(results))  # type: ignore[arg-type]
            except StopAsyncIteration:
                return
            finally:
                self._runner.run(results.aclose())  # type: ignore[attr-defined]

        return one_by_one()

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


KINDS: dict[str, Any] = {"sync": Client, "async": Blocking}


def record(name: str = "a.png", **changed: Any) -> dict[str, Any]:
    """A document's record with one field."""
    box = [0.0, 0.0, 9.0, 9.0]
    line = {"text": "Name", "points": [0.0] * 8, "ocr_score": 0.5, "label": "QUESTION", "label_score": 0.75}
    field_ = {"page": 0, "key": "Name", "value": "Ada\x1b", "score": 0.5, "key_lines": [0], "value_lines": [1]}
    return {
        "row_id": "x",
        "doc_id": "x",
        "uri": name,
        "status": "ok",
        "error": None,
        "pages": [
            {
                "index": 0,
                "width": 20,
                "height": 10,
                "lines": [{"id": 0, **line}, {"id": 1, **line}],
                "links": [{"key_line": 0, "value_line": 1, "score": 0.5}],
            }
        ],
        "fields": [{**field_, "key_box": box, "value_box": box}],
        "timings": {"read": 0.25, "ocr": 0.0},
        "provenance": None,
        **changed,
    }


def good(name: str = "a.png", **changed: Any) -> Answer:
    return Answer(200, json.dumps(record(name, **changed)).encode())


def problem(status: int, headers: dict[str, str] | None = None, **members: Any) -> Answer:
    body = json.dumps({"status": status, "title": "t", **members}).encode()
    return Answer(status, body, {"Content-Type": "application/problem+json", "X-Request-ID": "r-1", **(headers or {})})
