"""What the HTTP side tells about each finished request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class RequestSummary:
    """One finished request.

    `route`: path of the route ("/v1/extract"), "unmatched" for a path without one, so that its values are few.
    `method`: a standard HTTP method, "OTHER" for anything else. `status`: as sent; 499 where the client left before the
    answer. `seconds`: from the request's head to the end of the answer. `category`: of the error, for a problem
    document and for a record with `error`; None for success. `pages`: in the record. `stage_seconds`: the record's
    `timings`. `body_bytes`: of the request.
    """

    route: str
    method: str
    status: int = 0
    seconds: float = 0.0
    category: str | None = None
    pages: int = 0
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    body_bytes: int = 0


class Metrics(Protocol):
    """Counts requests. Called on the event loop, once a request, after its answer is sent: it must not block."""

    def record(self, request: RequestSummary) -> None:
        """Take one finished request into account."""
        ...


class NoMetrics:
    """Counts nothing."""

    def record(self, request: RequestSummary) -> None:
        """Nothing."""
