"""S3 requests that `pyarrow.fs` cannot make: streamed listings with ETags, a read in one request, clear error codes.

Endpoint, region and credentials come from the usual `AWS_*` environment (and `~/.aws`), resolved by botocore.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import botocore.config
import botocore.exceptions
import botocore.session
import urllib3.exceptions

from kie_ray.errors import Category

SILENCE_SECONDS = 30.0
"""Without a byte of an answer for so long a try is given up."""
READ_SECONDS = 300.0
"""How long the reading of one object may take where the caller says nothing else."""
CONNECTIONS = 16
"""Requests that one process can have under way."""

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
_CHUNK_BYTES = 2**20
_TRIES = 3
_WAIT_SECONDS = 0.2
_PAGE_KEYS = 1000  # more are not to be had
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
_FORBIDDEN = frozenset(
    {"401", "403", "AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)
_EXPIRED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
_CHANGED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class S3Error(Exception):
    """A request failed; `category` is NOT_FOUND, FORBIDDEN, UNAVAILABLE or TOO_LARGE, `code` is what S3 calls it."""

    def __init__(self, category: Category, message: str, code: str = "") -> None:
        super().__init__(message)
        self.category = category
        self.code = code


class VersionChanged(Exception):
    """A conditional write found another version of the object than it named."""


class ConditionsUnknown(Exception):
    """This store does not know conditional writes."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """An object's bytes and the tag of exactly this version of it."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class S3Object:
    """One key of a listing. `mtime`: seconds since 1970, UTC."""

    key: str
    size: int
    etag: str
    mtime: float


