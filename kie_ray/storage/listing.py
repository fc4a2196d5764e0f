"""What files an INPUT means: a file, a directory (recursive), a glob or a prefix, on disk or in a bucket."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.fs as pafs

from kie_ray.errors import Category, ConfigError, DocumentError, ErrorItem, Stage
from kie_ray.storage import s3
from kie_ray.storage.places import filesystem_for, local_path, local_uri, scheme_of
from kie_ray.storage.s3_client import S3Error
from kie_ray.storage.s3_listing import list_in_any_order

_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of an input. `uri`: absolute path or `scheme://bucket/key`; `size`: bytes; `mtime`: seconds, epoch.

    A local file whose name is no UTF-8 goes by its `file://` uri, percent-encoded: no table could hold its path.
    """

    uri: str
    size: int
    etag: str | None
    mtime: float | None


def list_files(inputs: Sequence[str], *, any_order: bool = False) -> Iterator[StoredFile]:
    """Files of all inputs, input by input, sorted within each; streamed (local: one directory in memory at a time).

    `any_order`: not sorted, which lists a large prefix on S3 by many requests at a time.

    An input is taken as a file if one has exactly this name (also with `*?[` in it), then as a directory, then as a
    glob (`*`, `?`, `[...]` in a name, `**` across directories; a directory that a glob without `**` matches is walked),
    then, in buckets, as a prefix. Hidden names (`.x`, `_x`) are left out below directories, never when named. Links to
    directories are followed. The same file in two inputs appears twice.

    Raises (while iterating):
        ConfigError: an input does not exist, matches nothing, may not be listed or has an unknown scheme.
        DocumentError: stage MANIFEST, UNAVAILABLE: the store does not answer.
    """
    for name in inputs:
        try:
            scheme = scheme_of(name)
        except ValueError as error:
            raise ConfigError(f"input {error}") from error
        try:
            if scheme == "s3":
                yield from _list_s3(name, list_in_any_order if any_order else s3.list_objects)
            elif scheme == "gs":
                yield from _list_gs(name)
            else:
                yield from _list_local(name)
        except PermissionError as error:
            raise ConfigError(f"input {name!r}: no permission to list {error.filename or 'it'}") from error
        except S3Error as error:
            if error.category == Category.UNAVAILABLE:
                message = f"input {name!r} cannot be listed: {error}"
                raise DocumentError(ErrorItem.of(Stage.MANIFEST, Category.UNAVAILABLE, message)) from error
            raise ConfigError(f"input {name!r} cannot be listed: {error}") from error


