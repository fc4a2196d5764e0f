"""How the batch job grows with the cores that it may use: one core against two, over the same pages, in one run.

    python benchmarks/workers.py --images DIR [--pages N] [--cores N] [--runs N] [--json FILE] [--quick]

Every run is `jobs/batch_extract.py` with its defaults, held to its cores by the affinity that it starts with: it
makes an OCR actor a core, and Ray's own processes live on the same cores. N pages a core (40; `--quick`: 8), repeated
as files of their own, so that a run takes as long with more cores. Two rates a run: from the job's start to run.json,
and between the first finished page and the last, without what starting and ending cost. The last line is the
efficiency: the rate of all cores over that of one, a core.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.job_runs import spread_pages, steady_rate  # noqa: E402
from tests.job_support import command, environment, run_file  # noqa: E402


def run_on(cores: list[int], folder: Path, output: Path) -> dict[str, float]:
    """Pages/s of one run held to `cores`, whole and between its first and its last finished page."""
    done = subprocess.run(
        command(folder, "--output", output, "--set", "progress_seconds=1"),
        preexec_fn=partial(os.sched_setaffinity, 0, cores),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    report = run_file(output)
    return {
        "pages_per_second": report["pages"] / report["seconds"],
        "steady_pages_per_second": steady_rate(report),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--pages", type=int, default=40, help="a core")
    parser.add_argument("--cores", type=int, default=2, help="against one")
    parser.add_argument("--runs", type=int, default=3, help="of each; the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="8 pages a core, one run")
    options = parser.parse_args()
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < options.cores:
        parser.error(f"--cores {options.cores}: this process may use {len(usable)}")
    pages, runs = (8, 1) if options.quick else (options.pages, options.runs)
    medians: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        for cores in (1, options.cores):
            spread_pages(options.images, place / f"pages{cores}", pages * cores)
        rates: dict[int, list[dict[str, float]]] = {1: [], options.cores: []}
        for run in range(runs):  # in turn, so that the drift of a shared machine meets both
            for cores, found in rates.items():
                found.append(run_on(usable[:cores], place / f"pages{cores}", place / f"out{cores}_{run}"))
        for cores, found in rates.items():
            medians[cores] = {name: statistics.median(one[name] for one in found) for name in found[0]}
    one, all_ = medians[1], medians[options.cores]
    result = {
        "pages_a_core": pages,
        "runs": runs,
        "one_core": one,
        f"{options.cores}_cores": all_,
        "steady_efficiency": all_["steady_pages_per_second"] / one["steady_pages_per_second"] / options.cores,
        "efficiency": all_["pages_per_second"] / one["pages_per_second"] / options.cores,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in result.items():
        print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
