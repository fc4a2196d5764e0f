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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.job_support import command, environment, kill_group, make_bundle, make_pages, run_file  # noqa: E402


def peak_of_driver(arguments: list[str | Path], log: Path) -> tuple[int, float, int]:
    """Runs the job; exit status, seconds, and the driver's VmHWM in bytes."""
    started = time.monotonic()
    peak = 0
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(*arguments), env=environment(), stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            while process.poll() is None:
                peak = max(peak, high_water_mark(process.pid))
                time.sleep(0.05)
        finally:
            kill_group(process)
    return process.returncode, time.monotonic() - started, peak


def high_water_mark(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def measure(pages: int, folder: Path) -> dict[str, Any]:
    place = folder / str(pages)
    labels = make_pages(place, pages)
    bundle = make_bundle(place / "bundle")
    status, seconds, peak = peak_of_driver(
        [place / "image", "--output", place / "out", "--model", bundle, "--annotations", labels], place / "log.txt"
    )
    if status != 0:
        raise SystemExit(f"the job ended with status {status}:\n{(place / 'log.txt').read_text()}")
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
