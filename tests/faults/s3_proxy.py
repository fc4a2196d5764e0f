"""A proxy in front of an S3 server that misbehaves on demand, as networks and throttled stores do."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import pytest

from tests.kie_ray.s3_server import environment, running_s3_server

Kind = Literal["503", "500", "403", "reset", "lost answer", "partial", "slow", "trickle", "hang"]
_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length"}
_CODES = {"503": "SlowDown", "500": "InternalError", "403": "AccessDenied"}
_ANSWER = "<Error><Code>{code}</Code><Message>No.</Message><RequestId>0</RequestId></Error>"


@dataclass
class Fault:
    """What happens to a request that `matches` (method, path with query), the next `times` of them (None: all).

    503, 500, 403   an error answer of the server       reset      the connection breaks before the request is looked at
    lost answer  the request is carried out, then the connection breaks
    partial      half of the body, then the end       slow       the answer comes after `seconds`
    trickle      one byte every `seconds`             hang       no answer at all
    """

    kind: Kind
    matches: Callable[[str, str], bool] = lambda method, path: True
    times: int | None = None
    seconds: float = 0.2
    skip: int = 0


@dataclass
class Proxy:
    """`endpoint` is what clients speak to. `faults` may be changed while requests come in; `hits` counts the faults."""

    endpoint: str
    faults: list[Fault] = field(default_factory=list)
    hits: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            self.requests.append((method, path))
            for fault in self.faults:
                if fault.times != 0 and fault.matches(method, path):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    if fault.times is not None:
                        fault.times -= 1
                    self.hits[fault.kind] = self.hits.get(fault.kind, 0) + 1
                    return fault
        return None

    def calm(self) -> None:
        """No fault from now on."""
        with self.lock:
            self.faults.clear()


@contextlib.contextmanager
def running_proxy(upstream: str) -> Iterator[Proxy]:
    """A proxy in a thread of this process; it ends, with all its connections, when the block does."""
    host = urllib.parse.urlsplit(upstream).netloc

    class Handler(_Handler):
        target = host

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    Handler.proxy = proxy
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="s3 proxy", daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def proxied_s3_server() -> Iterator[Proxy]:
    """An S3 server process behind a proxy, which the environment of this process names while the block runs."""
    with running_s3_server() as upstream, pytest.MonkeyPatch.context() as patch, running_proxy(upstream) as proxy:
        for name, value in environment(proxy.endpoint).items():
            patch.setenv(name, value)
        yield proxy


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    target: str

    def _handle(self) -> None:
        body = self._body()
        fault = self.proxy.next_fault(self.command, urllib.parse.unquote(self.path))
        kind = fault.kind if fault else None
        if fault is not None and kind in _CODES:
            self._send(int(kind), {"Content-Type": "application/xml"}, _error_body(kind))
        elif kind == "reset":
            self._break()
        elif fault is not None and kind == "hang":
            self.proxy.stopped.wait(600)
            self._break()
        else:
            if fault is not None and kind == "slow":
                self.proxy.stopped.wait(fault.seconds)
            status, headers, answer = self._forward(body)
            if kind == "lost answer":
                self._break()
            elif kind == "partial" and len(answer) > 1:
                self._send(status, headers, answer, sent=len(answer) // 2)
                self._break()
            elif fault is not None and kind == "trickle":
                self._send(status, headers, answer, sent=0)
                self._trickle(answer, fault.seconds)
            else:
                self._send(status, headers, answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.target, timeout=60)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_HEADERS}
        try:
            connection.request(self.command, self.path, body, {**kept, "Content-Length": str(len(body))})
            answer = connection.getresponse()
            content = answer.read()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_HEADERS}
            if self.command == "HEAD":
                headers["Content-Length"] = answer.getheader("Content-Length") or "0"
            return answer.status, headers, content
        finally:
            connection.close()

    def _send(self, status: int, headers: dict[str, str], body: bytes, sent: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])
        self.wfile.flush()

    def _trickle(self, body: bytes, seconds: float) -> None:
        for index in range(len(body)):
            self.wfile.write(body[index : index + 1])
            self.wfile.flush()
            if self.proxy.stopped.wait(seconds):
                break

    def _break(self) -> None:
        """End the connection with a reset, as a router or a dying server does."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # a half that was sent must arrive before the reset throws it away
            time.sleep(0.05)
            self.connection.close()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):  # the client went away first
            self.close_connection = True

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        pass


def _error_body(kind: str) -> bytes:
    return _ANSWER.format(code=_CODES[kind]).encode()
