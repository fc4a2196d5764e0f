"""The client for ordinary code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import httpx2

from kie_ray.client.body import Annotations, Body, Source, file_body, name_of, pages_body
from kie_ray.client.errors import ApiError, of_failure, of_response
from kie_ray.client.many import in_threads, kept_error
from kie_ray.client.request import TIMEOUT, URL, http_options, query
from kie_ray.client.results import ServedModel, document_of, models_of, picture_of
from kie_ray.client.retries import Retries
from kie_ray.records import Document, Page

S = TypeVar("S", bound=Source)


class Client:
    """One endpoint. Threads may share it; `close` (or `with`) ends its connections.

    Args:
        url: where the endpoint is, with a path where a proxy puts it below one.
        api_key: sent as `Authorization: Bearer`; None is the environment's KIE_RAY_API_KEY, if it is set.
        timeout: seconds without a byte of an answer after which a request is given up; None waits for ever.
        retries: what is sent again, how often, after how long.

    Raises:
        ValueError: url or key cannot be one.

    All methods raise ApiError where the endpoint has no result or is not reached.
    """

    def __init__(
        self,
        url: str = URL,
        api_key: str | None = None,
        *,
        timeout: float | None = TIMEOUT,
        retries: Retries | None = None,
    ) -> None:
        self._http = httpx2.Client(**http_options(url, api_key, timeout))
        self._retries = retries or Retries()

    def extract(
        self,
        source: Source,
        *,
        name: str | None = None,
        model: str | None = None,
        min_score: float | None = None,
        annotations: Annotations | None = None,
        pictures: bool = False,
    ) -> Document:
        """Everything about one document. A partial one (`Document.error`) is a result; a failed one is an ApiError.

        Args:
            source: a path, the bytes of a file, or an open binary file. Files are read while they are sent.
            name: what to call it in `Document.uri`; None is the last part of the file's name.
            model: a bundle by name; None is the endpoint's first one.
            min_score: fields and links below it (0 to 1) are left out.
            annotations: lines in place of OCR, see `Annotations`.
            pictures: the result is a `PicturedDocument`, with a JPEG of every page.

        Raises:
            ApiError: see the class.
            OSError: the file cannot be read.
        """
        name = name or name_of(source)
        with file_body(source, name, annotations) as body:
            return document_of(self._send("POST", "/v1/extract", query(name, model, min_score, pictures), body))

    def extract_pages(
        self,
        pages: Sequence[Page],
        *,
        name: str | None = None,
        model: str | None = None,
        min_score: float | None = None,
    ) -> Document:
        """Labels, links and fields of pages that have lines, without a file; `pages` themselves stay as they are.

        The pages of the result are numbered from 0 in the order of `pages`. A model that looks at page images cannot do
        this (422).
        """
        body = pages_body(pages, name)
        return document_of(self._send("POST", "/v1/extract", query(model=model, min_score=min_score), body))

    def extract_many(
        self,
        sources: Iterable[S],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        model: str | None = None,
        min_score: float | None = None,
    ) -> Iterator[tuple[S, Document]]:
        """Each source with its document, `concurrency` at a time; a source that fails has its `Document.error` set.

        `sources` is read as the results are taken, never far ahead. `ordered`: in the order of `sources`, else as they
        are finished.

        Raises:
            ApiError: key, address or options are wrong, for every file alike (`ApiError.about_request`).
        """

        def one(source: S) -> Document:
            with kept_error(source) as failed:
                return self.extract(source, model=model, min_score=min_score)
            return failed.document

        return in_threads(one, sources, concurrency, ordered)

    def preview(
        self,
        source: Source,
        *,
        page: int = 0,
        name: str | None = None,
        model: str | None = None,
        annotations: Annotations | None = None,
    ) -> bytes:
        """A PNG of one page (0-based) with its labels and links drawn on it; arguments as `extract`."""
        name = name or name_of(source)
        with file_body(source, name, annotations) as body:
            return picture_of(self._send("POST", "/v1/preview", query(name, model, page=page), body))

    def models(self) -> list[ServedModel]:
        """The bundles that are served, the default one first."""
        return models_of(self._send("GET", "/v1/models", {}, None))

    def health(self) -> bool:
        """Whether OCR and models answer now; nothing is retried. Raises ApiError for any answer but 200 and 503."""
        try:
            self._once("GET", "/healthz", {}, None)
        except ApiError as error:
            if error.status in (None, 503):
                return False
            raise
        return True

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, method: str, path: str, parameters: dict[str, str], body: Body | None) -> httpx2.Response:
        started, sent = time.monotonic(), 0
        while True:
            try:
                return self._once(method, path, parameters, body)
            except ApiError as error:
                sent += 1
                elapsed = time.monotonic() - started
                wait = self._retries.wait(sent, elapsed, error.retry_after) if error.again else None
                if wait is None:
                    raise
            time.sleep(wait)

    def _once(self, method: str, path: str, parameters: dict[str, str], body: Body | None) -> httpx2.Response:
        request = self._http.build_request(
            method,
            path,
            params=parameters,
            content=None if body is None else body.chunks(),
            headers=None if body is None else body.headers,
        )
        answered = False
        try:
            with contextlib.closing(self._http.send(request, stream=True)) as response:
                answered = True
                response.read()
        except httpx2.RequestError as error:
            raise of_failure(error, request.url, answered=answered) from error
        if response.status_code != 200:
            raise of_response(response)
        return response
