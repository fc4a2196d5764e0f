"""The parent's side of the decoder process: starts it, talks to it, kills it, says why it died.

A fresh interpreter and not a fork: the caller may hold torch, ray and their threads. Documents and pixels pass through
two anonymous files that both processes keep open: nothing is pickled, no descriptor is opened per document or page.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kie_ray.errors import Category, DocumentError, ErrorItem, Stage
from kie_ray.limits import Limits
from kie_ray.reading.wire import TEST_DECODER_VARIABLE, ChildSettings

_START_SECONDS = 60.0
_GRACE_SECONDS = 1.0  # the child's own alarm goes first; this is for a child that cannot even be scheduled
_KEEP_BYTES = 64 * 2**20
_PASSED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "TZ", TEST_DECODER_VARIABLE)
# A fresh page of memory costs the kernel more than decoding into it (14 ms instead of 31 for a JPEG of 8.7 megapixels),
# so glibc's malloc keeps what a page of usual size has used. 32 MiB is the largest threshold that it takes.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(_KEEP_BYTES)}
_MEMORY_SIGNALS = frozenset(
    {signal.SIGKILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS}
)
_LIBRARY = Path(__file__).resolve().parents[1]
# The packages are declared by hand because importing `kie_ray` itself loads torch, which takes seconds.
_BOOTSTRAP = """
import sys, types
sys.path[:] = {path!r}
for name, folder in {packages!r}:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from kie_ray.reading.child import main
main({settings!r})
"""


class DecoderDied(Exception):
    """The decoder process was killed or ended; `category` is TIMEOUT or CRASH. The next request starts a fresh one."""

    def __init__(self, category: Category, message: str) -> None:
        super().__init__(message)
        self.category = category
        self.message = message


class Guard:
    """One decoder process, started at the first request and again after each death. For one thread."""

    def __init__(self, limits: Limits, pdf_dpi: int) -> None:
        self._limits = limits
        self._pdf_dpi = pdf_dpi
        self._child: _Child | None = None
        self._deadline: float | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running decoder, None when there is none."""
        return None if self._child is None else self._child.process.pid

    def open(self, data: bytes) -> int:
        """Hand over a document; gives its number of pages.

        Raises:
            DecoderDied: it hung or crashed.
            DocumentError: it cannot be opened (or the decoder process cannot be started: INTERNAL).
        """
        child = self._ready_child()
        _write_all(child.input_fd, data)
        self._send({"open": len(data)})
        try:
            return int(self._receive()["pages"])
        finally:
            if self._child is not None:
                os.ftruncate(self._child.input_fd, 0)

    def request_page(self, index: int) -> None:
        """Begin to decode a page; at most one request may be under way."""
        self._send({"page": index})

    def receive_page(self) -> NDArray[np.uint8]:
        """The page last requested: uint8 [height, width, 3], RGB, owned by the caller.

        Raises:
            DecoderDied: it hung or crashed.
            DocumentError: the page is damaged or over a limit.
        """
        reply = self._receive()
        assert self._child is not None
        height, width = int(reply["height"]), int(reply["width"])
        if height * width * 3 > os.fstat(self._child.output_fd).st_size:
            message = "the decoder wrote fewer pixels than it announced"
            raise DocumentError(ErrorItem.of(Stage.READ, Category.CRASH, message))
        pixels = np.empty((height, width, 3), np.uint8)
        _read_all(self._child.output_fd, pixels.data.cast("B"))
        # the file is reused to save page faults, but one huge page must not pin its memory
        if pixels.nbytes > _KEEP_BYTES:
            os.ftruncate(self._child.output_fd, 0)
        return pixels

    def release(self) -> None:
        """Let the child free the document. Never raises: the next request notices a death."""
        with contextlib.suppress(DecoderDied, DocumentError):
            self._settle()
            if self._child is not None:
                self._send({"close": True})
                self._receive()

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.stop()
        self._child = None
        self._deadline = None

    def _ready_child(self) -> _Child:
        with contextlib.suppress(DecoderDied, DocumentError):
            self._settle()
        if self._child is not None and not self._child.usable():
            self.close()
        if self._child is None:
            self._child = _Child(self._limits, self._pdf_dpi)
            try:
                self._deadline = time.monotonic() + _START_SECONDS
                self._receive()
            except DecoderDied as death:
                message = f"the decoder process did not start: {death.message}"
                raise DocumentError(ErrorItem.of(Stage.READ, Category.INTERNAL, message)) from death
        return self._child

    def _settle(self) -> None:
        """Take the answer to a request that nobody waited for."""
        if self._deadline is not None:
            self._deadline = min(self._deadline, time.monotonic() + _GRACE_SECONDS)
            self._receive()

    def _send(self, request: dict[str, Any]) -> None:
        assert self._child is not None
        assert self._deadline is None
        self._deadline = time.monotonic() + self._limits.max_seconds + _GRACE_SECONDS
        with contextlib.suppress(OSError):  # a dead child is noticed, with its reason, when the answer is taken
            self._child.socket.sendall(json.dumps(request).encode() + b"\n")

    def _receive(self) -> dict[str, Any]:
        child, deadline = self._child, self._deadline
        assert child is not None
        assert deadline is not None
        self._deadline = None
        line = child.read_line(deadline)
        if line is None:
            self._child = None
            raise self._death(child)
        reply: dict[str, Any] = json.loads(line)
        if "category" in reply:
            raise DocumentError(ErrorItem.of(Stage.READ, Category(reply["category"]), str(reply["message"])))
        return reply

    def _death(self, child: _Child) -> DecoderDied:
        hung = child.process.poll() is None and not child.hung_up
        status = child.stop()
        if hung or status == -signal.SIGALRM:
            seconds = self._limits.max_seconds
            return DecoderDied(Category.TIMEOUT, f"decoding took longer than the limit of max_seconds = {seconds:g}")
        if status < 0:
            reason = f"the decoder was killed by {signal.Signals(-status).name}"
            if -status in _MEMORY_SIGNALS:
                limit = self._limits.max_memory_bytes
                reason += f" (a defect of the decoder, or more memory than max_memory_bytes = {limit})"
        else:
            reason = f"the decoder ended with status {status}"
        last = child.last_words
        return DecoderDied(Category.CRASH, f"{reason}: {last}" if last else reason)


