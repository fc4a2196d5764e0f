"""S3 requests that `pyarrow.fs` cannot make: listings by answers, a read in one request, conditional writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import botocore.exceptions
import urllib3.exceptions

from kie_ray.errors import Category
from kie_ray.storage.s3_client import TRIES, S3Error, answer_code, classified, client

READ_SECONDS = 300.0
"""How long the reading of one object may take where the caller says nothing else."""
_CHUNK_BYTES = 2**20
_WAIT_SECONDS = 0.2
_PAGE_KEYS = 1000  # more are not to be had
_CHANGED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


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
        answer = client().head_object(Bucket=bucket, Key=key)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        failure = classified(error)
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
        answer = client().list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=_PAGE_KEYS, **more)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise classified(error) from error
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
        answer = client().put_object(Bucket=bucket, Key=key, Body=data, **condition)
    except botocore.exceptions.ClientError as error:
        code, status = answer_code(error)
        if condition and (code in _CHANGED or status in (409, 412) or (code == "NoSuchKey" and etag is not None)):
            raise VersionChanged(f"{bucket}/{key}: {code}") from error
        if condition and (code == "NotImplemented" or status == 501):
            raise ConditionsUnknown(f"{bucket}/{key}: {code}") from error
        raise classified(error) from error
    except botocore.exceptions.BotoCoreError as error:
        raise classified(error) from error
    return str(answer["ETag"]).strip('"')


class _BrokenBody(S3Error):
    """The connection ended in the middle of an answer."""


def _read(bucket: str, key: str, max_bytes: int, max_seconds: float) -> Versioned:
    """The object, in as many tries as a request has: botocore does not ask again when the body of an answer breaks."""
    deadline = time.monotonic() + max_seconds
    for failed in range(1, TRIES):
        try:
            return _read_once(bucket, key, max_bytes, max_seconds, deadline)
        except _BrokenBody:
            time.sleep(_WAIT_SECONDS * failed)
    return _read_once(bucket, key, max_bytes, max_seconds, deadline)


def _read_once(bucket: str, key: str, max_bytes: int, max_seconds: float, deadline: float) -> Versioned:
    try:
        answer = client().get_object(Bucket=bucket, Key=key)
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
        raise classified(error) from error
    except (TimeoutError, urllib3.exceptions.TimeoutError) as error:  # silence has lasted long enough, no second try
        raise classified(error) from error
    except (OSError, urllib3.exceptions.HTTPError) as error:
        raise _BrokenBody(Category.UNAVAILABLE, f"{type(error).__name__}: {error}") from error
    if count != size:
        raise _BrokenBody(Category.UNAVAILABLE, f"the connection ended after {count} of {size} bytes")
    return Versioned(b"".join(pieces), str(answer.get("ETag", "")).strip('"'))
