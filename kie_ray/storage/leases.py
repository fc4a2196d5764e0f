"""A lock on an object store that survives a crash: an object that its holder renews, taken over once it stands still.

Built on conditional writes (`If-None-Match`, `If-Match`): the store decides which of two writers comes first. No clock
is compared: whoever waits watches the object for a whole lease by its own monotonic clock.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kie_ray.storage import s3
from kie_ray.storage.s3_client import S3Error

RENEW_SECONDS = 10.0
"""Between two renewals of a lease that is held."""
LEASE_SECONDS = 40.0
"""A lease that nobody has renewed for so long has lost its holder."""

_RELEASED = "released"
_MAX_BYTES = 65536


class LeaseHeld(Exception):
    """Somebody else holds the lease; the text says who."""


class Lease:
    """Exclusive use of one name on S3, for one process. `acquire`, work while `lost` is False, `release`.

    A holder that stops without `release` (SIGKILL, a lost machine) is taken over: at once where it ran on this machine
    and its process is gone, else after `lease_seconds` without a renewal. A holder that was cut off for longer than
    that and finds its lease taken calls `on_lost`, once, from the renewing thread, and writes no more of it.

    Where a store knows no conditional writes the object is written without them, and two runs that start in the same
    moment can both come through; `conditional` is False then.
    """

    def __init__(
        self,
        bucket: str,
        key: str,
        *,
        renew_seconds: float,
        lease_seconds: float,
        on_lost: Callable[[], None] | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self._bucket, self._key = bucket, key
        self._renew_seconds, self._lease_seconds = renew_seconds, lease_seconds
        self._on_lost, self._on_wait = on_lost, on_wait
        self._owner = {"id": uuid.uuid4().hex, "host": platform.node(), **_this_process()}
        self._etag: str | None = None
        self._renewals = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = False
        self.conditional = True

    def acquire(self) -> None:
        """Take the lease and keep it renewed from a thread.

        Raises:
            LeaseHeld: somebody else renews it. Known after `renew_seconds` or so.
            S3Error: NOT_FOUND (no such bucket), FORBIDDEN, UNAVAILABLE.
        """
        watched: s3.Versioned | None = None
        since = time.monotonic()
        while True:
            found = s3.read_versioned(self._bucket, self._key, _MAX_BYTES)
            holder = _holder(found)
            if found is None or holder is None or _is_dead(holder):
                free = True
            elif watched is not None and watched.etag != found.etag:
                raise LeaseHeld(_named(holder))
            else:
                free = watched is not None and time.monotonic() - since >= self._lease_seconds
            if free and self._write(found.etag if found else None):
                break
            if watched is None and not free:
                watched, since = found, time.monotonic()
                if self._on_wait is not None and holder is not None:
                    self._on_wait(_named(holder))
            time.sleep(min(1.0, self._renew_seconds / 5))
        self._stop.clear()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lease back, so that the next one need not wait. A store that does not answer is no error here."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not self.lost:
            try:
                self._write(self._etag, _RELEASED)
            except S3Error:
                return

    def _renew(self) -> None:
        while not self._stop.wait(self._renew_seconds):
            try:
                held = self._write(self._etag)
            except S3Error:  # whether it is still ours shows when the store answers again
                continue
            if not held:
                self.lost = True
                if self._on_lost is not None:
                    self._on_lost()
                return

    def _write(self, etag: str | None, state: str = "held") -> bool:
        """Replace the version `etag` of the object (None: there is none). False where another writer came first."""
        self._renewals += 1
        body = json.dumps({"state": state, "owner": self._owner, "renewals": self._renewals}).encode()
        try:
            self._etag = s3.write_version(self._bucket, self._key, body, etag, conditional=self.conditional)
            return True
        except s3.ConditionsUnknown:
            self.conditional = False
            return self._write(etag, state)
        except s3.VersionChanged:
            # a write whose answer was lost, in this call or an earlier one, is in the way of the next
            found = s3.read_versioned(self._bucket, self._key, _MAX_BYTES)
            if found is None or _owner_id(found) != self._owner["id"]:
                return False
            self._etag = found.etag
            return found.data == body or self._write(found.etag, state)


def _owner_id(found: s3.Versioned) -> str | None:
    return (_holder(found) or {}).get("id")


def _holder(found: s3.Versioned | None) -> dict[str, Any] | None:
    """Who holds the lease; None where it is free. What is no lease of ours counts as held, and is watched like one."""
    if found is None:
        return None
    try:
        content = json.loads(found.data)
        state, owner = content["state"], content["owner"]
    except (ValueError, KeyError, TypeError):
        return {}
    if state == _RELEASED:
        return None
    return owner if isinstance(owner, dict) else {}


def _this_process() -> dict[str, Any]:
    """What tells this process from every other one on this machine, in other containers and after a reboot too."""
    return {"pid": os.getpid(), "started": _start_time(os.getpid()), "machine": _machine()}


def _is_dead(holder: dict[str, Any]) -> bool:
    """True only where the holder ran on this machine, in this space of process ids, and is gone."""
    machine = _machine()
    if machine is None or holder.get("machine") != machine or not isinstance(holder.get("pid"), int):
        return False
    return _start_time(holder["pid"]) != holder.get("started")


def _machine() -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _start_time(pid: int) -> str | None:
    """Start of the process in clock ticks since boot; None where there is none, or only a dead one not yet reaped."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in ("Z", "X") else after_name[19]


def _named(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"