class _Child:
    """Process, socket and anonymous files of one decoder; stopped at the latest when garbage collected."""

    def __init__(self, limits: Limits, pdf_dpi: int) -> None:
        self.owner = os.getpid()
        self.hung_up = False
        self.last_words = ""
        self.input_fd, self.output_fd, self.errors_fd = (
            os.memfd_create(f"kie_ray_{name}") for name in ("in", "out", "err")
        )
        self.socket, theirs = socket.socketpair()
        settings = ChildSettings(
            socket_fd=theirs.fileno(),
            input_fd=self.input_fd,
            output_fd=self.output_fd,
            max_pixels=limits.max_pixels,
            max_seconds=limits.max_seconds,
            max_memory_bytes=limits.max_memory_bytes,
            pdf_dpi=pdf_dpi,
        )
        packages = [("kie_ray", str(_LIBRARY)), ("kie_ray.reading", str(_LIBRARY / "reading"))]
        program = _BOOTSTRAP.format(
            path=[entry for entry in sys.path if entry], packages=packages, settings=json.dumps(asdict(settings))
        )
        variables = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.errors_fd,
                pass_fds=(theirs.fileno(), self.input_fd, self.output_fd),
                # no credentials for a process that parses untrusted bytes
                env={**variables, **_MALLOC, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        self._finalizer = weakref.finalize(
            self, _stop, self.owner, self.process, self.socket, (self.input_fd, self.output_fd, self.errors_fd)
        )

    def usable(self) -> bool:
        """Whether it lives and is ours: a fork of the parent must not talk to its parent's child."""
        return self.owner == os.getpid() and self.process.poll() is None

    def read_line(self, deadline: float) -> bytes | None:
        """The next answer; None when the process hung up (`hung_up`) or the deadline passed without one."""
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        line = b""
        while not line.endswith(b"\n"):
            wait = max(0.0, deadline - time.monotonic())
            if not poller.poll(wait * 1000):
                return None
            try:
                piece = self.socket.recv(65536)
            except OSError:
                piece = b""
            if not piece:
                self.hung_up = True
                return None
            line += piece
        return line

    def stop(self) -> int:
        """Kill it, free everything; gives its exit status (negative: a signal)."""
        if self.hung_up:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_GRACE_SECONDS)  # it is dying by itself: its own status says why
        if self._finalizer.alive:
            size = os.fstat(self.errors_fd).st_size
            tail = os.pread(self.errors_fd, 2000, max(0, size - 2000)).decode("utf-8", "replace").strip()
            self.last_words = tail.splitlines()[-1].strip() if tail else ""
        self._finalizer()
        return int(self.process.returncode or 0)


def _stop(owner: int, process: subprocess.Popen[bytes], ours: socket.socket, descriptors: Sequence[int]) -> None:
    ours.close()
    for descriptor in descriptors:
        os.close(descriptor)
    if owner == os.getpid():
        process.kill()
        process.wait()


def _write_all(descriptor: int, data: bytes) -> None:
    remaining, position = memoryview(data), 0
    while remaining:
        written = os.pwrite(descriptor, remaining, position)
        remaining, position = remaining[written:], position + written


def _read_all(descriptor: int, target: memoryview) -> None:
    position = 0
    while position < len(target):
        position += os.preadv(descriptor, [target[position:]], position)
