"""Ray's own talk kept off the terminal, so that what a person sees is the job's."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator

_RAY_CORE_LINE = re.compile(rb"^(\x1b\[[0-9;]*m)*(\[[^\]]*\] \S+\.cc:\d+:|\((raylet|autoscaler|gcs_server|pid=)|$)")


def quiet_ray() -> None:
    """Silence progress bars, notices and statistics; call before Ray starts. Exceptions still reach the caller."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    # Ray's workers run at niceness 15 by default: anything else on the machine would all but stop them.
    os.environ.setdefault("RAY_worker_niceness", "5")
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"ray\..*")
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=r".*(ray_remote_args|concurrency).*")
    warnings.filterwarnings("ignore", category=FutureWarning, message=r".*ACCEL.*")


@contextlib.contextmanager
def without_ray_core_lines() -> Iterator[None]:
    """Drop the lines that Ray's C++ core writes to file descriptor 2; everything else passes at once.

    The core has no setting for it that is not itself announced on stderr. Python's `sys.stderr` is given the real
    descriptor meanwhile, so that a bar that redraws its line stays a bar.
    """
    sys.stderr.flush()
    real = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    python_stderr = sys.stderr
    sys.stderr = io.TextIOWrapper(os.fdopen(os.dup(real), "wb", 0), encoding="utf-8", write_through=True)
    thread = threading.Thread(target=_filter, args=(reading, real), name="stderr", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.close()
        sys.stderr = python_stderr
        os.dup2(real, 2)  # the last writer of the pipe in this process; Ray's children hold copies of it until they end
        thread.join(1.0)


def _filter(reading: int, real: int) -> None:
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            if not _RAY_CORE_LINE.match(line):
                os.write(real, line)
