"""A bounded load for one endpoint: so many clients at a time, so many requests or seconds, then it stops by itself.

One process with asyncio; its own processor time is part of what it reports, for it shares the machine with the server.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

BROKEN = 0
"""In place of a status: no answer came."""

_REQUEST_SECONDS = 180.0
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What is posted to /v1/extract. `pages`: of the document."""

    content: bytes
    content_type: str
    pages: int = 1


@dataclass(frozen=True, slots=True)
class Got:
    """One answer. `started`: seconds after the load began; `wrong`: what no well-behaved endpoint would do."""

    status: int
    started: float
    seconds: float
    wrong: str = ""


@dataclass(slots=True)
class Load:
    """What a load found. `seconds`: until the last answer; `cpu_seconds`: of this process meanwhile."""

    clients: int
    got: list[Got] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def good(self) -> list[Got]:
        return [one for one in self.got if one.status == 200]

    @property
    def wrong(self) -> list[str]:
        return [one.wrong for one in self.got if one.wrong]

    @property
    def per_second(self) -> float:
        return len(self.good) / self.seconds if self.seconds else 0.0

    def report(self) -> dict[str, Any]:
        latencies = [one.seconds for one in self.good]
        return {
            "clients": self.clients,
            "seconds": round(self.seconds, 2),
            "documents_per_second": round(self.per_second, 3),
            **{f"p{share}_seconds": percentile(latencies, share) for share in (50, 95, 99)},
            "statuses": dict(sorted(Counter(str(one.status) for one in self.got).items())),
            "wrong": dict(Counter(self.wrong).most_common(5)),
            "generator_cpu_share": round(self.cpu_seconds / self.seconds, 3) if self.seconds else 0.0,
        }


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` percent of `values` do not exceed (nearest rank); None of nothing."""
    if not values:
        return None
    return round(sorted(values)[max(0, math.ceil(share / 100 * len(values)) - 1)], 4)


async def closed_load(
    url: str,
    sent: Sequence[Sent],
    clients: int,
    *,
    count: int | None = None,
    seconds: float = 600.0,
    busy_allowed: bool = False,
) -> Load:
    """`clients` clients, each with one request at a time, in turn those of `sent`.

    Ends when `count` requests have been sent, or after `seconds`; requests under way are then waited for.
    `busy_allowed`: 429 and 503 with Retry-After are right answers, and a client that gets one waits as long before its
    next request.
    """
    load = Load(clients)
    numbers = itertools.count() if count is None else iter(range(count))
    limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
    timeout = httpx2.Timeout(_REQUEST_SECONDS, pool=None)
    began, cpu = time.perf_counter(), time.process_time()
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=timeout, trust_env=False) as http:

        async def client() -> None:
            while time.perf_counter() - began < seconds and (number := next(numbers, None)) is not None:
                started = time.perf_counter()
                response, wrong = await _post(http, sent[number % len(sent)], busy_allowed)
                now = time.perf_counter()
                status = BROKEN if response is None else response.status_code
                load.got.append(Got(status, started - began, now - started, wrong))
                if status != 200:
                    left = seconds - (now - began)
                    await asyncio.sleep(max(0.0, min(left, _pause(response))))

        await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds, load.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return load


async def time_to_recover(
    url: str, sent: Sent, fast: float, *, steady: float = 3.0, limit: float = 30.0
) -> float | None:
    """Seconds from now until single requests are answered with 200 within `fast` seconds, for `steady` seconds on end.

    None where that does not come within `limit` seconds.
    """
    began = time.perf_counter()
    good_since: float | None = None
    async with httpx2.AsyncClient(base_url=url, timeout=limit, trust_env=False) as http:
        while (now := time.perf_counter() - began) < limit + steady:
            response, wrong = await _post(http, sent, busy_allowed=False)
            took = time.perf_counter() - began - now
            if wrong or response is None or took > fast:
                good_since = None
            elif good_since is None:
                good_since = now
            if good_since is not None and now - good_since >= steady:
                return good_since
            await asyncio.sleep(0.1)
    return None


async def _post(http: httpx2.AsyncClient, sent: Sent, busy_allowed: bool) -> tuple[httpx2.Response | None, str]:
    """The answer and what is wrong with it."""
    try:
        response = await http.post("/v1/extract", content=sent.content, headers={"Content-Type": sent.content_type})
    except httpx2.TransportError as error:
        return None, f"{type(error).__name__}: {error}"
    if response.status_code == 200:
        record = json.loads(response.content)
        found = (record["status"], len(record["pages"]))
        return response, "" if found == ("ok", sent.pages) else f"200 with {found}"
    if busy_allowed and response.status_code in (429, 503):
        return response, "" if _retry_after(response) is not None else f"{response.status_code} without Retry-After"
    return response, f"{response.status_code}: {_told(response)}"


def _told(response: httpx2.Response) -> str:
    """What an answer that is not wanted says; of a problem document its detail, which many answers share."""
    text = response.text
    if "problem+json" in response.headers.get("Content-Type", ""):
        text = str(json.loads(text).get("detail"))
    return text[:200]


def _pause(response: httpx2.Response | None) -> float:
    asked = None if response is None else _retry_after(response)
    return (_PAUSE_SECONDS if asked is None else asked) + random.uniform(0.0, 0.5 * _PAUSE_SECONDS)


def _retry_after(response: httpx2.Response) -> float | None:
    try:
        return float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
