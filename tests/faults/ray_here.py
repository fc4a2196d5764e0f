"""The batch job in this process on one Ray that several tests share: a third of the time of a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray

from jobs.batch_extract import main
from tests.job_support import table

SMALL_STEPS = (
    *("--set", "splitting.rows_per_block=3", "--set", "splitting.rows_per_file=6"),
    *("--set", "pools.ocr.size=1", "--set", "pools.ser.size=1"),
)


@dataclass(frozen=True)
class Ended:
    """What a process would have left."""

    returncode: int
    stdout: str
    stderr: str


@contextlib.contextmanager
def ray_here(variables: dict[str, str], *, object_store_memory: int = 2**28) -> Iterator[None]:
    """Ray in this process with `variables` in the environment of all its workers."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0", **variables}.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init(
            address="local",
            num_cpus=4,
            object_store_memory=object_store_memory,
            include_dashboard=False,
            log_to_driver=False,
        )
        try:
            yield
        finally:
            ray.shutdown()


def run_here(*arguments: str | Path) -> Ended:
    """`jobs/batch_extract.py` with these arguments."""
    out, errors = io.StringIO(), io.StringIO()
    earlier = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = main([str(argument) for argument in arguments])
    finally:
        signal.signal(signal.SIGTERM, earlier)
    return Ended(status, out.getvalue(), errors.getvalue())


def wait_for(condition: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def results(output: Path, *, without: str = "") -> list[str]:
    """Every row of documents/ as text, sorted, without what two runs over other inputs may differ in.

    Rows of documents whose name starts with `without` are left out.
    """
    rows = []
    for row in table(output, "documents").to_pylist():
        name = row["uri"].rpartition("/")[2]
        if without and name.startswith(without):
            continue
        row["provenance"].pop("fingerprint", None)
        row.pop("timings")
        rows.append(json.dumps(row, sort_keys=True, ensure_ascii=False))
    return sorted(rows)
