"""The model with its training losses as one module, so that DDP sees a single forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.models.heads import entity_states, relation_loss
from kie_ray.models.layoutlmv2 import KieModel, LayoutLMv2ForMaskedLm, MaskedLmHead
from kie_ray.training.batches import TrainBatch
from kie_ray.training.config import DistillationConfig, PhaseConfig, TrainConfig
from kie_ray.training.distillation import dml_sum, hidden_l2_sum
from kie_ray.training.losses import LossCounts, listwise_relation_loss_sum, token_loss_sum


@dataclass(slots=True)
class _Pass:
    """Losses by name and what distillation compares: SER logits [N, C], outputs of chosen layers [N, H]."""

    losses: dict[str, Tensor]
    ser_logits: Tensor | None
    layers: list[Tensor]


class KieObjective(nn.Module):
    """SER, RE and masked-token loss on one encoder pass, by the heads that `model` has.

    The masked-token head shares the word embeddings; beside SER and RE it is not part of the bundle.
    """

    def __init__(self, model: KieModel, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.re_loss = config.re_loss
        self.lm_head: MaskedLmHead | None = None
        if isinstance(model, LayoutLMv2ForMaskedLm):
            self.lm_head = model.lm_head
        elif any(phase.mlm_weight for phase in config.phases):
            self.lm_head = tied_lm_head(model)
        if model.layoutlmv2.pooler is not None:  # no loss reaches it, and DDP waits for gradients that never come
            model.layoutlmv2.pooler.requires_grad_(False)

    @property
    def trained_model(self) -> KieModel:
        """The model to ship."""
        return self.model

    def forward(self, batch: TrainBatch, phase: PhaseConfig, counts: LossCounts) -> dict[str, Tensor]:
        """Losses by name, each a float []; `loss` is their weighted sum. Pieces of one batch add up."""
        losses = self.run(batch, counts, phase).losses
        losses["loss"] = _weighted(losses, phase)
        return losses

    def run(self, batch: TrainBatch, counts: LossCounts, phase: PhaseConfig, layers: tuple[int, ...] = ()) -> _Pass:
        """One encoder pass and the losses of every head."""
        hidden, kept = self._encode(batch, layers)
        losses: dict[str, Tensor] = {}
        logits: Tensor | None = None
        if self.model.has_ser:
            logits = self.model.ser_logits(hidden)
            losses["loss_ser"] = token_loss_sum(logits, batch.ser_targets) / counts.labelled
        if self.model.has_re:
            losses["loss_re"] = self._relation_loss(hidden, batch, counts)
        if self.lm_head is not None:
            asked = batch.mlm_targets != IGNORED_LABEL
            losses["loss_mlm"] = token_loss_sum(self.lm_head(hidden[asked]), batch.mlm_targets[asked]) / counts.masked
        return _Pass(losses, logits, kept)

    def _encode(self, batch: TrainBatch, layers: tuple[int, ...]) -> tuple[Tensor, list[Tensor]]:
        """Hidden states of the batch's real tokens, float [N, H], and those of the chosen layers."""
        last: list[Tensor] = []
        chosen: list[list[Tensor]] = [[] for _ in layers]
        for group in batch.groups:
            real = group.attention_mask.bool()
            if layers:
                hidden, kept = self.model.encode(group.input_ids, group.bbox, group.attention_mask, layers=layers)
                for all_of_layer, state in zip(chosen, kept, strict=True):
                    all_of_layer.append(state[real])
            else:
                hidden = self.model.encode(group.input_ids, group.bbox, group.attention_mask)
            last.append(hidden[real])
        return torch.cat(last), [torch.cat(states) for states in chosen]

    def _relation_loss(self, hidden: Tensor, batch: TrainBatch, counts: LossCounts) -> Tensor:
        states = entity_states(hidden, batch.occurrences, len(batch.entity_labels))
        logits = self.model.re_logits(
            states, batch.entity_labels, batch.pairs, boxes=batch.entity_boxes, order=batch.entity_order
        )
        if self.re_loss == "published":
            return relation_loss(logits, batch.pair_targets, batch.pair_pages)
        return (
            listwise_relation_loss_sum(logits, batch.pair_targets, batch.pair_tails, batch.num_tails) / counts.answers
        )


class UdmlObjective(nn.Module):
    """Unified deep mutual learning (PP-StructureV2): two models learn from the labels and from each other.

    Both are trained; they differ by the random start of their heads and by dropout. `first` is the one to ship.
    """

    def __init__(self, first: KieObjective, second: KieObjective, config: DistillationConfig) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.config = config

    @property
    def trained_model(self) -> KieModel:
        """The model to ship."""
        return self.first.trained_model

    def forward(self, batch: TrainBatch, phase: PhaseConfig, counts: LossCounts) -> dict[str, Tensor]:
        """Losses by name: both models' own ones added up, `loss_dml` and `loss_hidden`; `loss` is the weighted sum."""
        layers = tuple(self.config.layers)
        one, two = (objective.run(batch, counts, phase, layers) for objective in (self.first, self.second))
        losses = {name: one.losses[name] + two.losses[name] for name in one.losses}
        losses["loss"] = _weighted(losses, phase)
        active = torch.ones_like(batch.ser_targets, dtype=torch.bool)
        if one.ser_logits is not None and two.ser_logits is not None:
            losses["loss_dml"] = dml_sum(one.ser_logits, two.ser_logits, active).total / counts.tokens
            losses["loss"] = losses["loss"] + self.config.dml_weight * losses["loss_dml"]
        width = self.first.model.config.hidden_size
        distances = [hidden_l2_sum(a, b, active).total for a, b in zip(one.layers, two.layers, strict=True)]
        losses["loss_hidden"] = torch.stack(distances).sum() / (counts.tokens * width)
        losses["loss"] = losses["loss"] + self.config.hidden_weight * losses["loss_hidden"]
        return losses


def tied_lm_head(model: KieModel) -> MaskedLmHead:
    """A masked-token head with random weights whose decoder is the model's word embedding."""
    head = MaskedLmHead(model.config)
    head.decoder.weight = model.layoutlmv2.embeddings.word_embeddings.weight
    nn.init.normal_(head.dense.weight, std=model.config.initializer_range)
    nn.init.zeros_(head.decoder.bias)
    return head


def _weighted(losses: dict[str, Tensor], phase: PhaseConfig) -> Tensor:
    weights = {"loss_ser": phase.ser_weight, "loss_re": phase.re_weight, "loss_mlm": phase.mlm_weight}
    return torch.stack([weights[name] * value for name, value in losses.items()]).sum()
