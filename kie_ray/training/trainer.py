"""The training loop, top to bottom. Knows nothing of Ray: `pipelines/train.py` gives it ranks and takes checkpoints."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kie_ray.encoding import LabelSet, PageEncoder, PageTokenizer, load_tokenizer, train_tokenizer
from kie_ray.models.layoutlmv2 import LayoutLMv2Config, LayoutLMv2ForKie
from kie_ray.records import Page
from kie_ray.training.augment import ValuePool, augment_page
from kie_ray.training.batches import TrainBatch, build_batch
from kie_ray.training.config import PhaseConfig, TrainConfig
from kie_ray.training.corpus import Corpus, PageSampler
from kie_ray.training.objective import KieObjective
from kie_ray.training.schedule import learning_rate, phase_at

Report = Callable[[dict[str, Any], bool], None]
"""Called with metrics, and whether this is a moment to save a checkpoint (every rank calls it at the same steps)."""

STATE_FILE = "trainer.pt"
LOG_EVERY = 20


class Trainer:
    """Trains one joint SER + RE model. Deterministic on one worker: the seed decides weights, pages and masks.

    Args:
        config: the recipe.
        corpus: its pages.
        rank, world: this worker and how many there are; each draws its own pages.
        device: where the model lives.
    """

    def __init__(
        self, config: TrainConfig, corpus: Corpus, *, rank: int = 0, world: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        self.config = config
        self.corpus = corpus
        self.rank = rank
        self.world = world
        self.device = torch.device(device)
        if self.device.type == "cpu":
            # Ray tells torch to use as many threads as the worker has CPUs, one by default.
            torch.set_num_threads(config.threads or max(1, (os.cpu_count() or 1) // world))
        torch.manual_seed(config.seed)
        self.labels = LabelSet.from_classes(config.classes)
        self.tokenizer: PageTokenizer = train_tokenizer(corpus.texts(), config.encoding.vocab_size)
        self.encoder = PageEncoder(
            self.tokenizer,
            self.labels,
            reading_order=config.encoding.reading_order,
            max_tokens=config.encoding.max_tokens,
            overlap_tokens=config.encoding.overlap_tokens,
        )
        self.objective = KieObjective(build_model(config, self.tokenizer.vocab_size, self.labels)).to(self.device)
        self.average = {name: value.detach().clone() for name, value in self.objective.model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(_parameter_groups(self.objective, config.weight_decay), lr=0.0, fused=True)
        self.sampler = PageSampler(corpus.train, config.seed, rank)
        self.pools = {name: ValuePool(pages) for name, pages in corpus.train.items()}
        self.source_of = {id(page): name for name, pages in corpus.train.items() for page in pages}
        self.step = 0

    @property
    def total_steps(self) -> int:
        return sum(phase.steps for phase in self.config.phases)

    def run(self, wrap: Callable[[nn.Module], nn.Module] = lambda module: module, report: Report | None = None) -> None:
        """Train from the current step to the end. `wrap` makes the module distributed (DDP)."""
        module = wrap(self.objective)
        started, tokens = time.monotonic(), 0
        sums: dict[str, float] = {}
        while self.step < self.total_steps:
            phase, step_in_phase = phase_at(self.config.phases, self.step)
            rate = learning_rate(phase, step_in_phase)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            batch = self.next_batch(phase)
            tokens += batch.num_tokens
            module.train()
            # Dropout follows from the step, so a resumed run draws what the uninterrupted one would have drawn.
            torch.manual_seed(hash((self.config.seed, self.rank, self.step)))
            losses = module(batch.to(self.device), phase)
            self.optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()
            nn.utils.clip_grad_norm_(self.objective.parameters(), self.config.clip_norm)
            self.optimizer.step()
            self.step += 1
            self._update_average()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())

            last = self.step == self.total_steps
            evaluate = last or self.step % self.config.evaluate_every == 0
            save = last or self.step % self.config.checkpoint_every == 0
            if report and (save or evaluate or self.step % LOG_EVERY == 0):
                count = self.step % LOG_EVERY or LOG_EVERY
                seconds = time.monotonic() - started
                metrics: dict[str, Any] = {
                    "phase": phase.name,
                    "step": self.step,
                    "steps": self.total_steps,
                    "lr": round(rate, 7),
                    **{name: round(value / count, 4) for name, value in sums.items()},
                    "tokens_per_second": round(tokens / max(seconds, 1e-9)),
                }
                if evaluate and self.corpus.held_out and self.rank == 0:
                    metrics.update(self.evaluate(self.corpus.held_out))
                report(metrics, save)
                if self.step % LOG_EVERY == 0:
                    started, tokens, sums = time.monotonic(), 0, {}

    def next_batch(self, phase: PhaseConfig) -> TrainBatch:
        """Draw, change and encode pages until the phase's token count is reached."""
        rng = random.Random(f"{self.config.seed}/{self.rank}/{self.step}")
        pages: list[Page] = []
        token_ids: list[list[list[int]]] = []
        tokens = 0
        while tokens < phase.tokens_per_batch:
            page = self.sampler.draw(phase.mix, rng)
            changed = augment_page(page, phase.augment, self.pools[self.source_of[id(page)]], rng)
            pages.append(changed)
            token_ids += self.encoder.tokenize([changed])
            tokens += sum(map(len, token_ids[-1]))
        return build_batch(pages, token_ids, self.encoder, self.labels, self.config.relation_pairs, phase.augment, rng)

    def final_model(self) -> LayoutLMv2ForKie:
        """The model to ship: averaged weights where the recipe averages, in eval mode."""
        model = build_model(self.config, self.tokenizer.vocab_size, self.labels)
        model.load_state_dict(self.average if self.config.average_decay else self.objective.model.state_dict())
        nn.Module.to(model, self.device)
        return model.eval()

    def evaluate(self, pages: list[Page]) -> dict[str, float]:
        """SER and RE hmean (`lines` protocol, RE with gold entities) on gold pages."""
        from kie_ray.training.progress import score_pages

        return score_pages(self, pages)

    def save(self, folder: Path) -> None:
        """Everything that `load` needs to go on as if nothing had happened."""
        torch.save(
            {
                "step": self.step,
                "objective": self.objective.state_dict(),
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
                "position": self.sampler.position,
            },
            folder / STATE_FILE,
        )
        self.tokenizer.save(folder / "tokenizer")

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        state = torch.load(folder / STATE_FILE, map_location=self.device, weights_only=True)
        self.tokenizer = load_tokenizer(folder / "tokenizer")
        self.encoder.tokenizer = self.tokenizer
        self.objective.load_state_dict(state["objective"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.position = state["position"]
        self.step = state["step"]

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = self.config.average_decay
        if not decay:
            return
        # A young average follows quickly, otherwise the random start would weigh for thousands of steps.
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for name, value in self.objective.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value.to(self.average[name].device), 1 - decay)


def build_model(config: TrainConfig, vocab_size: int, labels: LabelSet) -> LayoutLMv2ForKie:
    """A joint model of the recipe's size with random weights."""
    size: dict[str, Any] = {
        **config.model.model_dump(),
        "vocab_size": vocab_size,
        "max_position_embeddings": config.encoding.max_tokens,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "fast_qkv": False,
        "num_labels": labels.num_labels,
        "num_entity_labels": len(labels.entities),
    }
    return LayoutLMv2ForKie(LayoutLMv2Config(**size))


def _parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices only; vectors (biases, LayerNorm) go without."""
    matrices: list[Tensor] = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    vectors: list[Tensor] = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
