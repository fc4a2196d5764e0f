"""A run that cannot go on: one line for the person who started it, never a traceback of the storage below."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SHOWN = 400


class IncompleteRun(RuntimeError):
    """The run ended before it had every row of the manifest exactly once, and all its tables; run.json is missing."""


@contextmanager
def storage_failures_told(uri: str) -> Iterator[None]:
    """Turn a failure of the storage, in this process or in a worker of Ray, into one line.

    What is written stays: a file counts only once it is committed, so that the next start goes on from there.

    Raises:
        IncompleteRun: in place of an OSError (full disk, network, permission), whoever has wrapped it.
    """
    try:
        yield
    except Exception as error:
        failure = _os_error(error)
        if failure is None:
            raise
        raise IncompleteRun(f"{uri}: {_reason(failure)}; then the same command continues the run") from error


def _os_error(error: BaseException | None) -> OSError | None:
    """The OSError that `error` is, or that Ray has wrapped: what a worker raised is its `cause`."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and not isinstance(getattr(error, "cause", None), BaseException):
            return error
        if not type(error).__module__.startswith("ray."):
            return None  # an error of ours says what it has to say
        seen.add(id(error))
        inner = getattr(error, "cause", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__
    return None


def _reason(error: OSError) -> str:
    text = " ".join(str(error).split())[:_SHOWN]
    if error.errno in _NO_SPACE or "No space left on device" in text:
        return f"no space left on the device ({text}); make room"
    if isinstance(error, PermissionError):
        return f"{text}; allow it"
    return f"{type(error).__name__}: {text}; see to the storage"
