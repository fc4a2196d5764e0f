"""ONNX Runtime against torch on the CPU: the same pages, the same bundle, float32 and int8.

    python benchmarks/onnx_runtime.py --data DATA [--model BUNDLE] [--json FILE] [--quick]

DATA holds xfund_zh/zh_val and funsd/testing_data. The bundle is exported twice (`jobs/export.py`, once with
`--int8`). Speed: SER, RE and fields of the XFUND pages from their gold lines, 8 pages a call as in the batch job, the
three in turn within one process, median of 5 rounds; pages a second of wall time and of CPU time, which other
work on the machine hardly touches. Scores: `jobs/evaluate.py --runtime`. Start: CPU seconds of a fresh process until
the models are loaded. Files are honest when no hmean is over 0.002 below torch's. The last line is the speed of the
fastest honest one over torch's, with one thread, by CPU time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

XFUND = ["--annotations", "DATA/xfund_zh/zh_val/val.json", "--images", "DATA/xfund_zh/zh_val/image"]
FUNSD = ["--annotations", "DATA/funsd/testing_data"]
SCORES = {
    "XFUND zh val, SER": ["--task", "ser", *XFUND],
    "XFUND zh val, RE, gold entities": ["--task", "re", *XFUND],
    "XFUND zh val, fields": ["--task", "fields", *XFUND],
    "FUNSD test, SER": ["--task", "ser", *FUNSD],
    "FUNSD test, fields": ["--task", "fields", *FUNSD],
}
ALLOWED_LOSS = 0.002
PAGES_AT_ONCE = 8

_START = """
import sys, time
sys.path.insert(0, {root!r})
from kie_ray.loading import load_annotator
from kie_ray.models.bundle import Bundle
load_annotator(Bundle.load({model!r}, verify=False), runtime={runtime!r})
print(time.process_time())
"""


def export(model: Path, folder: Path) -> dict[str, tuple[Path, str]]:
    """Bundle and runtime by name."""
    for name, extra in (("float32", []), ("int8", ["--int8"])):
        command = [sys.executable, str(ROOT / "jobs/export.py"), "--model", str(model), "--output", str(folder / name)]
        subprocess.run([*command, *extra], check=True, stdout=subprocess.DEVNULL)
    return {
        "torch": (model, "torch"),
        "onnx float32": (folder / "float32", "onnx"),
        "onnx int8": (folder / "int8", "onnx"),
    }


def speed(
    candidates: dict[str, tuple[Path, str]], data: Path, threads: int, rounds: int, limit: int | None
) -> dict[str, dict[str, float]]:
    """Pages a second, by wall and by CPU time."""
    import torch

    from kie_ray.datasets import read_labels, with_sizes
    from kie_ray.loading import load_annotator
    from kie_ray.models.bundle import Bundle

    torch.set_num_threads(threads)
    folder = data / "xfund_zh/zh_val"
    pages = with_sizes(read_labels(folder / "val.json"), folder / "image")[:limit]
    loaded = {
        name: load_annotator(Bundle.load(path, verify=False), runtime=runtime)  # type: ignore[arg-type]
        for name, (path, runtime) in candidates.items()
    }
    for annotator in loaded.values():
        annotator.annotate(pages[:PAGES_AT_ONCE])
    seconds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds):
        for name, annotator in loaded.items():
            wall, cpu = time.perf_counter(), time.process_time()
            for start in range(0, len(pages), PAGES_AT_ONCE):
                annotator.annotate(pages[start : start + PAGES_AT_ONCE])
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: {
            "wall_pages_per_second": len(pages) / statistics.median(wall for wall, _ in both),
            "cpu_pages_per_second": len(pages) / statistics.median(cpu for _, cpu in both),
        }
        for name, both in seconds.items()
    }


def score(model: Path, runtime: str, arguments: list[str], data: Path, limit: int | None) -> float:
    """The hmean that `jobs/evaluate.py` gives."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "scores.json"
        filled = [item.replace("DATA", str(data)) for item in arguments]
        command = [sys.executable, str(ROOT / "jobs/evaluate.py"), "--model", str(model), "--runtime", runtime]
        extra = ["--limit", str(limit)] if limit else []
        subprocess.run(
            [*command, *filled, *extra, "--device", "cpu", "--json", str(out)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return float(json.loads(out.read_text(encoding="utf-8"))["hmean"])


def start_seconds(model: Path, runtime: str, rounds: int) -> float:
    script = _START.format(root=str(ROOT), model=str(model), runtime=runtime)
    times = [
        float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)
        for _ in range(rounds)
    ]
    return statistics.median(times)


def main() -> int:
    from kie_ray.models.bundle import Bundle

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="the bundled model when left out")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="8 pages, one round")
    options = parser.parse_args()
    rounds, limit = (1, 8) if options.quick else (5, None)
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        candidates = export(Bundle.load(options.model).path, Path(temporary))
        result["bytes"] = {
            name: sum(file.stat().st_size for file in (path / "onnx").glob("*.onnx"))
            for name, (path, runtime) in candidates.items()
            if runtime == "onnx"
        }
        for threads in (1, 2):
            result[f"threads_{threads}"] = speed(candidates, options.data, threads, rounds, limit)
        result["start_cpu_seconds"] = {
            name: start_seconds(path, runtime, min(rounds, 3)) for name, (path, runtime) in candidates.items()
        }
        result["hmean"] = {
            measured: {
                name: score(path, runtime, arguments, options.data, limit)
                for name, (path, runtime) in candidates.items()
            }
            for measured, arguments in SCORES.items()
        }
    losses = {
        name: max(row["torch"] - row[name] for row in result["hmean"].values())
        for name in candidates
        if name != "torch"
    }
    honest = ["torch", *(name for name, loss in losses.items() if loss <= ALLOWED_LOSS)]
    one = {name: row["cpu_pages_per_second"] for name, row in result["threads_1"].items()}
    result["largest_loss"] = losses
    result["recommended"] = max(honest, key=one.__getitem__)
    result["ratio"] = one[result["recommended"]] / one["torch"]
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for threads in (1, 2):
        for name, row in result[f"threads_{threads}"].items():
            figures = ", ".join(f"{value:6.2f} a {what.split('_')[0]} second" for what, value in row.items())
            print(f"{threads} thread{'s' * (threads > 1)}, {name:12} pages: {figures}")
    for name, seconds in result["start_cpu_seconds"].items():
        print(f"start, {name:12} {seconds:.2f} s of CPU time")
    for measured, row in result["hmean"].items():
        print(f"{measured:32} hmean " + ", ".join(f"{name} {value:.4f}" for name, value in row.items()))
    print(f"recommended: {result['recommended']}")
    print(f"ratio: {result['ratio']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
