"""What every request passes on its way in, and every answer on its way out. Plain ASGI: nothing is buffered."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.online.api.metrics import Metrics, RequestSummary
from pipelines.online.api.problems import internal, of_exception, respond
from pipelines.online.api.settings import ApiSettings

logger = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_CLIENT_LEFT = 499

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""On every answer that does not say something else."""


class Edge:
    """Names the request, adds the security headers, answers HEAD as GET without a body, and tells the metrics.

    A client that leaves is no error: it is counted as status 499.
    """

    def __init__(self, app: ASGIApp, settings: ApiSettings, metrics: Metrics) -> None:
        self._app = app
        self._adds_id = not settings.proxy_adds_request_id
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"]
        summary = RequestSummary("unmatched", method if method in _METHODS else "OTHER")
        request_id = _request_id(Headers(scope=scope).get("x-request-id"))
        inner = {**scope, "kie_ray.request_id": request_id, "kie_ray.summary": summary}
        if method == "HEAD":
            inner["method"] = "GET"

        async def counted_receive() -> Message:
            message = await receive()
            summary.body_bytes += len(message.get("body", b""))
            return message

        async def finished_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                summary.status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self._adds_id:
                    headers["X-Request-ID"] = request_id
            elif message["type"] == "http.response.body" and method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(inner, counted_receive, finished_send)
        except ClientDisconnect:
            summary.status = _CLIENT_LEFT
        except asyncio.CancelledError:
            summary.status = _CLIENT_LEFT
            raise
        finally:
            summary.route = getattr(inner.get("route"), "path", "unmatched")
            summary.seconds = time.perf_counter() - started
            try:
                self._metrics.record(summary)
            except Exception:
                logger.exception("metrics failed")


class CatchAll:
    """Turns every exception into a problem document; one that nobody expected is logged, under the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched_send(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:
            raise
        except Exception as error:
            problem = of_exception(error)
            if problem is None:
                logger.error("request %s failed", scope.get("kie_ray.request_id"), exc_info=error)
            elif problem.status == 500:
                logger.error("request %s failed: %s", scope.get("kie_ray.request_id"), problem.cause)
            if begun:
                raise
            await respond(scope, problem or internal())(scope, receive, send)


def _request_id(given: str | None) -> str:
    """The client's id where it is harmless in logs and headers, otherwise a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
