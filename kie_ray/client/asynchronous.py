"""The client for asyncio: the methods of `Client` as coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TypeVar

import httpx2

from kie_ray.client.body import Annotations, Body, Source, file_body, name_of, pages_body
from kie_ray.client.errors import ApiError, of_failure, of_response
from kie_ray.client.many import in_tasks, kept_error
from kie_ray.client.request import TIMEOUT, URL, http_options, query
from kie_ray.client.results import ServedModel, document_of, models_of, picture_of
from kie_ray.client.retries import Retries
from kie_ray.records import Document, Page

S = TypeVar("S", bound=Source)


class AsyncClient:
    """As `Client`, for the tasks of one event loop; `await close()` (or `async with`) ends its connections."""

    def __init__(
        self,
        url: str = URL,
        api_key: str | None = None,
        *,
        timeout: float | None = TIMEOUT,
        retries: Retries | None = None,
    ) -> None:
        self._http = httpx2.AsyncClient(**http_options(url, api_key, timeout))
        self._retries = retries or Retries()

    async def extract(
        self,
        source: Source,
        *,
        name: str | None = None,
        model: str | None = None,
        min_score: float | None = None,
        annotations: Annotations | None = None,
        pictures: bool = False,
    ) -> Document:
        """See `Client.extract`."""
        name = name or name_of(source)
        with file_body(source, name, annotations) as body:
            return document_of(await self._send("POST", "/v1/extract", query(name, model, min_score, pictures), body))

    async def extract_pages(
        self,
        pages: Sequence[Page],
        *,
        name: str | None = None,
        model: str | None = None,
        min_score: float | None = None,
    ) -> Document:
        """See `Client.extract_pages`."""
        body = pages_body(pages, name)
        return document_of(await self._send("POST", "/v1/extract", query(model=model, min_score=min_score), body))

    def extract_many(
        self,
        sources: Iterable[S],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        model: str | None = None,
        min_score: float | None = None,
    ) -> AsyncIterator[tuple[S, Document]]:
        """See `Client.extract_many`; `async for` takes the results."""

        async def one(source: S) -> Document:
            with kept_error(source) as failed:
                return await self.extract(source, model=model, min_score=min_score)
            return failed.document

        return in_tasks(one, sources, concurrency, ordered)

    async def preview(
        self,
        source: Source,
        *,
        page: int = 0,
        name: str | None = None,
        model: str | None = None,
        annotations: Annotations | None = None,
    ) -> bytes:
        """See `Client.preview`."""
        name = name or name_of(source)
        with file_body(source, name, annotations) as body:
            return picture_of(await self._send("POST", "/v1/preview", query(name, model, page=page), body))

    async def models(self) -> list[ServedModel]:
        """See `Client.models`."""
        return models_of(await self._send("GET", "/v1/models", {}, None))

    async def health(self) -> bool:
        """See `Client.health`."""
        try:
            await self._once("GET", "/healthz", {}, None)
        except ApiError as error:
            if error.status in (None, 503):
                return False
            raise
        return True

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _send(self, method: str, path: str, parameters: dict[str, str], body: Body | None) -> httpx2.Response:
        started, sent = time.monotonic(), 0
        while True:
            try:
                return await self._once(method, path, parameters, body)
            except ApiError as error:
                sent += 1
                elapsed = time.monotonic() - started
                wait = self._retries.wait(sent, elapsed, error.retry_after) if error.again else None
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def _once(self, method: str, path: str, parameters: dict[str, str], body: Body | None) -> httpx2.Response:
        request = self._http.build_request(
            method,
            path,
            params=parameters,
            content=None if body is None else body.async_chunks(),
            headers=None if body is None else body.headers,
        )
        answered = False
        try:
            async with contextlib.aclosing(await self._http.send(request, stream=True)) as response:
                answered = True
                await response.aread()
        except httpx2.RequestError as error:
            raise of_failure(error, request.url, answered=answered) from error
        if response.status_code != 200:
            raise of_response(response)
        return response
