"""Reading and writing whole files, the same verbs for every store."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow.fs as pafs

from kie_ray.errors import Category, DocumentError, ErrorItem, Stage
from kie_ray.storage import s3
from kie_ray.storage.patience import retried
from kie_ray.storage.places import filesystem_for, local_path, scheme_of
from kie_ray.storage.s3_client import S3Error

_CHUNK_BYTES = 2**20
_FORBIDDEN_WORDS = ("permission", "access_denied", "accessdenied", "unauthenticated", "unauthorized", "403", "401")


def read_bytes(uri: str, max_bytes: int) -> bytes:
    """The whole file; never holds more than `max_bytes` (plus one piece of 1 MiB).

    Raises:
        DocumentError: stage FETCH; NOT_FOUND, FORBIDDEN, TOO_LARGE, UNSUPPORTED (a directory, a device), or UNAVAILABLE
            (network, 5xx, time-outs, I/O errors: worth another try).
    """
    try:
        scheme = scheme_of(uri)
    except ValueError as error:
        raise _fetch_error(Category.UNSUPPORTED, str(error)) from error
    if scheme == "s3":
        try:
            return s3.read_object(*s3.split(uri), max_bytes)
        except S3Error as error:
            raise _fetch_error(error.category, f"{uri}: {error}") from error
    try:
        with _open_local(uri) if scheme == "file" else _open_gs(uri) as file:
            size = file.seek(0, os.SEEK_END)
            if size > max_bytes:
                raise _fetch_error(Category.TOO_LARGE, f"{uri}: {_over(size, max_bytes)}")
            file.seek(0)
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise _fetch_error(_category(error), f"{uri}: {_reason(error)}") from error
    if len(data) > max_bytes:  # it grew while it was read
        raise _fetch_error(Category.TOO_LARGE, f"{uri}: {_over(len(data), max_bytes)}")
    return data


def join(uri: str, name: str) -> str:
    """`name` below the directory `uri` (as it stands, without normalising)."""
    return f"{uri.rstrip('/')}/{name}"


def exists(uri: str) -> bool:
    """Whether a file, or a directory (S3: any key below it), has this name."""
    filesystem, path = filesystem_for(uri)
    return bool(filesystem.get_file_info(path).type != pafs.FileType.NotFound)


def delete_tree(uri: str) -> None:
    """Delete a directory with everything in it; a missing one is fine.

    Raises:
        ValueError: `uri` is the root of a file system or a whole bucket.
    """
    filesystem, path = filesystem_for(uri)
    if path in ("", "/") or (scheme_of(uri) != "file" and "/" not in path):
        raise ValueError(f"{uri!r} is a whole bucket or file system; it is not deleted")
    kind = filesystem.get_file_info(path).type
    if kind == pafs.FileType.Directory:
        filesystem.delete_dir(path)
    elif kind != pafs.FileType.NotFound:
        raise ValueError(f"{uri!r} is a file, not a directory")


@contextlib.contextmanager
def open_output(uri: str) -> Iterator[IO[bytes]]:
    """A binary stream that becomes the file `uri` when the block ends; after an exception nothing of it is seen.

    Parent directories are made. Locally the file is written beside its place and renamed. For an object store it is
    spooled to a local file first: Arrow finishes an upload whose stream is dropped, with whatever it has got.
    """
    filesystem, path = filesystem_for(uri)
    if scheme_of(uri) != "file":
        with tempfile.TemporaryFile() as spool:
            yield spool
            spool.seek(0)
            with filesystem.open_output_stream(path) as upload:
                shutil.copyfileobj(spool, upload, _CHUNK_BYTES)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name[:40]}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # noqa: PTH101 (mkstemp makes files that only their owner reads)
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


def write_text(uri: str, text: str) -> None:
    """Write UTF-8 text; a reader sees the old content or the new one, never half of it."""
    with open_output(uri) as stream:
        stream.write(text.encode("utf-8"))


@retried
def read_text(uri: str) -> str:
    """UTF-8 text of a whole file.

    Raises:
        FileNotFoundError, OSError: as the file system says.
    """
    filesystem, path = filesystem_for(uri)
    with filesystem.open_input_stream(path) as stream:
        content: bytes = stream.read()
    return content.decode("utf-8")


def _open_local(uri: str) -> IO[bytes]:
    """Not through Arrow, which takes no path that is not UTF-8."""
    path = local_path(uri)
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):  # opening a named pipe would wait for ever
        kind = "a directory" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise _fetch_error(Category.UNSUPPORTED, f"{uri}: it is {kind}, not a file")
    return path.open("rb")


def _open_gs(uri: str) -> IO[bytes]:
    filesystem, path = filesystem_for(uri)
    file: IO[bytes] = filesystem.open_input_file(path)
    return file


def _category(error: Exception) -> Category:
    if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError):
        return Category.NOT_FOUND
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return Category.NOT_FOUND
    if isinstance(error, PermissionError) or any(word in str(error).lower() for word in _FORBIDDEN_WORDS):
        return Category.FORBIDDEN
    return Category.UNAVAILABLE


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}"


def _over(size: int, max_bytes: int) -> str:
    return f"{size} bytes are over the limit of max_bytes = {max_bytes}"


def _fetch_error(category: Category, message: str) -> DocumentError:
    return DocumentError(ErrorItem.of(Stage.FETCH, category, message))
