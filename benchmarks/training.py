"""Our training loop on Ray Train against a plain torch loop over the same model and batches, in one run.

    python benchmarks/training.py [--json FILE] [--quick] [--steps N] [--threads N]

Ours: `jobs/train.py` with one worker on synthetic forms: pages are drawn, changed, encoded, trained on, logged and
averaged. Plain: one process, the very same batches made beforehand, and nothing but forward, backward, clipping and
AdamW. The two take turns; each figure is the median of its steps (ours: of means of five) without the first of each
turn. Padding: tokens that are computed but mean nothing, over all that are computed. The last line is the ratio of
steps/s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

TURNS = 3
LOG_EVERY = 5

_PLAIN = """
import sys, time
sys.path.insert(0, {root!r})
import torch
from kie_ray.config import load_settings
from kie_ray.training.config import TrainConfig
from kie_ray.training.corpus import load_corpus
from kie_ray.training.losses import LossCounts, batch_counts
from kie_ray.training.trainer import Trainer
config = load_settings(TrainConfig, {recipe!r})
trainer = Trainer(config, load_corpus(config))
(phase,) = trainer.phases
batches = []
for step in range(phase.steps):
    (batch,) = trainer.stream.take(step).pieces
    batches.append((batch, LossCounts.of(batch_counts(batch))))
module = trainer.objective.train()
optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)
for batch, counts in batches:
    started = time.monotonic()
    optimizer.zero_grad(set_to_none=True)
    module(batch, phase, counts)["loss"].backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()
    print(time.monotonic() - started)
"""


def recipe(steps: int, threads: int) -> dict[str, Any]:
    """The bundled model's size and batches, on synthetic forms of both languages."""
    tree = yaml.safe_load((ROOT / "kie_ray/configs/train_bundled.yaml").read_text(encoding="utf-8"))
    tree["sources"] = [
        {"name": language, "kind": "synthetic", "pages": 60, "language": language} for language in ("zh", "en")
    ]
    phase = tree["phases"][-1] | {"steps": steps, "mix": {"zh": 0.5, "en": 0.5}}
    return tree | {"phases": [phase], "log_every": LOG_EVERY, "holdout": 0.0, "threads": threads}


def ours(file: Path, output: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, each the mean of a few steps."""
    command = [sys.executable, str(ROOT / "jobs/train.py"), "--config", str(file), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def plain(file: Path) -> list[float]:
    """Seconds of every step."""
    script = _PLAIN.format(root=str(ROOT), recipe=str(file))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [float(line) for line in done.stdout.split()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="one turn of 10 steps")
    parser.add_argument("--steps", type=int, default=15, help="steps a turn")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: all cores")
    options = parser.parse_args()
    steps, turns = (10, 1) if options.quick else (options.steps, TURNS)
    lines: list[dict[str, Any]] = []
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "recipe.yaml"
        file.write_text(yaml.safe_dump(recipe(steps, options.threads)))
        for turn in range(turns):
            lines += ours(file, Path(temporary) / f"run{turn}")[1:]
            seconds += plain(file)[1:]
    result = {
        "steps": len(lines) * LOG_EVERY,
        "ours_seconds_per_step": statistics.median(line["batch_cost"] for line in lines),
        "ours_reading_seconds_per_step": statistics.median(line["reader_cost"] for line in lines),
        "plain_seconds_per_step": statistics.median(seconds),
        "pages_per_step": statistics.mean(line["samples"] for line in lines),
        "padding": statistics.mean(line["padding"] for line in lines),
    }
    result["ratio"] = result["plain_seconds_per_step"] / result["ours_seconds_per_step"]
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in result.items():
        if name != "ratio":
            print(f"{name.replace('_', ' ')}: {value:.4g}")
    print(f"ratio: {result['ratio']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