def _list_local(name: str) -> Iterator[StoredFile]:
    path = local_path(name)
    if path.is_file():
        yield _local_file(path)
    elif path.is_dir():
        yield from _walk(path, ())
    elif _WILDCARD.search(name):
        found = sorted(glob.iglob(str(path), recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
        if not found:
            raise ConfigError(f"input {name!r} matches no file")
        for match in map(Path, found):
            if match.is_file():
                yield _local_file(match)
            elif match.is_dir() and "**" not in name:
                yield from _walk(match, ())
    else:
        raise ConfigError(f"input {name!r} does not exist (looked for {path})")


def _local_file(path: Path) -> StoredFile:
    status = path.stat()
    return StoredFile(local_uri(path), status.st_size, None, status.st_mtime)


def _walk(directory: Path, above: tuple[tuple[int, int], ...]) -> Iterator[StoredFile]:
    status = directory.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return  # a link to a directory that contains it
    for entry in sorted(os.listdir(directory)):  # noqa: PTH208 (names alone: a directory may hold millions)
        if _hidden(entry):
            continue
        path = directory / entry
        if path.is_dir():
            yield from _walk(path, (*above, here))
        elif path.is_file():
            yield _local_file(path)


def _list_s3(name: str, list_objects: Callable[[str, str], Iterator[s3.S3Object]]) -> Iterator[StoredFile]:
    bucket, key = s3.split(name)
    if not bucket:
        raise ConfigError(f"input {name!r} names no bucket")
    exact = s3.head(bucket, key) if key and not key.endswith("/") else None
    if exact is not None:
        yield _s3_file(bucket, exact)
        return
    candidates: list[Iterator[s3.S3Object]] = []
    if not key or key.endswith("/"):
        candidates.append(_visible(list_objects(bucket, key), len(key)))
    else:
        candidates.append(_visible(list_objects(bucket, f"{key}/"), len(key) + 1))
        if wildcard := _WILDCARD.search(key):
            candidates.append(_matching(list_objects(bucket, key[: wildcard.start()]), key))
        else:  # the first name below was begun by the user: it is named, not hidden
            candidates.append(_visible(list_objects(bucket, key), len(key), begun=1))
    for candidate in candidates:
        empty = True
        for item in candidate:
            empty = False
            yield _s3_file(bucket, item)
        if not empty:
            return
    raise ConfigError(f"input {name!r} names no object, directory or prefix in the bucket")


def _matching(items: Iterator[s3.S3Object], pattern: str) -> Iterator[s3.S3Object]:
    expression = re.compile(glob_expression(pattern))
    for item in items:
        match = expression.fullmatch(item.key)
        if match and not any(map(_hidden, (match["below"] or "").split("/"))):
            yield item


def glob_expression(pattern: str) -> str:
    """Regular expression of a glob; group `below` is what is under a matched directory. `*` matches no leading `.`."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        at_start = position == 0 or pattern[position - 1] == "/"
        if pattern.startswith("**/", position) and at_start:
            parts.append(r"(?:(?!\.)[^/]+/)*")
            position += 3
            continue
        if pattern.startswith("**", position):
            parts.append(r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+" if at_start else r"[^/]*")
            position += 2
            continue
        character = pattern[position]
        guard = r"(?!\.)" if at_start else ""
        closing = pattern.find("]", position + 2)
        if character == "*":
            parts.append(f"{guard}[^/]*")
        elif character == "?":
            parts.append(f"{guard}[^/]")
        elif character == "[" and closing > 0:
            inside = pattern[position + 1 : closing].replace("\\", r"\\").replace("[", r"\[")
            inside = f"^/{inside[1:]}" if inside.startswith("!") else inside
            parts.append(f"{guard}[{inside}]")
            position = closing
        else:
            parts.append(re.escape(character))
        position += 1
    below = "(?P<below>)" if "**" in pattern else "(?:/(?P<below>.+))?"
    return "".join(parts) + below


def _visible(items: Iterator[s3.S3Object], base: int, begun: int = 0) -> Iterator[s3.S3Object]:
    """Without hidden names behind the first `base` characters; the first `begun` of these names are not looked at."""
    return (item for item in items if not any(map(_hidden, item.key[base:].split("/")[begun:])))


def _s3_file(bucket: str, item: s3.S3Object) -> StoredFile:
    return StoredFile(f"s3://{bucket}/{item.key}", item.size, item.etag or None, item.mtime)


def _list_gs(name: str) -> Iterator[StoredFile]:
    filesystem, path = filesystem_for(name)
    literal = path
    if wildcard := _WILDCARD.search(path):
        literal = path[: wildcard.start()].rpartition("/")[0]
    try:
        info = filesystem.get_file_info(path)
        if info.type == pafs.FileType.File:
            yield _gs_file(info)
            return
        if info.type == pafs.FileType.Directory:
            yield from _walk_gs(filesystem, path, None)
            return
        if literal == path:  # a prefix: everything in its directory that starts like it
            literal, expression = path.rpartition("/")[0], re.compile(re.escape(path) + "[^/]*/?(?P<below>.*)")
        else:
            expression = re.compile(glob_expression(path))
        found = False
        for file in _walk_gs(filesystem, literal, expression):
            found = True
            yield file
        if not found:
            raise ConfigError(f"input {name!r} names no object, directory or prefix in the bucket")
    except FileNotFoundError as error:
        raise ConfigError(f"input {name!r} does not exist: {error}") from error
    except PermissionError:
        raise
    except OSError as error:
        message = f"input {name!r} cannot be listed: {error}"
        raise DocumentError(ErrorItem.of(Stage.MANIFEST, Category.UNAVAILABLE, message)) from error


def _walk_gs(filesystem: pafs.FileSystem, directory: str, expression: re.Pattern[str] | None) -> Iterator[StoredFile]:
    for info in sorted(filesystem.get_file_info(pafs.FileSelector(directory)), key=lambda item: str(item.path)):
        if expression is None and _hidden(info.base_name):
            continue
        if info.type == pafs.FileType.Directory:
            yield from _walk_gs(filesystem, info.path, expression)
            continue
        match = expression.fullmatch(info.path) if expression else None
        if expression is None or (match and not any(map(_hidden, (match["below"] or "").split("/")))):
            yield _gs_file(info)


def _gs_file(info: pafs.FileInfo) -> StoredFile:
    mtime = info.mtime.timestamp() if info.mtime else None
    return StoredFile(f"gs://{info.path}", int(info.size or 0), None, mtime)


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))
