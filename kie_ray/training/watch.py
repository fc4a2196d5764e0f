"""What a person watches: the progress line, `metrics.jsonl`, TensorBoard events and, at the end, pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kie_ray.training.batches import TrainBatch

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_DIR = "tensorboard"


class Meter:
    """Averages over the steps since the last line of progress: losses, seconds, pages, padding."""

    def __init__(self) -> None:
        self._losses: dict[str, Tensor] = {}
        self._sums: dict[str, float] = {}
        self._steps = 0

    def add(
        self, losses: dict[str, Tensor], pieces: Sequence[TrainBatch], pages: int, *, reader: float, batch: float
    ) -> None:
        """One step: this worker's losses and pieces, the pages of all workers, seconds of reading and in all."""
        for name, value in losses.items():
            known = self._losses.get(name)
            self._losses[name] = value if known is None else known + value.to(known.device)
        for name, amount in (
            ("reader", reader),
            ("batch", batch),
            ("pages", float(pages)),
            ("tokens", float(sum(piece.num_tokens for piece in pieces))),
            ("padded", float(sum(piece.num_padded_tokens for piece in pieces))),
        ):
            self._sums[name] = self._sums.get(name, 0.0) + amount
        self._steps += 1

    def metrics(self, add_up: Callable[[Tensor], Tensor], step: int, steps: int) -> dict[str, Any]:
        """The averages by the names of PaddleOCR's log (seconds, pages and pages/s), and an empty meter again."""
        names = list(self._losses)
        local = torch.stack([self._losses[name].double().cpu() for name in names])
        losses = (add_up(local) / self._steps).tolist()
        batch = self._sums["batch"] / self._steps
        found: dict[str, Any] = {"step": step, "steps": steps}
        found |= {name: round(value, 6) for name, value in zip(names, losses, strict=True)}
        found |= {
            "reader_cost": round(self._sums["reader"] / self._steps, 5),
            "batch_cost": round(batch, 5),
            "samples": round(self._sums["pages"] / self._steps, 2),
            "ips": round(self._sums["pages"] / max(self._sums["batch"], 1e-9), 3),
            "eta": round((steps - step) * batch),
            "padding": round(1 - self._sums["tokens"] / max(1.0, self._sums["padded"]), 4),
        }
        self.__init__()  # type: ignore[misc]
        return found

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        losses = {name: value.detach().cpu() for name, value in self._losses.items()}
        return {"losses": losses, "sums": dict(self._sums), "steps": self._steps}

    def restore(self, state: dict[str, Any]) -> None:
        """As it was at `state`."""
        self._losses = dict(state["losses"])
        self._sums = dict(state["sums"])
        self._steps = state["steps"]


class RunLog:
    """Writes the progress of a run below `folder` and hands each line for people to `show`.

    `step`: the step that a resumed run goes on from; lines of later steps, which it will repeat, are removed.
    """

    def __init__(self, folder: Path, step: int = 0, show: Callable[[str], None] = print) -> None:
        from tensorboardX import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / METRICS_FILE
        self._show = show
        if self._file.exists():
            kept = [line for line in read_metrics(self._file) if line["step"] <= step]
            self._file.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._events = SummaryWriter(str(folder / TENSORBOARD_DIR), purge_step=step + 1 if step else None)

    def add(self, metrics: dict[str, Any]) -> None:
        """One line of progress."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")
        for name, value in metrics.items():
            if isinstance(value, int | float) and name not in ("step", "steps"):
                self._events.add_scalar(name, value, metrics["step"])
        self._events.flush()
        self._show(progress_line(metrics))

    def close(self) -> None:
        self._events.close()


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; one that a kill has cut short is left out."""
    lines = []
    for text in file.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def progress_line(metrics: dict[str, Any]) -> str:
    """`[2026-11-21 09:30:00] epoch: 3.20, global_step: 40/200, lr: 0.000050, loss: 1.2, ..., eta: 0:02:10`"""
    parts = []
    if "epoch" in metrics:
        parts += [f"epoch: {metrics['epoch']:.2f}", f"global_step: {metrics['step']}/{metrics['steps']}"]
        parts += [f"lr: {metrics['lr']:.6f}"]
    else:
        parts += [f"global_step: {metrics['step']}"]
    parts += [f"{name}: {metrics[name]:.4f}" for name in metrics if name == "loss" or name.startswith("loss_")]
    if "batch_cost" in metrics:
        parts += [
            f"avg_reader_cost: {metrics['reader_cost']:.4f} s",
            f"avg_batch_cost: {metrics['batch_cost']:.4f} s",
            f"avg_samples: {metrics['samples']:g}",
            f"ips: {metrics['ips']:.2f} samples/s",
            f"eta: {_clock(metrics['eta'])}",
        ]
    parts += [f"{name}: {metrics[name]:.4f}" for name in metrics if name.endswith("hmean")]
    return f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] " + ", ".join(parts)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
