"""Peak memory of the driver against the number of documents: it must not grow with it.

    python benchmarks/memory.py [--json FILE] [--quick]

Runs the batch job over tiny pages with `--ocr annotations`, 200 of them and 20 000 (`--quick`: 2 000), and reads the
driver's peak resident memory (VmHWM) from /proc while it runs. The last line is the ratio of the two peaks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.job_support import command, environment, kill_group, make_bundle, make_pages, run_file  # noqa: E402


def watched(
    arguments: list[str | Path], log: Path, name: str, every: float, kill_when: Callable[[], bool] | None = None
) -> tuple[float, list[tuple[float, int]]]:
    """Run the batch job to its end, or until `kill_when` says so, and look at its driver every `every` seconds.

    Returns seconds, and (seconds since the start, bytes that the driver's /proc/PID/status gives for `name`).
    """
    started = time.monotonic()
    samples: list[tuple[float, int]] = []
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(*arguments), env=environment(), stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            while process.poll() is None:
                if (size := _status_bytes(process.pid, name)) is not None:
                    samples.append((time.monotonic() - started, size))
                if kill_when is not None and kill_when():
                    return time.monotonic() - started, samples
                time.sleep(every)
        finally:
            kill_group(process)
    if process.returncode != 0:
        raise SystemExit(f"the job ended with status {process.returncode}:\n{log.read_text()[-4000:]}")
    return time.monotonic() - started, samples


def _status_bytes(pid: int, name: str) -> int | None:
    """None when the process has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def measure(pages: int, folder: Path) -> dict[str, Any]:
    place = folder / str(pages)
    labels = make_pages(place, pages)
    bundle = make_bundle(place / "bundle")
    arguments: list[str | Path] = [place / "image", "--output", place / "out", "--model", bundle]
    arguments += ["--annotations", labels]
    seconds, samples = watched(arguments, place / "log.txt", "VmHWM", 0.05)
    peak = max(size for _, size in samples)
    documents = run_file(place / "out")["documents"]
    return {"documents": documents, "seconds": round(seconds, 1), "driver_peak_bytes": peak}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="200 against 2 000 pages")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [measure(pages, Path(folder)) for pages in (200, 2_000 if options.quick else 20_000)]
    for run in runs:
        mebibytes = run["driver_peak_bytes"] / 2**20
        print(f"{run['documents']:6d} documents: {run['seconds']} s, driver peak {mebibytes:.0f} MiB")
    ratio = runs[1]["driver_peak_bytes"] / runs[0]["driver_peak_bytes"]
    if options.json:
        options.json.write_text(json.dumps({"runs": runs, "ratio": ratio}, indent=2) + "\n")
    print(f"ratio of driver peaks: {ratio:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
