"""Another try for what failed in passing, where Arrow's own tries end too early.

Arrow's S3 client does not try again where an error answer does not fit into the buffer of a small read: "Failed to
flush response stream" (pyarrow 26). Copies of its file system in other processes make do with three tries at all.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_TRIES = 6
_FIRST_WAIT_SECONDS = 0.2
_GIVEN_UP = "kie_ray_given_up"
_PASSING = (
    "INTERNAL_FAILURE",
    "NETWORK_CONNECTION",
    "REQUEST_TIMEOUT",
    "SERVICE_UNAVAILABLE",
    "SLOW_DOWN",
    "THROTTLING",
    "(HTTP status 5",
)


def is_passing(error: BaseException) -> bool:
    """Whether this is an error of Arrow's S3 client that another try may not meet: network, throttling, 5xx."""
    text = str(error)
    return isinstance(error, OSError) and "AWS Error" in text and any(word in text for word in _PASSING)


class Patience:
    """The tries of one piece of work: six, with waits of 0.2, 0.4, ... seconds between them."""

    def __init__(self) -> None:
        self._failed = 0

    def after(self, error: OSError) -> None:
        """Wait before the next try.

        Raises:
            OSError: `error`, where it will not pass, was the last try's, or has ended another patience already.
        """
        self._failed += 1
        if self._failed >= _TRIES or not is_passing(error) or hasattr(error, _GIVEN_UP):
            setattr(error, _GIVEN_UP, True)  # so that a piece of work within another one is not tried 36 times
            raise error
        time.sleep(_FIRST_WAIT_SECONDS * 2 ** (self._failed - 1))


def retried(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which may be called again after any failure of it, with `Patience`."""

    @functools.wraps(function)
    def patient(*args: P.args, **kwargs: P.kwargs) -> R:
        patience = Patience()
        while True:
            try:
                return function(*args, **kwargs)
            except OSError as error:
                patience.after(error)

    return patient
