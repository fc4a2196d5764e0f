"""Runs of the batch job for the benchmarks: pages to run over, a run, and its rate while it is at work."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


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


def run_job(folder: Path, output: Path, model: str | None, more: Sequence[str] = ()) -> dict[str, Any]:
    """`jobs/batch_extract.py` over the files of `folder`: `seconds` from start to end of its process, and `report`."""
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


def steady_rate(report: Mapping[str, Any]) -> float:
    """Pages/s between the first and the last finished page; run with `progress_seconds=1`, or it is coarse."""
    samples = [sample for sample in report["timeline"] if sample["pages"]]
    first, last = samples[0], samples[-1]
    rate: float = (last["pages"] - first["pages"]) / (last["seconds"] - first["seconds"])
    return rate
