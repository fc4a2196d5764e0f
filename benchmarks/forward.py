"""Base-size forward passes of 512 tokens on the CPU, ours against Hugging Face's; random weights, float32.

    python benchmarks/forward.py [--data DATA] [--paddlenlp PYTHON] [--json FILE] [--quick] [--threads 2] [--batch 1]

Every model lives in a process of its own (its peak RSS is its own); they run in turn, the median of 5 rounds counts
(`--quick`: 2). Beside it stand the smallest and the smallest CPU time, which other work on the machine touches less
(with `--threads 1` hardly at all). Ours are packed, as inference on the CPU runs them. detectron2 cannot be installed:
Hugging Face's LayoutLMv2 gets a backbone of the same size that runs detectron2's operations one by one, see
`peer_models.py`. PYTHON is an interpreter of an environment with PaddleNLP, see `paddlenlp_models.py`: its VI-LayoutXLM
(which carries 49 masked tokens) and its RE decoder then take part.

DATA holds xfund_zh/zh_val: the lengths of its pages' windows (of at most 512 tokens, which overlap by 128), by the
bundled tokenizer, tell what batches of similar lengths save against padding each of the same windows to 512; left out
without it. Beside it stand the windows one by one without any padding, and the ratio of the numbers of tokens, which
no way of batching can leave far behind.
RE head: all pairs of 40 (one page) and 150 (8 pages) questions and answers, against the published way, which runs
both feed-forward networks once a pair; the results are compared first. 40 x 40, which takes a few
milliseconds, is the mean of 50 calls.
The last line is the smallest ratio over its target (below 1: a target is missed).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peer_models import hf_layoutlm, hf_layoutlmv2  # noqa: E402
from kie_ray.decoding.re import candidate_pairs  # noqa: E402
from kie_ray.models.heads import ReHead  # noqa: E402
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForSer  # noqa: E402
from kie_ray.models.layoutlmv2 import LayoutLMv2Config, LayoutLMv2ForSer  # noqa: E402
from kie_ray.models.packed import pack  # noqa: E402

TOKENS = 512
LABELS = 7
XLM: dict[str, Any] = {
    "vocab_size": 250002,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "fast_qkv": False,
    "has_relative_attention_bias": False,
    "has_spatial_attention_bias": False,
    "has_visual_segment_embedding": True,
}
TARGETS = {
    "VI-LayoutXLM: HF LayoutLM's time over ours": 1 / 1.1,
    "LayoutLMv2: HF's time over ours": 1.4,
    "RE head 150 x 150, 8 pages: once a pair over ours": 20.0,
    "batches of similar lengths: padding to 512 over ours": 1.5,
    "VI-LayoutXLM: PaddleNLP's time over ours": 2.5,
    "RE head 40 x 40: PaddleNLP's decoder over ours": 50.0,
}
PADDLENLP = {"PaddleNLP VI-LayoutXLM": "ser", "PaddleNLP RE decoder 40 x 40": "re"}


def ours(kind: type[nn.Module], config: Any, packed: bool = True) -> nn.Module:
    model = kind(config).eval()
    if packed:
        pack(model)
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "ours VI-LayoutXLM": lambda: ours(LayoutLMv2ForSer, LayoutLMv2Config(**XLM, num_labels=LABELS)),
    "ours VI-LayoutXLM, not packed": lambda: ours(LayoutLMv2ForSer, LayoutLMv2Config(**XLM, num_labels=LABELS), False),
    "ours VI-LayoutXLM, bfloat16": lambda: MODELS["ours VI-LayoutXLM, not packed"]().bfloat16(),
    "ours LayoutLM": lambda: ours(LayoutLMForSer, LayoutLMConfig(num_labels=LABELS)),
    "HF LayoutLM, sdpa": lambda: hf_layoutlm(LABELS),
    "ours LayoutLMv2": lambda: ours(LayoutLMv2ForSer, LayoutLMv2Config(num_labels=LABELS, use_visual_backbone=True)),
    "HF LayoutLMv2": lambda: hf_layoutlmv2(LABELS),
}


def boxes(rows: int, length: int) -> Tensor:
    corner, size = torch.randint(0, 500, (rows, length, 2)), torch.randint(0, 500, (rows, length, 2))
    return torch.cat([corner, corner + size], dim=-1)


def worker(name: str, threads: int, batch: int) -> None:
    """Load a model; run once a line of stdin and print seconds, wall and CPU; at the end print the peak RSS in MB."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = MODELS[name]()
    inputs: dict[str, Tensor] = {
        "input_ids": torch.randint(5, 30000, (batch, TOKENS)),
        "bbox": boxes(batch, TOKENS),
        "attention_mask": torch.ones((batch, TOKENS), dtype=torch.int64),
    }
    if name.endswith("LayoutLMv2"):
        inputs["image"] = torch.rand(batch, 3, 224, 224) * 255
    with torch.inference_mode():
        model(**inputs)
        print("ready", flush=True)
        for _ in sys.stdin:
            started, cpu = time.perf_counter(), time.process_time()
            model(**inputs)
            print(time.perf_counter() - started, time.process_time() - cpu, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure_models(threads: int, batch: int, rounds: int, paddlenlp: Path | None) -> dict[str, dict[str, float]]:
    """Milliseconds a page (median and smallest, smallest of CPU time) and peak RSS in MB."""
    sizes = ["--threads", str(threads), "--batch", str(batch), "--worker"]
    commands = {name: [sys.executable, __file__, *sizes, name] for name in MODELS}
    if paddlenlp:
        script = str(Path(__file__).with_name("paddlenlp_models.py"))
        commands |= {name: [str(paddlenlp), script, *sizes, task] for name, task in PADDLENLP.items()}
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    seconds: dict[str, list[list[float]]] = {name: [] for name in commands}
    running: dict[str, subprocess.Popen[str]] = {}
    for name, command in commands.items():
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        _answer(process)
        running[name] = process
    for _ in range(rounds):
        for name, process in running.items():
            assert process.stdin is not None
            process.stdin.write("run\n")
            process.stdin.flush()
            seconds[name].append([1000 * float(value) / batch for value in _answer(process).split()])
    results = {}
    for name, process in running.items():
        rss = float(process.communicate()[0])
        wall, cpu = zip(*seconds[name], strict=True)
        results[name] = {
            "median_ms": statistics.median(wall),
            "min_ms": min(wall),
            "cpu_ms": min(cpu),
            "peak_rss_mb": rss,
        }
    return results


def _answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args} ended early")
    return line


