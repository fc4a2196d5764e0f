"""The batch job against a plain loop, over the same pages, in one run on this machine.

    python benchmarks/pipeline.py --images DIR [--json FILE] [--quick] [--model BUNDLE] [--pages N]

Loop: one process that opens each page, calls `RapidOCR()` with its defaults on it and runs the same models on
the lines, one page after the other. Pipeline: `jobs/batch_extract.py` with its defaults. Both are timed from the start
of their process to its end.
Pages are repeated (as files of their own) until there are `--pages` of them (100; `--quick`: 12).

Overhead: what the pipeline's run (its start to the end of run.json) takes longer than bare computation: the same OCR
engine and models in one process a core, pages dealt out evenly, nothing counted but the calls of engine and models. The
seconds in run.json cannot tell it: three busy processes on two cores each see the others' time as their own. What
starting Python costs stands beside it. The last line is the ratio of pages/s.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

_LOOP = """
import json, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
started = time.perf_counter()
import cv2, logging
from rapidocr import RapidOCR
logging.getLogger("RapidOCR").setLevel(logging.ERROR)
from kie_ray.records import Line, Page
from pipelines.config import ExtractConfig
from pipelines.kie_stage import load_annotator
engine = RapidOCR()
annotator = load_annotator({model!r}, ExtractConfig(), "cpu")
ready = time.perf_counter()
lines = 0
for file in sorted(Path({folder!r}).iterdir()):
    image = cv2.imread(str(file))
    result = engine(image)
    boxes = [] if result.boxes is None else result.boxes
    page = Page(0, image.shape[1], image.shape[0], source=str(file))
    for number, (box, text, score) in enumerate(zip(boxes, result.txts or (), result.scores or ())):
        page.lines.append(Line(number, text, tuple(map(float, box.reshape(-1))), float(score)))
    annotator.annotate([page])
    lines += len(page.lines)
print(json.dumps({{"start": ready - started, "work": time.perf_counter() - ready, "lines": lines}}))
"""


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


def spread_pages(images: Path, target: Path, count: int) -> int:
    """`count` files, the pages of `images` in turn; hard copies, so that nothing is read from one cached file."""
    files = sorted(
        path for path in images.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp", ".webp")
    )
    if not files:
        raise SystemExit(f"--images {images} holds no page")
    target.mkdir()
    for number in range(count):
        source = files[number % len(files)]
        shutil.copy(source, target / f"{number:05d}{source.suffix}")
    return count


def run_loop(folder: Path, model: str | None) -> dict[str, Any]:
    started = time.monotonic()
    script = _LOOP.format(root=str(ROOT), model=model, folder=str(folder))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return {"seconds": time.monotonic() - started, **json.loads(done.stdout.splitlines()[-1])}


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


def run_pipeline(folder: Path, output: Path, model: str | None, more: Sequence[str] = ()) -> dict[str, Any]:
    started = time.monotonic()
    arguments = [str(ROOT / "jobs/batch_extract.py"), str(folder), "--output", str(output), *more]
    done = subprocess.run(
        [sys.executable, *arguments, *(["--model", model] if model else [])],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    report = json.loads((output / "run.json").read_text(encoding="utf-8"))
    return {"seconds": time.monotonic() - started, "report": report}


def main() -> int:
    from pipelines.cluster import usable_cpus

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", metavar="BUNDLE")
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="12 pages")
    options = parser.parse_args()
    cores = usable_cpus()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "pages"
        pages = spread_pages(options.images, folder, 12 if options.quick else options.pages)
        loop = run_loop(folder, options.model)
        bare = run_bare(folder, options.model, cores)
        pipeline = run_pipeline(folder, Path(temporary) / "out", options.model)
    report = pipeline["report"]
    result = {
        "pages": pages,
        "cores": cores,
        "loop_pages_per_second": pages / loop["seconds"],
        "pipeline_pages_per_second": pages / pipeline["seconds"],
        "loop_lines": loop["lines"],
        "pipeline_lines": report["entities"],
        "pipeline_run_seconds": report["seconds"],
        "pipeline_start_seconds": pipeline["seconds"] - report["seconds"],
        "bare_seconds": bare,
        "overhead": 1 - bare / report["seconds"],
        "stages": report["stages"],
        "ratio": loop["seconds"] / pipeline["seconds"],
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    for name in (
        "loop_pages_per_second",
        "pipeline_pages_per_second",
        "pipeline_run_seconds",
        "pipeline_start_seconds",
        "bare_seconds",
    ):
        print(f"{name.replace('_', ' ')}: {result[name]:.3f}")
    print(f"lines: loop {loop['lines']}, pipeline {report['entities']}")
    print(f"overhead (run beyond OCR, SER and RE on {cores} cores): {result['overhead']:.1%}")
    print(f"ratio: {result['ratio']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
