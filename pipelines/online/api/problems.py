"""Everything that can go wrong as an RFC 9457 problem document, with the categories of the batch job."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

from kie_ray.errors import RETRYABLE, Category, DocumentError, ErrorItem
from pipelines.online.api.backend import Busy, NotReady, RequestError, TooSlow
from pipelines.online.api.metrics import RequestSummary

MEDIA_TYPE = "application/problem+json"
INVALID = "invalid_request"
"""The one category that the batch job does not have: the request itself is wrong."""

TITLES: dict[int, str] = {
    400: "The document cannot be read",
    401: "A valid API key is needed",
    404: "There is nothing at this path",
    405: "This path does not take this method",
    408: "The body took too long to arrive",
    413: "Too large",
    415: "The type of the document is not supported",
    422: "The request is not valid",
    500: "Internal error",
    503: "The server cannot take the request now",
    504: "The document took too long",
}

STATUS: dict[Category, int] = {
    Category.EMPTY: 400,
    Category.CORRUPT: 400,
    Category.ENCRYPTED: 400,
    Category.CRASH: 400,
    Category.TOO_LARGE: 413,
    Category.TOO_MANY_PAGES: 413,
    Category.UNSUPPORTED: 415,
    Category.NO_ANNOTATION: 422,
    Category.NOT_FOUND: 422,
    Category.FORBIDDEN: 422,
    Category.INTERNAL: 500,
    Category.UNAVAILABLE: 503,
    Category.TIMEOUT: 504,
}

SEE_LOG = "The server failed; its log says why under this request_id"
"""All that a client learns about a defect of ours."""

_RETRY_AFTER = 2.0


@dataclass(eq=False)  # an exception must keep its hash
class Problem(Exception):
    """Ends a request with a problem document. `detail` is for the client, `cause` for the log only."""

    status: int
    category: str
    detail: str
    stage: str = "request"
    retryable: bool = False
    page: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cause: str = ""

    def __post_init__(self) -> None:
        super().__init__(self.detail)

    def body(self, request_id: str) -> dict[str, Any]:
        """The members of the document."""
        members: dict[str, Any] = {
            "type": f"urn:problem-type:kie-ray:{self.category}",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
            "stage": self.stage,
            "category": self.category,
            "retryable": self.retryable,
            "request_id": request_id,
        }
        if self.page is not None:
            members["page"] = self.page
        return members


def invalid(detail: str) -> Problem:
    """422: options, annotations or JSON are wrong; `detail` names the value and what would be right."""
    return Problem(422, INVALID, detail)


def too_large(detail: str) -> Problem:
    """413: more bytes than a limit allows; `detail` names the limit."""
    return Problem(413, Category.TOO_LARGE, detail)


def of_item(item: ErrorItem) -> Problem:
    """The problem of a document that failed. The message of an internal failure is for the log, not for the client."""
    status = STATUS[item.category]
    if status == 500:
        return internal(item.stage, item.page, f"{item.stage}/{item.category}: {item.message}")
    headers = {"Retry-After": _seconds(_RETRY_AFTER)} if status == 503 else {}
    return Problem(status, item.category, item.message, item.stage, item.retryable, item.page, headers)


def internal(stage: str = "request", page: int | None = None, cause: str = "") -> Problem:
    """500: a defect of ours. What happened is in the log, under the request's id."""
    return Problem(500, Category.INTERNAL, SEE_LOG, stage, Category.INTERNAL in RETRYABLE, page, cause=cause)


def of_exception(error: Exception) -> Problem | None:
    """The problem that an exception of backend or API stands for; None for one that nobody expected."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, DocumentError):
        return of_item(error.item)
    if isinstance(error, RequestError):
        return invalid(str(error))
    if isinstance(error, Busy):
        return _unavailable("The server is busy; try again after Retry-After seconds", error.retry_after)
    if isinstance(error, NotReady):
        return _unavailable("OCR or models do not answer", _RETRY_AFTER)
    if isinstance(error, TooSlow):
        detail = f"The document was {error}; send fewer pages at a time"
        return Problem(504, Category.TIMEOUT, detail, "request", True)
    return None


def respond(scope: Scope, problem: Problem) -> Response:
    """`problem` as the answer to the request of `scope`; its summary for the metrics learns the category."""
    summary: RequestSummary | None = scope.get("kie_ray.summary")
    if summary is not None:
        summary.category = problem.category
    content = json.dumps(problem.body(scope.get("kie_ray.request_id", "")), ensure_ascii=False, allow_nan=False)
    # A detail may quote half of a surrogate pair that came from the client: no answer may fail over that.
    return Response(content.encode("utf-8", "replace"), problem.status, dict(problem.headers), MEDIA_TYPE)


def _unavailable(detail: str, retry_after: float) -> Problem:
    return Problem(503, Category.UNAVAILABLE, detail, retryable=True, headers={"Retry-After": _seconds(retry_after)})


def _seconds(value: float) -> str:
    return str(max(1, math.ceil(value)))
