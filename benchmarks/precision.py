"""float32, bfloat16 and int8 of a base-size VI-LayoutXLM on the CPU, in torch and in ONNX Runtime; random weights.

    python benchmarks/precision.py [--json FILE] [--quick] [--threads 2] [--tokens 512]

One window of 512 tokens through the encoder and the SER head, all ways in turn within one process, the median of 7
rounds (`--quick`: 2); beside it the smallest and the smallest CPU time, which other work on the machine touches less.
Torch's float32 is packed, as inference on the CPU runs it. The vocabulary is cut to 30,000 rows, which changes the size
of the files and no time. The table also says how far the probabilities are from those of torch's float32: an order of
magnitude, because random weights are no trained ones (scores of a trained model: `onnx_runtime.py`).
The last line is the time of torch's float32 over that of the fastest way.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.forward import LABELS, XLM, boxes  # noqa: E402
from kie_ray.export.files import DEFAULT_OPSET, write_graph, write_int8  # noqa: E402
from kie_ray.export.graphs import EncoderGraph, expressible  # noqa: E402
from kie_ray.models.kie_model import KieModel  # noqa: E402
from kie_ray.models.layoutlmv2 import LayoutLMv2Config, LayoutLMv2ForSer  # noqa: E402
from kie_ray.models.onnx_models import OnnxKieModel  # noqa: E402
from kie_ray.models.packed import pack  # noqa: E402

REFERENCE = "torch float32"
Inputs = dict[str, Tensor]
Way = Callable[[Inputs], Tensor]


def export(model: KieModel, folder: Path) -> dict[str, Path]:
    """The float32 and the int8 file, by name."""
    files = {"ONNX float32": folder / "float32.onnx", "ONNX int8": folder / "int8.onnx"}
    shape = (2, 24)
    example = {
        "input_ids": torch.ones(shape, dtype=torch.int64),
        "bbox": torch.ones((*shape, 4), dtype=torch.int64),
        "attention_mask": torch.ones(shape, dtype=torch.int64),
    }
    dynamic = dict.fromkeys(example, ("windows", "tokens"))
    with expressible(model):
        graph = EncoderGraph(model)
        write_graph(graph, files["ONNX float32"], example, dynamic, ["logits", "hidden"], DEFAULT_OPSET)
    write_int8(files["ONNX float32"], files["ONNX int8"])
    return files


def logits(model: Any, inputs: Inputs) -> Tensor:
    """Of a torch model or of ONNX files: both have the same interface. Float32 [B, T, labels]."""
    hidden = model.encode(inputs["input_ids"], inputs["bbox"], inputs["attention_mask"])
    found: Tensor = model.ser_logits(hidden)
    return found.float()


def ways(folder: Path, threads: int) -> tuple[dict[str, Way], dict[str, int]]:
    """Every way by name, and the bytes of the ONNX files."""
    torch.manual_seed(0)
    plain = LayoutLMv2ForSer(LayoutLMv2Config(**{**XLM, "vocab_size": 30_000}, num_labels=LABELS)).eval()
    files = export(plain, folder)
    packed, half = deepcopy(plain), deepcopy(plain).bfloat16()
    pack(packed)
    sessions = {name: OnnxKieModel(file, None, folder / "none", threads) for name, file in files.items()}

    def autocast(inputs: Inputs) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return logits(plain, inputs)

    found: dict[str, Way] = {
        REFERENCE: lambda inputs: logits(packed, inputs),
        "torch float32, not packed": lambda inputs: logits(plain, inputs),
        "torch bfloat16 autocast": autocast,
        "torch bfloat16 weights": lambda inputs: logits(half, inputs),
    }
    for name in files:
        found[name] = lambda inputs, name=name: logits(sessions[name], inputs)  # type: ignore[misc]
    return found, {name: file.stat().st_size for name, file in files.items()}


def measure(found: dict[str, Way], tokens: int, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds a window, and the largest difference of a probability from `REFERENCE`."""
    torch.manual_seed(1)
    inputs = {
        "input_ids": torch.randint(5, 30_000, (1, tokens)),
        "bbox": boxes(1, tokens),
        "attention_mask": torch.ones((1, tokens), dtype=torch.int64),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    with torch.inference_mode():
        answers = {name: torch.softmax(way(inputs), -1) for name, way in found.items()}  # the first run warms up
        for _ in range(rounds):
            for name, way in found.items():
                wall, cpu = time.perf_counter(), time.process_time()
                way(inputs)
                times[name].append((1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)))
    results = {}
    for name, pairs in times.items():
        wall_ms, cpu_ms = zip(*pairs, strict=True)
        results[name] = {
            "median_ms": statistics.median(wall_ms),
            "min_ms": min(wall_ms),
            "cpu_ms": min(cpu_ms),
            "largest_difference": float((answers[name] - answers[REFERENCE]).abs().max()),
        }
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=512)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        found, sizes = ways(Path(temporary), options.threads)
        results = measure(found, options.tokens, 2 if options.quick else 7)
    for name, row in results.items():
        size = f", {sizes[name] / 1e6:.0f} MB" if name in sizes else ""
        print(
            f"{name:26} {row['median_ms']:6.0f} ms a window of {options.tokens} tokens (smallest {row['min_ms']:.0f}, "
            f"CPU {row['cpu_ms']:.0f}), probabilities within {row['largest_difference']:.1e}{size}"
        )
    fastest = min(results, key=lambda name: results[name]["median_ms"])
    ratio = results[REFERENCE]["median_ms"] / results[fastest]["median_ms"]
    if options.json:
        result = {"ways": results, "file_bytes": sizes, "fastest": fastest, "ratio": ratio, "threads": options.threads}
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{REFERENCE} over {fastest}: {ratio:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