def measure_lengths(data: Path, pages: int) -> dict[str, Any]:
    """Seconds over real pages' windows, batched as inference on the CPU does it, padded to 512, and each by itself;
    median of 3 rounds. The first two have the same number of padded tokens in a batch."""
    from kie_ray.datasets import read_labels, with_sizes
    from kie_ray.encoding import PageEncoder
    from kie_ray.encoding.batching import batches_by_tokens, padded_length, tokens_at_once
    from kie_ray.models.bundle import Bundle

    bundle, folder = Bundle.load(), data / "xfund_zh/zh_val"
    encoder = PageEncoder(bundle.load_tokenizer(), bundle.label_set, max_tokens=TOKENS, overlap_tokens=128)
    encoded = encoder.encode_pages(with_sizes(read_labels(folder / "val.json")[:pages], folder / "image"))
    windows = [window for page in encoded for window in page.windows]
    lengths = [len(window) for window in windows]
    model = MODELS["ours VI-LayoutXLM"]()

    def run(batches: list[list[int]], width: int | None, multiple: int = 8) -> float:
        started = time.perf_counter()
        for rows in batches:
            wide = width or padded_length(max(lengths[row] for row in rows), multiple)
            mask = (torch.arange(wide) < torch.tensor([[lengths[row]] for row in rows])).long()
            model(torch.randint(5, 30000, mask.shape), boxes(*mask.shape), mask)
        return time.perf_counter() - started

    at_once = tokens_at_once("cpu")
    order, count = list(range(len(windows))), at_once // TOKENS
    ways = {
        "similar": lambda: run(batches_by_tokens(windows, at_once), None),
        "padded": lambda: run([order[first : first + count] for first in order[::count]], TOKENS),
        "alone": lambda: run([[row] for row in order], None, 1),
    }
    with torch.inference_mode():
        rounds = [{name: way() for name, way in ways.items()} for _ in range(3)]
    return {
        "pages": pages,
        "windows": len(windows),
        "median_length": statistics.median(lengths),
        "tokens_ratio": TOKENS * len(windows) / sum(lengths),
        **{name: statistics.median(found[name] for found in rounds) for name in ways},
    }


