"""The body of a request, counted while it streams in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from starlette.requests import Request

from kie_ray.errors import Category
from pipelines.online.api.backend import Busy
from pipelines.online.api.multipart import ANNOTATIONS, ENVELOPE_BYTES, FILE, FormReader, over
from pipelines.online.api.problems import Problem, invalid
from pipelines.online.api.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Body:
    """What a request brought: a file (`data`) perhaps with `annotations` (JSON), or `lines` (JSON) in its place.

    `name` is what the client calls the file, as it came.
    """

    data: bytes | None = None
    annotations: bytes | None = None
    lines: bytes | None = None
    name: str | None = None


class MemoryBudget:
    """Bytes of bodies that one process holds at a time. A body that finds the budget empty is always taken."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    @contextlib.contextmanager
    def lease(self) -> Iterator[Lease]:
        """The share of one request, given back at the end of the block."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            self.used -= lease.size

    def take(self, lease: Lease, size: int) -> None:
        """Raises Busy where others hold so much that `size` more bytes are too many."""
        if self.used + size > self._limit and self.used > lease.size:
            raise Busy
        lease.size += size
        self.used += size


class Lease:
    """What one request holds of a budget."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.size = 0

    def add(self, size: int) -> None:
        """Raises Busy, see `MemoryBudget.take`."""
        self._budget.take(self, size)


async def read_body(request: Request, settings: ApiSettings, lease: Lease) -> Body:
    """Read the body to its end, as its Content-Type says: multipart/form-data, application/json, or a bare file.

    Raises:
        Problem: 408, 413 (before the rest has arrived), 415 for a compressed body, 422 for broken multipart.
        Busy: other requests fill the memory.
        ClientDisconnect: the client left.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        detail = f"Content-Encoding {encoding[:50]!r} is not supported: send the body uncompressed"
        raise Problem(415, Category.UNSUPPORTED, detail)
    try:
        async with asyncio.timeout(settings.body_seconds):
            return await _read(request, settings, lease)
    except TimeoutError as error:
        detail = f"The body did not arrive within {settings.body_seconds:g} seconds"
        raise Problem(408, Category.TIMEOUT, detail, retryable=True, headers={"Connection": "close"}) from error


async def _read(request: Request, settings: ApiSettings, lease: Lease) -> Body:
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    max_bytes, max_json = settings.limits.max_bytes, settings.max_json_bytes
    if kind == "multipart/form-data":
        form = FormReader(content_type, {FILE: max_bytes, ANNOTATIONS: max_json})
        async for chunk in _counted(request, lease, "the body", max_bytes + max_json + ENVELOPE_BYTES):
            form.write(chunk)
        parts = form.finish()
        if FILE not in parts:
            raise invalid("multipart/form-data needs a part named file")
        annotations = parts.get(ANNOTATIONS)
        return Body(parts[FILE].data, annotations.data if annotations else None, name=parts[FILE].filename)
    if kind.startswith("multipart/"):
        raise invalid(f"Content-Type {kind[:50]!r}: of the multipart types only multipart/form-data is understood")
    if kind == "application/json":
        lines = [chunk async for chunk in _counted(request, lease, "the JSON body", max_json)]
        return Body(lines=b"".join(lines))
    data = [chunk async for chunk in _counted(request, lease, "the file", max_bytes)]
    return Body(b"".join(data))


async def _counted(request: Request, lease: Lease, what: str, limit: int) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise over(f"{what} ({int(declared[:20])} bytes)", limit)
    async for chunk in request.stream():
        if lease.size + len(chunk) > limit:
            raise over(what, limit)
        lease.add(len(chunk))
        yield chunk
