"""One writer an output: a lock that the next run gets when its holder is gone, however that one ended."""

from __future__ import annotations

import _thread
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from kie_ray.errors import Category, ConfigError
from kie_ray.storage import leases
from kie_ray.storage.s3_client import S3Error
from pipelines.failures import IncompleteRun

logger = logging.getLogger(__name__)


@contextmanager
def local_lock(file: Path, uri: str) -> Iterator[None]:
    """An advisory lock of the kernel's, which releases that of a killed process by itself.

    Raises:
        ConfigError: another process holds it.
    """
    import fcntl

    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(_refusal(uri, "another run")) from None
        yield


@contextmanager
def s3_lock(bucket: str, key: str, uri: str) -> Iterator[None]:
    """A lease (`kie_ray.storage.leases`) that is renewed while the block runs.

    For the main thread: one that loses its lease to another run is interrupted.

    Raises:
        ConfigError: another run renews it; there is no such bucket, or no permission to write into it.
        IncompleteRun: the store does not answer, or this run was cut off for so long that another one took over.
    """
    lease = leases.Lease(
        bucket,
        key,
        renew_seconds=leases.RENEW_SECONDS,
        lease_seconds=leases.LEASE_SECONDS,
        on_lost=partial(_thread.interrupt_main, signal.SIGTERM),
        on_wait=lambda holder: _tell_waiting(uri, holder),
    )
    try:
        lease.acquire()
    except leases.LeaseHeld as held:
        raise ConfigError(_refusal(uri, f"another run ({held})")) from None
    except S3Error as error:
        if error.category == Category.UNAVAILABLE:
            raise IncompleteRun(f"--output {uri}: {error}") from error
        raise ConfigError(f"--output {uri}: {error}") from error
    if not lease.conditional:
        logger.warning("%s: this store has no conditional writes; two runs that start together are not told apart", uri)
    try:
        with _interruptible():
            yield
    except (KeyboardInterrupt, SystemExit):
        if not lease.lost:
            raise
    finally:
        lease.release()
    if lease.lost:
        raise IncompleteRun(f"{uri}: another run took over while this one was cut off from the store; this one ends")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have SIGTERM end the block with an exception. SIGINT would not do: a shell's background jobs ignore it."""
    earlier = signal.getsignal(signal.SIGTERM)
    if callable(earlier) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _refusal(uri: str, who: str) -> str:
    return f"{who} is writing to {uri}; wait for it or choose another --output"


def _tell_waiting(uri: str, holder: str) -> None:
    print(f"{uri} is locked by {holder}; looking whether that run still lives", file=sys.stderr, flush=True)