def once_a_pair(head: ReHead, states: Tensor, labels: Tensor, pairs: Tensor) -> Tensor:
    """The published decoder on one page: both networks run for every pair; logits [P, 2]."""
    embedded = head.entity_emb(labels)
    heads, tails = pairs.unbind(-1)
    first = head.ffnn_head(torch.cat([states[heads], embedded[heads]], dim=-1))
    second = head.ffnn_tail(torch.cat([states[tails], embedded[tails]], dim=-1))
    classifier = head.rel_classifier
    return classifier.bilinear(first, second) + classifier.linear(torch.cat([first, second], dim=-1))


def measure_re(count: int, pages: int, rounds: int, calls: int = 1) -> dict[str, float]:
    """Milliseconds for all pages, mean of `calls`: ours, and the published way page by page."""
    torch.manual_seed(0)
    head = ReHead(768, 3, 0.1).eval()
    states = torch.randn(pages, 2 * count, 768)
    labels = torch.tensor([1] * count + [2] * count)
    pairs = torch.from_numpy(candidate_pairs(["QUESTION"] * count + ["ANSWER"] * count))
    all_pairs = torch.cat([pairs + page * 2 * count for page in range(pages)])
    all_labels = labels.repeat(pages)
    ways: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: head(states.flatten(0, 1), all_labels, all_pairs),
        "once a pair": lambda: torch.cat([once_a_pair(head, page, labels, pairs) for page in states]),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    with torch.inference_mode():
        torch.testing.assert_close(ways["ours"](), ways["once a pair"](), atol=1e-4, rtol=0)
        for _ in range(rounds):
            for way, call in ways.items():
                started = time.perf_counter()
                for _ in range(calls):
                    call()
                times[way].append(1000 * (time.perf_counter() - started) / calls)
    return {way: statistics.median(values) for way, values in times.items()}


def report(models: dict[str, Any], re_heads: dict[str, Any], lengths: dict[str, Any] | None) -> dict[str, float]:
    """Print all that was measured; the ratios by the names of `TARGETS`."""
    for name, found in models.items():
        print(
            f"{name:32} {found['median_ms']:6.0f} ms a page (smallest {found['min_ms']:.0f}, "
            f"CPU {found['cpu_ms']:.0f}), peak RSS {found['peak_rss_mb']:.0f} MB"
        )
    for what, found in re_heads.items():
        print(f"RE head {what}: ours {found['ours']:.1f} ms, once a pair {found['once a pair']:.1f} ms")
    median = {name: found["median_ms"] for name, found in models.items()}
    large = re_heads["150 x 150, 8 pages"]
    values = [
        median["HF LayoutLM, sdpa"] / median["ours VI-LayoutXLM"],
        median["HF LayoutLMv2"] / median["ours LayoutLMv2"],
        large["once a pair"] / large["ours"],
    ]
    if lengths:
        print(
            f"{lengths['windows']} windows of {lengths['pages']} pages, median length {lengths['median_length']:.0f}: "
            f"similar lengths {lengths['similar']:.1f} s, padded to 512 {lengths['padded']:.1f} s, "
            f"one by one {lengths['alone']:.1f} s; ratio of the tokens {lengths['tokens_ratio']:.2f}"
        )
    small = re_heads["40 x 40, 1 page"]["ours"]
    values += [
        lengths["padded"] / lengths["similar"] if lengths else math.nan,
        median.get("PaddleNLP VI-LayoutXLM", math.nan) / median["ours VI-LayoutXLM"],
        median.get("PaddleNLP RE decoder 40 x 40", math.nan) / small,
    ]
    ratios = {name: value for name, value in zip(TARGETS, values, strict=True) if not math.isnan(value)}
    for name, value in ratios.items():
        print(f"{name}: {value:.2f}, target {TARGETS[name]:.2f}")
    return ratios


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--paddlenlp", type=Path, metavar="PYTHON")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1, help="pages a call")
    parser.add_argument("--worker", choices=list(MODELS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.threads, options.batch)
        return 0
    torch.set_num_threads(options.threads)
    rounds, pages = (2, 4) if options.quick else (5, 16)
    models = measure_models(options.threads, options.batch, rounds, options.paddlenlp)
    re_heads = {"40 x 40, 1 page": measure_re(40, 1, rounds, 50), "150 x 150, 8 pages": measure_re(150, 8, rounds)}
    lengths = measure_lengths(options.data, pages) if options.data else None
    ratios = report(models, re_heads, lengths)
    smallest = min(value / TARGETS[name] for name, value in ratios.items())
    if options.json:
        result = {"models": models, "re": re_heads, "lengths": lengths, "ratios": ratios, "targets": TARGETS}
        text = json.dumps({**result, "smallest_over_target": smallest}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    print(f"smallest ratio over its target: {smallest:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
