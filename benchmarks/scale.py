"""What grows with the number of documents: driver memory, seconds, files. Tiny pages with `--ocr annotations`.

    python benchmarks/scale.py [--documents N] [--kill-at SHARE] [--json FILE] [--quick]

Runs the batch job over N tiny pages (100 000; `--quick`: 2 000), each a file of its own (beyond 20 000 under more
names for the same bytes), with a model of a few thousand weights: what is left is the pipeline. Reads the driver's
resident memory while it runs and fits a line through its second half, where everything has been loaded: bytes a
document. With `--kill-at 0.9` the job is killed with SIGKILL when nine tenths of the rows are committed and started
again: how long each start takes until its first commit says what the finished rows cost. Then it runs the same command
again, which has to notice that all is done. The last line is the driver's growth over the second half as a ratio.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.memory import watched  # noqa: E402
from tests.job_support import make_bundle, make_pages, run_file  # noqa: E402

_DISTINCT = 20_000
_TABLES = ("documents", "fields", "entities", "errors")


def spread_out(place: Path, count: int) -> Path:
    """`count` pages below `place`/image and the label file, which names pages by their last name alone."""
    labels = make_pages(place, min(count, _DISTINCT))
    pages = sorted((place / "image").iterdir())
    for start in range(_DISTINCT, count, _DISTINCT):
        folder = place / "image" / f"again_{start // _DISTINCT:04d}"
        folder.mkdir()
        for page in pages[: count - start]:
            (folder / page.name).hardlink_to(page)
    return labels


def files_of(output: Path) -> dict[str, dict[str, float]]:
    """Number and mean size (MiB) of the files of every table."""
    found = {}
    for name in _TABLES:
        sizes = [item.stat().st_size for item in (output / name).glob("*.parquet")]
        found[name] = {"files": len(sizes), "mean_mib": round(sum(sizes) / max(1, len(sizes)) / 2**20, 3)}
    return found


class Commits:
    """The committed files of a run, and the rows in them."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._rows: dict[Path, int] = {}

    def rows(self) -> int:
        for path in self._output.glob(".kie_ray/checkpoint-*/*.parquet"):
            if path not in self._rows and not path.name.endswith(".pending.parquet"):
                self._rows[path] = pq.read_metadata(path).num_rows
        return sum(self._rows.values())

    def first_after(self, moment: float) -> float:
        """Seconds from `moment` (of `time.time`) to the first commit after it."""
        self.rows()
        return min(at for path in self._rows if (at := path.stat().st_mtime - moment) > 0)


def growth(seconds: float, samples: list[tuple[float, int]], documents: int) -> dict[str, float]:
    """Rate of one start of the job, and what its driver's memory did: `driver_growth` from its middle to its end."""
    half = [(at, size) for at, size in samples if at > seconds / 2]
    slope = float(np.polyfit(*np.array(half).T, 1)[0])  # bytes a second
    rate = documents / seconds
    return {
        "documents": documents,
        "seconds": round(seconds, 1),
        "documents_per_second": round(rate, 1),
        "driver_peak_mib": round(max(size for _, size in samples) / 2**20, 1),
        "driver_mib_per_million_documents": round(slope / rate * 1e6 / 2**20, 1),
        "driver_growth": round(half[-1][1] / half[0][1], 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--kill-at", type=float, metavar="SHARE", help="kill the job there and go on")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="2 000 documents")
    options = parser.parse_args()
    count = 2_000 if options.quick else options.documents
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        labels, bundle, output = spread_out(place, count), make_bundle(place / "bundle"), place / "out"
        arguments = [place / "image", "--output", output, "--model", bundle, "--annotations", labels]
        commits, result = Commits(output), dict[str, Any]()
        if options.kill_at is not None:
            wanted, started = options.kill_at * count, time.time()
            seconds, samples = watched(
                arguments, place / "killed.txt", "VmRSS", 0.5, kill_when=lambda: commits.rows() >= wanted
            )
            result["killed"] = {
                "first_commit_seconds": round(commits.first_after(started), 1),
                **growth(seconds, samples, commits.rows()),
            }
        started = time.time()
        seconds, samples = watched(arguments, place / "log.txt", "VmRSS", 0.5)
        report, files = run_file(output), files_of(output)
        again, _ = watched(arguments, place / "again.txt", "VmRSS", 0.5)
        result |= {
            "resumed_rows": report["resumed_rows"],
            "first_commit_seconds": round(commits.first_after(started), 1),
            **growth(seconds, samples, report["documents"] - report["resumed_rows"]),
            "busy_seconds": {name: stage["busy_seconds"] for name, stage in report["stages"].items()},
            "second_start_seconds": round(again, 1),
            "files": files,
        }
    # of the start that has done most of the work
    result["ratio"] = result.get("killed", result)["driver_growth"]
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in result.items():
        if name != "ratio":
            print(f"{name.replace('_', ' ')}: {value}")
    print(f"driver memory, end of the run to its middle: {result['ratio']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
