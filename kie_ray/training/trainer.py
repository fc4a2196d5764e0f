"""The training loop, top to bottom. Knows nothing of Ray: `pipelines/train.py` gives it ranks and a way to add up."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kie_ray.encoding import LabelSet, PageEncoder, load_tokenizer
from kie_ray.models.kie_model import KieModel
from kie_ray.training.batches import TrainBatch
from kie_ray.training.checkpoints import CheckpointStore, Name
from kie_ray.training.clipping import clip_gradients
from kie_ray.training.config import PhaseConfig, TrainConfig
from kie_ray.training.corpus import Corpus
from kie_ray.training.losses import LossCounts, batch_counts
from kie_ray.training.objective import KieObjective, UdmlObjective
from kie_ray.training.schedule import learning_rate, phase_at
from kie_ray.training.start import find_start
from kie_ray.training.stream import BatchStream
from kie_ray.training.watch import Meter

STATE_FILE = "trainer.pt"
AddUp = Callable[[Tensor], Tensor]
"""Sum of a tensor over all workers."""


class Log(Protocol):
    """Takes the progress of a run (on the first worker only)."""

    def add(self, metrics: dict[str, Any]) -> None:
        """One line of progress."""
        ...


class Trainer:
    """Trains the heads of `config.tasks` on one encoder. The seed decides weights, pages, masks and dropout.

    A batch is cut into `config.micro_batches` pieces, each with a seed of its own; the workers share them out and
    accumulate gradients over theirs. The losses are sums divided by counts over the whole batch, so the result does
    not depend on the number of workers.

    Args:
        config: the recipe.
        corpus: its pages.
        rank, world: this worker and how many there are.
        device: where the model lives.
        store: where checkpoints go; None keeps none.
        add_up: sums a tensor over the workers; needed for world > 1.
    """

    def __init__(
        self,
        config: TrainConfig,
        corpus: Corpus,
        *,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
        store: CheckpointStore | None = None,
        add_up: AddUp = lambda tensor: tensor,
    ) -> None:
        self.config = config
        self.corpus = corpus
        self.rank, self.world = rank, world
        self.device = torch.device(device)
        self.store = store
        self.add_up = add_up
        if self.device.type == "cpu":
            # Ray tells torch to use as many threads as the worker has CPUs, one by default.
            torch.set_num_threads(config.threads or max(1, (os.cpu_count() or 1) // world))
        torch.manual_seed(config.seed)
        self.phases = corpus.phases(config)
        self.labels = LabelSet.from_classes(config.classes)
        start = find_start(config, corpus.texts())
        self.encoding = start.encoding
        self.encoder = PageEncoder(
            start.tokenizer,
            self.labels,
            reading_order=start.encoding.reading_order,
            max_tokens=start.encoding.max_tokens,
            overlap_tokens=start.encoding.overlap_tokens,
            clamp=start.encoding.clamp_boxes,
        )
        self.objective: KieObjective | UdmlObjective = KieObjective(start.build(config, self.labels), config)
        if config.distillation is not None:
            twin = KieObjective(start.build(config, self.labels, heads=False), config)
            self.objective = UdmlObjective(self.objective, twin, config.distillation)
        self.objective.to(self.device)
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(_parameter_groups(self.objective, config.weight_decay), lr=0.0, fused=True)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")
        self.stream = BatchStream(
            config, corpus, self.phases, self.encoder, self.labels, rank, world, start.encoding.image
        )
        self.meter = Meter()
        self.step = 0
        self.best_score = -1.0
        self._saved_step = -1

    @property
    def model(self) -> KieModel:
        """The model that is being trained and will be shipped."""
        return self.objective.trained_model

    @property
    def total_steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def run(self, wrap: Callable[[nn.Module], nn.Module] = lambda module: module, log: Log | None = None) -> None:
        """Train from the current step to the end. `wrap` makes the module distributed (DDP)."""
        module = wrap(self.objective)
        saved_at = time.monotonic()
        while self.step < self.total_steps:
            phase, step_in_phase = phase_at(self.phases, self.step)
            rate = learning_rate(phase, step_in_phase)
            started = time.monotonic()
            batch = self.stream.take(self.step)
            read = time.monotonic()
            due = time.monotonic() - saved_at >= self.config.checkpoint_seconds
            counts, save = self._agree(batch.pieces, due)
            losses = self._forward_backward(module, batch.pieces, phase, counts)
            self._update(rate)
            self.step += 1
            self.meter.add(losses, batch.pieces, batch.pages, reader=read - started, batch=time.monotonic() - started)

            last = self.step == self.total_steps
            metrics: dict[str, Any] = {}
            if last or self.step % self.config.log_every == 0:
                metrics = self.meter.metrics(self.add_up, self.step, self.total_steps) | {
                    "phase": phase.name,
                    "lr": rate,
                }
                metrics["epoch"] = round(self._epochs(phase), 3)
            if self.corpus.held_out and (last or self.step % self.config.evaluate_every == 0):
                metrics |= {"step": self.step} | self._evaluate_and_keep_best()
            if metrics and log is not None and self.rank == 0:
                log.add(metrics)
            if (save or last) and self.store is not None:
                if self.rank == 0 and self._saved_step != self.step:  # a best one is the latest already
                    self.store.save(["latest"], self.save, self.step)
                saved_at = time.monotonic()

    def _agree(self, pieces: list[TrainBatch], due: bool) -> tuple[LossCounts, bool]:
        """Counts over all workers, and whether all of them save after this step: the first one's clock decides."""
        totals = torch.stack([batch_counts(piece) for piece in pieces]).sum(0)
        flag = torch.tensor([float(due and self.rank == 0)], dtype=torch.float64)
        summed = self.add_up(torch.cat([totals, flag]))
        return LossCounts.of(summed[:-1]), bool(summed[-1])

    def _forward_backward(
        self, module: nn.Module, pieces: list[TrainBatch], phase: PhaseConfig, counts: LossCounts
    ) -> dict[str, Tensor]:
        """Gradients of the whole batch, and this worker's part of the losses."""
        module.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        precision = getattr(torch, self.config.precision)
        for number, piece in enumerate(pieces):
            # Dropout follows from step and piece, so neither a resumed run nor another number of workers changes it.
            torch.manual_seed(hash((self.config.seed, self.step, self.rank + number * self.world)))
            keep_local = number + 1 < len(pieces) and hasattr(module, "no_sync")
            with module.no_sync() if keep_local else contextlib.nullcontext():  # type: ignore[operator]
                with torch.autocast(self.device.type, precision, enabled=precision != torch.float32):
                    part = module(piece.to(self.device), phase, counts)
                # DDP averages gradients over the workers, the losses are sums over them.
                self.scaler.scale(part["loss"] * self.world).backward()
            for name, value in part.items():
                losses[name] = losses.get(name, torch.zeros((), device=self.device)) + value.detach()
        return losses

    def _update(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.unscale_(self.optimizer)
        clip_gradients(self.objective.parameters(), self.config.clip_norm, self.config.clip_rule)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._update_average()

    def final_model(self) -> KieModel:
        """A copy of the model to ship: averaged weights where the recipe averages, in eval mode."""
        model = type(self.model)(self.model.config)
        model.load_state_dict(self.average if self.config.average_decay else self.model.state_dict())
        nn.Module.to(model, self.device)
        return model.eval()

    def _evaluate_and_keep_best(self) -> dict[str, float]:
        """Scores on the held-out pages; the first worker computes them while the others wait at the next sum."""
        if self.rank != 0:
            return {}
        from kie_ray.training.progress import score_pages

        scores = score_pages(self, self.corpus.held_out)
        score = sum(scores.values()) / len(scores)
        if score >= self.best_score:
            self.best_score = score
            if self.store is not None:
                names: list[Name] = ["best", "latest"]
                self.store.save(names, self.save, self.step, **scores)
                self._saved_step = self.step
        return scores

    def _epochs(self, phase: PhaseConfig) -> float:
        """Passes over the pages of the phase's mix so far."""
        seen = sum(self.stream.position[name] for name in phase.mix)
        return seen / sum(len(self.corpus.train[name]) for name in phase.mix)

    def save(self, folder: Path) -> None:
        """Everything that `load` needs to go on as if nothing had happened."""
        torch.save(
            {
                "step": self.step,
                "objective": self.objective.state_dict(),
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "position": self.stream.position,
                "meter": self.meter.state(),
                "best_score": self.best_score,
            },
            folder / STATE_FILE,
        )
        self.encoder.tokenizer.save(folder / "tokenizer")

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote. Random numbers need no state: they follow from seed, step and piece."""
        state = torch.load(folder / STATE_FILE, map_location=self.device, weights_only=True)
        self.stream.restore(state["position"])
        self.encoder.tokenizer = load_tokenizer(folder / "tokenizer", self.encoding.special_tokens)
        self.objective.load_state_dict(state["objective"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.meter.restore(state["meter"])
        self.best_score = state["best_score"]
        self.step = state["step"]

    def resume(self, name: Name = "latest") -> bool:
        """Load a checkpoint of the store. False where there is none."""
        if self.store is None or self.store.note(name) is None:
            return False
        with self.store.open(name) as folder:
            self.load(folder)
        return True

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = self.config.average_decay
        if not decay:
            return
        # A young average follows quickly, otherwise the random start would weigh for thousands of steps.
        decay = min(decay, (2 + self.step) / (11 + self.step))
        current = {name: value for name, value in self.model.state_dict().items() if value.is_floating_point()}
        torch._foreach_lerp_([self.average[name] for name in current], list(current.values()), 1 - decay)


def _parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices only; vectors (biases, LayerNorm) go without."""
    matrices: list[Tensor] = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    vectors: list[Tensor] = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
