"""The S3 client of a process, and what its failures mean.

Endpoint, region and credentials come from the usual `AWS_*` environment (and `~/.aws`), resolved by botocore.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import botocore.config
import botocore.exceptions
import botocore.session

from kie_ray.errors import Category

SILENCE_SECONDS = 30.0
"""Without a byte of an answer for so long a try is given up."""
CONNECTIONS = 16
"""Requests that one process can have under way."""
TRIES = 3
"""Of a request, in all."""

_ENVIRONMENT = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
_DEFAULT_REGION = "us-east-1"
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
_FORBIDDEN = frozenset(
    {"401", "403", "AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)
_EXPIRED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})


class S3Error(Exception):
    """A request failed; `category` is NOT_FOUND, FORBIDDEN, UNAVAILABLE or TOO_LARGE, `code` is what S3 calls it."""

    def __init__(self, category: Category, message: str, code: str = "") -> None:
        super().__init__(message)
        self.category = category
        self.code = code


def endpoint() -> str | None:
    """Endpoint url from the environment, None for Amazon's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def region() -> str:
    """Region from the environment or the profile."""
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or botocore.session.get_session().get_config_variable("region") or _DEFAULT_REGION


def has_credentials() -> bool:
    """Whether any credentials can be found; without them requests are anonymous (public buckets)."""
    return _has_credentials(_environment())


def client() -> Any:
    """A botocore client (thread-safe) for what the environment says now."""
    return _client(_environment())


def classified(error: Exception) -> S3Error:
    """What a failure of botocore means to a caller."""
    if not isinstance(error, botocore.exceptions.ClientError):
        if isinstance(error, botocore.exceptions.NoCredentialsError | botocore.exceptions.PartialCredentialsError):
            return S3Error(Category.FORBIDDEN, str(error))
        if isinstance(error, botocore.exceptions.ParamValidationError):
            return S3Error(Category.NOT_FOUND, " ".join(str(error).split()))
        return S3Error(Category.UNAVAILABLE, f"{type(error).__name__}: {error}")
    code, status = answer_code(error)
    if code in _MISSING or status == 404:
        return S3Error(Category.NOT_FOUND, str(error), code)
    if code in _EXPIRED or code in _FORBIDDEN or status in (401, 403):
        return S3Error(Category.FORBIDDEN, str(error), code)
    return S3Error(Category.UNAVAILABLE, str(error), code)


def answer_code(error: botocore.exceptions.ClientError) -> tuple[str, int]:
    """S3's own code, and the HTTP status (0: none)."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(error.response.get("Error", {}).get("Code", "")), int(status)


def _environment() -> tuple[str | None, ...]:
    return tuple(os.environ.get(name) for name in _ENVIRONMENT)


@functools.lru_cache(maxsize=4)
def _has_credentials(environment: tuple[str | None, ...]) -> bool:
    return botocore.session.get_session().get_credentials() is not None


@functools.lru_cache(maxsize=4)
def _client(environment: tuple[str | None, ...]) -> Any:
    config = botocore.config.Config(
        connect_timeout=10,
        read_timeout=SILENCE_SECONDS,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "max_attempts": TRIES},
        signature_version=None if _has_credentials(environment) else botocore.UNSIGNED,
        # servers other than Amazon's rarely answer at bucket.host
        s3={"addressing_style": "path" if endpoint() else "auto"},
    )
    session = botocore.session.get_session()
    return session.create_client("s3", endpoint_url=endpoint(), region_name=region(), config=config)
