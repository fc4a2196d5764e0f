"""What both clients send: how a client is set up, and the options of a request as query parameters."""

from __future__ import annotations

import os
from typing import Any

import httpx2

from kie_ray.client.body import clean_name

URL = "http://127.0.0.1:8000"
TIMEOUT = 150.0
"""Seconds; more than the endpoint takes before it answers 504 by itself."""

KEY_VARIABLE = "KIE_RAY_API_KEY"

_CONNECT_SECONDS = 10.0


def http_options(url: str, api_key: str | None, timeout: float | None) -> dict[str, Any]:
    """Arguments of httpx2's clients.

    Raises:
        ValueError: the url is not one of http or https, or the key has characters that no key has.
    """
    base = httpx2.URL(url)
    if base.scheme not in ("http", "https") or not base.host:
        raise ValueError(f"url = {url!r} should be like {URL}")
    key = os.environ.get(KEY_VARIABLE) if api_key is None else api_key
    headers = {"Accept": "application/json, image/png"}
    if key:
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError(f"api_key (or {KEY_VARIABLE}) must be printable ASCII without spaces")
        headers["Authorization"] = f"Bearer {key}"
    connect = _CONNECT_SECONDS if timeout is None else min(timeout, _CONNECT_SECONDS)
    return {
        "base_url": base,
        "headers": headers,
        # A request that waits for a free connection of the pool is not late.
        "timeout": httpx2.Timeout(timeout, connect=connect, pool=None),
    }


def query(
    name: str | None = None,
    model: str | None = None,
    min_score: float | None = None,
    pictures: bool = False,
    page: int | None = None,
) -> dict[str, str]:
    """The query parameters of options that are not None."""
    parameters: dict[str, Any] = {"model": model, "min_score": min_score, "page": page}
    parameters["name"] = None if name is None else clean_name(name)
    parameters["include"] = "lines,links,fields,pictures" if pictures else None
    return {key: str(value) for key, value in parameters.items() if value is not None}
