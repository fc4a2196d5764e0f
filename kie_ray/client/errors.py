"""What an endpoint answers when it has no result: a problem document (RFC 9457) as an exception with an `ErrorItem`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import httpx2

from kie_ray.client.retries import retry_after_seconds
from kie_ray.errors import Category, ErrorItem, Stage

BUSY = frozenset({429, 503})
"""Answers that ask for another try later."""

_ABOUT_REQUEST = frozenset({401, 403, 404, 405})

_CATEGORIES = {
    401: Category.FORBIDDEN,
    403: Category.FORBIDDEN,
    404: Category.NOT_FOUND,
    408: Category.TIMEOUT,
    413: Category.TOO_LARGE,
    415: Category.UNSUPPORTED,
    429: Category.UNAVAILABLE,
    502: Category.UNAVAILABLE,
    503: Category.UNAVAILABLE,
    504: Category.TIMEOUT,
}
_SHOWN = 200  # characters of an answer that is no problem document

# The whole request is safe to repeat, so a connection that broke may be tried anew. Not so a time-out of reading: the
# server is at work on the document, and another copy of it would only slow it down.
_BROKEN = (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ConnectTimeout)


class ApiError(Exception):
    """The endpoint refused a request, failed on it, or was not reached.

    `item`: stage, category, message and page as a row of the batch job would have them.
    `status`: HTTP status; None where no whole answer came.
    `request_id`: what the server's log calls the request, None where it gave no id.
    `about_request`: key, address or options are wrong, not the document: every other file would get the same answer.
    `again`: the same request may succeed if it is sent again (429, 503, a connection that broke before any answer).
    `retry_after`: seconds that the server asks to wait first, None where it says nothing.
    """

    def __init__(
        self,
        item: ErrorItem,
        status: int | None = None,
        request_id: str | None = None,
        *,
        about_request: bool = False,
        again: bool = False,
        retry_after: float | None = None,
    ) -> None:
        where = "no answer" if status is None else f"HTTP {status}"
        origin = "" if request_id is None else f" (request {request_id})"
        super().__init__(f"{where}: {item.message}{origin}")
        self.item = item
        self.status = status
        self.request_id = request_id
        self.about_request = about_request
        self.again = again
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        keywords = {"about_request": self.about_request, "again": self.again, "retry_after": self.retry_after}
        return _rebuild, ((self.item, self.status, self.request_id), keywords)


def of_response(response: httpx2.Response) -> ApiError:
    """The error that a response other than 200 tells; its body has been read."""
    status, problem = response.status_code, _problem(response)
    of_document = problem.get("category") in set(Category)
    return ApiError(
        _item(status, problem, response),
        status,
        response.headers.get("X-Request-ID"),
        about_request=status in _ABOUT_REQUEST or (status == 422 and not of_document),
        again=status in BUSY,
        retry_after=retry_after_seconds(response.headers.get("Retry-After")),
    )


def of_failure(error: httpx2.RequestError, url: httpx2.URL, *, answered: bool) -> ApiError:
    """The error of a request without a (whole) answer; `answered`: the head of an answer had come."""
    timeout = isinstance(error, httpx2.TimeoutException)
    category = Category.TIMEOUT if timeout else Category.UNAVAILABLE
    reason = str(error) or type(error).__name__
    message = f"{_place(url)}: {'the answer broke off: ' if answered else ''}{reason}"
    return ApiError(ErrorItem.of(Stage.FETCH, category, message), again=not answered and isinstance(error, _BROKEN))


def not_understood(response: httpx2.Response, wanted: str) -> ApiError:
    """The error of a 200 that does not hold what it should: something else than a kie_ray endpoint answers there."""
    message = f"{_place(response.url)} answered with no {wanted} but {_excerpt(response)}"
    item = ErrorItem(Stage.FETCH, Category.UNSUPPORTED, message, retryable=False)
    return ApiError(item, response.status_code, response.headers.get("X-Request-ID"))


def of_file(error: OSError, name: str) -> ErrorItem:
    """The error of a local file that cannot be read."""
    category = Category.UNAVAILABLE
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        category = Category.NOT_FOUND
    elif isinstance(error, PermissionError):
        category = Category.FORBIDDEN
    elif isinstance(error, IsADirectoryError):
        category = Category.UNSUPPORTED
    return ErrorItem.of(Stage.FETCH, category, f"{name}: {error.strerror or error}")


def _place(url: httpx2.URL) -> str:
    """The address without names of files, options or a password in it."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.path}"


def _rebuild(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> ApiError:
    return ApiError(*arguments, **keywords)


def _problem(response: httpx2.Response) -> Mapping[str, Any]:
    if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return {}
    try:
        problem = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _item(status: int, problem: Mapping[str, Any], response: httpx2.Response) -> ErrorItem:
    # What is wrong with a request as such has no category in the batch job.
    category = _CATEGORIES.get(status, Category.INTERNAL if status >= 500 else Category.UNSUPPORTED)
    stage = Stage.FETCH
    with contextlib.suppress(ValueError):
        category = Category(str(problem.get("category")))
    with contextlib.suppress(ValueError):
        stage = Stage(str(problem.get("stage")))
    retryable = problem.get("retryable")
    if not isinstance(retryable, bool):
        retryable = status >= 500 or status in BUSY or status == 408
    page = problem.get("page")
    message = problem.get("detail") or problem.get("title") or _excerpt(response)
    return ErrorItem(
        stage,
        category,
        str(message),
        retryable,
        page if isinstance(page, int) else None,
    )


def _excerpt(response: httpx2.Response) -> str:
    kind = response.headers.get("Content-Type", "no content type")
    text = response.content[:_SHOWN].decode("utf-8", "replace").strip()
    return f"{len(response.content)} bytes of {kind}" + (f": {text}" if text.isprintable() and text else "")