@dataclass(frozen=True, slots=True)
class ListPage:
    """One answer of a listing, markers of directories left out.

    `last_key`: the last of all keys in it; `token`: what the next answer goes on from, "" at the end.
    """

    objects: list[S3Object]
    folders: list[str]
    last_key: str
    token: str


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


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`; nothing in the key is percent-decoded."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def head(bucket: str, key: str) -> S3Object | None:
    """The object of exactly this key, None when there is none (or when only listing is allowed).

    Raises:
        S3Error: UNAVAILABLE.
    """
    try:
        answer = _client(_environment()).head_object(Bucket=bucket, Key=key)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        failure = _classify(error)
        if failure.category in (Category.NOT_FOUND, Category.FORBIDDEN):
            return None
        raise failure from error
    modified = answer["LastModified"].timestamp()
    return S3Object(key, int(answer["ContentLength"]), answer.get("ETag", "").strip('"'), modified)


def list_page(bucket: str, prefix: str, *, after: str = "", token: str = "", delimiter: str = "") -> ListPage:
    """One answer of a listing in key order: up to a thousand objects under `prefix`.

    Args:
        after: begin behind this key.
        token: go on where the answer with this `ListPage.token` ended.
        delimiter: objects whose keys are alike up to the next one of it are given as one of `folders`.

    Raises:
        S3Error: NOT_FOUND (no such bucket), FORBIDDEN, UNAVAILABLE.
    """
    given = {"StartAfter": after, "ContinuationToken": token, "Delimiter": delimiter}
    more = {name: value for name, value in given.items() if value}
    try:
        answer = _client(_environment()).list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=_PAGE_KEYS, **more)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise _classify(error) from error
    entries = answer.get("Contents", ())
    objects = [
        S3Object(entry["Key"], int(entry["Size"]), entry.get("ETag", "").strip('"'), entry["LastModified"].timestamp())
        for entry in entries
        if not entry["Key"].endswith("/")
    ]
    folders = [entry["Prefix"] for entry in answer.get("CommonPrefixes", ())]
    last = entries[-1]["Key"] if entries else ""
    return ListPage(
        objects, folders, last, answer.get("NextContinuationToken", "") if answer.get("IsTruncated") else ""
    )


def list_objects(bucket: str, prefix: str) -> Iterator[S3Object]:
    """All objects under `prefix` in key order, a thousand at a time; markers of directories are left out.

    Raises:
        S3Error: as `list_page`.
    """
    page = list_page(bucket, prefix)
    yield from page.objects
    while page.token:
        page = list_page(bucket, prefix, token=page.token)
        yield from page.objects


def read_object(bucket: str, key: str, max_bytes: int, max_seconds: float = READ_SECONDS) -> bytes:
    """The object's bytes, at most `max_bytes` of them ever in memory.

    Raises:
        S3Error: NOT_FOUND, FORBIDDEN, UNAVAILABLE (also: not all there after `max_seconds`), TOO_LARGE.
    """
    return _read(bucket, key, max_bytes, max_seconds).data


def read_versioned(bucket: str, key: str, max_bytes: int) -> Versioned | None:
    """The object with the tag of its version, None where there is none.

    Raises:
        S3Error: NOT_FOUND (no such bucket), FORBIDDEN, UNAVAILABLE, TOO_LARGE.
    """
    try:
        return _read(bucket, key, max_bytes, READ_SECONDS)
    except S3Error as error:
        if error.category == Category.NOT_FOUND and error.code != "NoSuchBucket":
            return None
        raise


def write_version(bucket: str, key: str, data: bytes, etag: str | None, *, conditional: bool = True) -> str:
    """Replace exactly the version `etag` of the object (None: write it only where there is none); gives the new tag.

    Raises:
        VersionChanged: there is another version, or one at all.
        ConditionsUnknown: the store refuses conditions; `conditional=False` writes without.
        S3Error: NOT_FOUND (no such bucket), FORBIDDEN, UNAVAILABLE.
    """
    condition = {} if not conditional else {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
    try:
        answer = _client(_environment()).put_object(Bucket=bucket, Key=key, Body=data, **condition)
    except botocore.exceptions.ClientError as error:
        code, status = _code(error)
        if condition and (code in _CHANGED or status in (409, 412) or (code == "NoSuchKey" and etag is not None)):
            raise VersionChanged(f"{bucket}/{key}: {code}") from error
        if condition and (code == "NotImplemented" or status == 501):
            raise ConditionsUnknown(f"{bucket}/{key}: {code}") from error
        raise _classify(error) from error
    except botocore.exceptions.BotoCoreError as error:
        raise _classify(error) from error
    return str(answer["ETag"]).strip('"')


class _BrokenBody(S3Error):
    """The connection ended in the middle of an answer."""


def _read(bucket: str, key: str, max_bytes: int, max_seconds: float) -> Versioned:
    """The object, in as many tries as a request has: botocore does not ask again when the body of an answer breaks."""
    deadline = time.monotonic() + max_seconds
    for failed in range(1, _TRIES):
        try:
            return _read_once(bucket, key, max_bytes, max_seconds, deadline)
        except _BrokenBody:
            time.sleep(_WAIT_SECONDS * failed)
    return _read_once(bucket, key, max_bytes, max_seconds, deadline)


def _read_once(bucket: str, key: str, max_bytes: int, max_seconds: float, deadline: float) -> Versioned:
    try:
        answer = _client(_environment()).get_object(Bucket=bucket, Key=key)
        with answer["Body"] as body:
            size = int(answer["ContentLength"])
            if size > max_bytes:
                raise S3Error(Category.TOO_LARGE, f"{size} bytes are over the limit of max_bytes = {max_bytes}")
            pieces: list[bytes] = []
            count = 0
            # `read` waits for all that it was asked for: a server that trickles would never time out
            while piece := body.read1(_CHUNK_BYTES):
                pieces.append(piece)
                count += len(piece)
                if count < size and time.monotonic() > deadline:
                    raise S3Error(Category.UNAVAILABLE, f"{count} of {size} bytes came in {max_seconds:g} seconds")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise _classify(error) from error
    except (TimeoutError, urllib3.exceptions.TimeoutError) as error:  # silence has lasted long enough, no second try
        raise _classify(error) from error
    except (OSError, urllib3.exceptions.HTTPError) as error:
        raise _BrokenBody(Category.UNAVAILABLE, f"{type(error).__name__}: {error}") from error
    if count != size:
        raise _BrokenBody(Category.UNAVAILABLE, f"the connection ended after {count} of {size} bytes")
    return Versioned(b"".join(pieces), str(answer.get("ETag", "")).strip('"'))


def _environment() -> tuple[str | None, ...]:
    return tuple(os.environ.get(name) for name in _ENVIRONMENT)


@functools.lru_cache(maxsize=4)
def _has_credentials(environment: tuple[str | None, ...]) -> bool:
    return botocore.session.get_session().get_credentials() is not None


@functools.lru_cache(maxsize=4)
def _client(environment: tuple[str | None, ...]) -> Any:
    """A client (thread-safe) for this state of the environment."""
    config = botocore.config.Config(
        connect_timeout=10,
        read_timeout=SILENCE_SECONDS,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "max_attempts": _TRIES},
        signature_version=None if _has_credentials(environment) else botocore.UNSIGNED,
        # servers other than Amazon's rarely answer at bucket.host
        s3={"addressing_style": "path" if endpoint() else "auto"},
    )
    session = botocore.session.get_session()
    return session.create_client("s3", endpoint_url=endpoint(), region_name=region(), config=config)


def _classify(error: Exception) -> S3Error:
    if not isinstance(error, botocore.exceptions.ClientError):
        if isinstance(error, botocore.exceptions.NoCredentialsError | botocore.exceptions.PartialCredentialsError):
            return S3Error(Category.FORBIDDEN, str(error))
        if isinstance(error, botocore.exceptions.ParamValidationError):
            return S3Error(Category.NOT_FOUND, " ".join(str(error).split()))
        return S3Error(Category.UNAVAILABLE, f"{type(error).__name__}: {error}")
    code, status = _code(error)
    if code in _MISSING or status == 404:
        return S3Error(Category.NOT_FOUND, str(error), code)
    if code in _EXPIRED or code in _FORBIDDEN or status in (401, 403):
        return S3Error(Category.FORBIDDEN, str(error), code)
    return S3Error(Category.UNAVAILABLE, str(error), code)


def _code(error: botocore.exceptions.ClientError) -> tuple[str, int]:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(error.response.get("Error", {}).get("Code", "")), int(status)
