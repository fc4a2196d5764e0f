"""The model with its training losses as one module, so that DDP sees a single forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.models.heads import MaskedLmHead, entity_states, relation_loss
from kie_ray.models.kie_model import KieModel
from kie_ray.models.task_models import MaskedLmModel
from kie_ray.training.batches import TrainBatch
from kie_ray.training.config import DistillationConfig, PhaseConfig, TrainConfig
from kie_ray.training.distillation import dml_sum, hidden_l2_sum
from kie_ray.training.losses import LossCounts, binary_loss_sum, listwise_relation_loss_sum, token_loss_sum


@dataclass(slots=True)
class _Pass:
    """Losses by name and what distillation compares: SER logits [N, C], outputs of chosen layers [N, H]."""

    losses: dict[str, Tensor]
    ser_logits: Tensor | None
    layers: list[Tensor]


class KieObjective(nn.Module):
    """SER, RE and masked-token loss on one encoder pass, by the heads that `model` has; in pre-training of a model that
    sees images also text-image alignment and matching, where a phase gives them weight.

    The masked-token head shares the word embeddings; beside SER and RE it is not part of the bundle. The heads of
    alignment and matching are in checkpoints only.
    """

    def __init__(self, model: KieModel, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.re_loss = config.re_loss
        self.lm_head: MaskedLmHead | None = None
        if isinstance(model, MaskedLmModel):
            self.lm_head = model.lm_head
        elif any(phase.mlm_weight for phase in config.phases):
            self.lm_head = tied_lm_head(model)
        self.alignment: AlignmentHeads | None = None
        tia, tim = (any(getattr(phase, name) for phase in config.phases) for name in ("tia_weight", "tim_weight"))
        if tia or tim:
            self.alignment = AlignmentHeads(model.config.hidden_size, tia, tim)

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
        hidden, kept = encode_batch(self.model, batch, layers)
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
        if self.alignment is not None:
            losses |= self.alignment(hidden, batch, counts)
        return _Pass(losses, logits, kept)

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


class AlignmentHeads(nn.Module):
    """LayoutLMv2's classifiers of pre-training with images: is a token's line covered, does the image match the text?

    The paper asks the [CLS] token whether image and text match. Sequences have none here, so the mean over a window's
    text tokens is asked. See `kie_ray.training.alignment`.
    """

    def __init__(self, hidden_size: int, tia: bool, tim: bool) -> None:
        super().__init__()
        self.covered = nn.Linear(hidden_size, 1) if tia else None
        self.matched = nn.Linear(hidden_size, 1) if tim else None

    def forward(self, tokens: Tensor, batch: TrainBatch, counts: LossCounts) -> dict[str, Tensor]:
        """Losses by name. `tokens`: float [N, H], hidden states of the batch's tokens."""
        images = batch.images
        assert images is not None, "check_start refuses these objectives for a model that sees no image"
        losses = {}
        if self.covered is not None:
            logits = self.covered(tokens).squeeze(-1)
            losses["loss_tia"] = binary_loss_sum(logits, images.covered) / counts.alignable
        if self.matched is not None:
            lengths = torch.cat([group.attention_mask.sum(1) for group in batch.groups]).tolist()
            windows = torch.stack([part.mean(0) for part in tokens.split(lengths)])
            pages = torch.cat([group.pages for group in batch.groups])
            losses["loss_tim"] = binary_loss_sum(self.matched(windows).squeeze(-1), images.matched[pages])
            losses["loss_tim"] = losses["loss_tim"] / counts.windows
        return losses


def encode_batch(model: KieModel, batch: TrainBatch, layers: tuple[int, ...] = ()) -> tuple[Tensor, list[Tensor]]:
    """Hidden states of the batch's real tokens, float [N, H], and those of chosen layers (0-based).

    Each page's image is looked at once, however many windows the page has.
    """
    features = None if batch.images is None else model.image_features(batch.images.pixels)
    last: list[Tensor] = []
    chosen: list[list[Tensor]] = [[] for _ in layers]
    for group in batch.groups:
        real = group.attention_mask.bool()
        seen = None if features is None else features[group.pages]
        inputs = (group.input_ids, group.bbox, group.attention_mask, None, seen)
        if layers:
            hidden, kept = model.encode(*inputs, layers=layers)
            for all_of_layer, state in zip(chosen, kept, strict=True):
                all_of_layer.append(state[real])
        else:
            hidden = model.encode(*inputs)
        last.append(hidden[real])
    return torch.cat(last), [torch.cat(states) for states in chosen]


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
    words = model.get_input_embeddings()
    assert isinstance(words, nn.Embedding)
    head.decoder.weight = words.weight
    nn.init.normal_(head.dense.weight, std=model.config.initializer_range)
    nn.init.zeros_(head.decoder.bias)
    return head


def _weighted(losses: dict[str, Tensor], phase: PhaseConfig) -> Tensor:
    weights = {
        "loss_ser": phase.ser_weight,
        "loss_re": phase.re_weight,
        "loss_mlm": phase.mlm_weight,
        "loss_tia": phase.tia_weight,
        "loss_tim": phase.tim_weight,
    }
    return torch.stack([weights[name] * value for name, value in losses.items()]).sum()
