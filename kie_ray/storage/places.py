"""Where a uri points: scheme, local path, Arrow file system."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path

import pyarrow.fs as pafs

from kie_ray.storage import s3_client


def scheme_of(uri: str) -> str:
    """`s3`, `gs` or `file` (also for plain paths).

    Raises:
        ValueError: a scheme that we do not speak.
    """
    scheme, separator, _ = uri.partition("://")
    if not separator or "/" in scheme:
        return "file"
    if scheme not in ("file", "s3", "gs"):
        raise ValueError(f"{uri!r}: scheme {scheme!r} is none of file, s3, gs")
    return scheme


def local_path(uri: str) -> Path:
    """Absolute path of a plain path or a `file://` uri."""
    if uri.startswith("file://"):
        uri = urllib.parse.unquote(uri.removeprefix("file://").removeprefix("localhost"), errors="surrogateescape")
    return Path(os.path.abspath(uri))  # noqa: PTH100 (Path.resolve would follow links and change the name of the file)


def local_uri(path: Path) -> str:
    """What `local_path` turns into this absolute path again: the path itself, or a `file://` uri if it is no UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return f"file://{urllib.parse.quote(os.fsencode(path))}"
    return str(path)


def filesystem_for(uri: str) -> tuple[pafs.FileSystem, str]:
    """The Arrow file system of `uri` and the path in it (S3 and GCS: `bucket/key`).

    Raises:
        ValueError: a scheme that we do not speak.
    """
    scheme = scheme_of(uri)
    if scheme == "file":
        return pafs.LocalFileSystem(), str(local_path(uri))
    path = uri.partition("://")[2].rstrip("/")
    if scheme == "gs":
        return pafs.GcsFileSystem(), path
    options: dict[str, object] = {
        "region": s3_client.region(),
        "connect_timeout": 10,
        # About ten seconds of throttling. The client's standard strategy gives up earlier where many requests fail: it
        # has a budget of tries for all of them. Copies in Ray's workers make do with 3, and Ray Data tries again above.
        "retry_strategy": pafs.AwsDefaultS3RetryStrategy(max_attempts=10),
    }
    if not s3_client.has_credentials():
        options["anonymous"] = True
    endpoint = s3_client.endpoint()
    if endpoint:
        options["scheme"], _, host = endpoint.partition("://")
        options["endpoint_override"] = host.rstrip("/")
    return pafs.S3FileSystem(**options), path
