"""What the batch job takes beyond the models: its run against bare computation over the same pages, in one run.

    python benchmarks/overhead.py --images DIR [--pages N] [--model BUNDLE] [--json FILE] [--quick]

Bare computation: OCR engine and models as the job has them, in one process a core, pages dealt out evenly, nothing
counted but the calls of engine and models. The seconds in run.json cannot tell it: three busy processes on two cores
each see the others' time as their own. The job: `jobs/batch_extract.py` with its defaults, from its start to run.json,
and between its first and its last finished page. Pages are repeated (as files of their own) until there are `--pages`
of them (100; `--quick`: 12). The last line is the share of the run beyond bare computation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.job_runs import run_job, spread_pages, steady_rate  # noqa: E402

_BARE = """
import json, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
import torch
torch.set_num_threads(1)
from kie_ray.ocr import build_engine
from kie_ray.reading import Reader
from kie_ray.records import Page
from pipelines.config import ExtractConfig
from pipelines.kie_stage import load_annotator
config = ExtractConfig()
engine = build_engine(config.ocr.model_copy(update={{"threads": 1, "device": "cpu"}}))
annotator = load_annotator({model!r}, config, "cpu")
files = sorted(Path({folder!r}).iterdir())[{first}::{cores}]
print("ready", flush=True)
sys.stdin.readline()
seconds, pages = 0.0, []
def annotate():
    global seconds, pages
    started = time.perf_counter()
    annotator.annotate(pages)
    seconds += time.perf_counter() - started
    pages = []
with Reader(config.limits) as reader:
    for file in files:
        image = next(reader.read(file.read_bytes(), str(file)))
        started = time.perf_counter()
        lines = engine.read_lines([image])[0]
        seconds += time.perf_counter() - started
        pages.append(Page(0, image.width, image.height, lines, source=str(file)))
        if len(pages) == config.pools.ser.batch_size:
            annotate()
annotate()
print(seconds)
"""


def run_bare(folder: Path, model: str | None, cores: int) -> float:
    """Seconds of OCR, SER and RE alone, one process a core at the same time; the mean over the processes."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _BARE.format(root=str(ROOT), model=model, folder=str(folder), first=i, cores=cores)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(cores)
    ]
    seconds = []
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        seconds.append(float(process.communicate()[0]))
        if process.returncode:
            raise SystemExit(f"the bare computation ended with status {process.returncode}")
    return sum(seconds) / cores


def main() -> int:
    from pipelines.cluster import usable_cpus

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--model", metavar="BUNDLE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="12 pages")
    options = parser.parse_args()
    cores = usable_cpus()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "pages"
        pages = spread_pages(options.images, folder, 12 if options.quick else options.pages)
        bare = run_bare(folder, options.model, cores)
        ended = run_job(folder, Path(temporary) / "out", options.model, ("--set", "progress_seconds=1"))
    report = ended["report"]
    result = {
        "pages": pages,
        "cores": cores,
        "bare_seconds": bare,
        "run_seconds": report["seconds"],
        "process_seconds": ended["seconds"],
        "bare_pages_per_second": pages / bare,
        "steady_pages_per_second": steady_rate(report),
        "steady_overhead": 1 - steady_rate(report) * bare / pages,
        "overhead": 1 - bare / report["seconds"],
    }
    if options.json:
        options.json.write_text(json.dumps({**result, "stages": report["stages"]}, indent=2) + "\n")
    for name, value in result.items():
        print(f"{name}: {value if isinstance(value, int) else round(value, 3)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
