"""The joint model with its training losses as one module, so that DDP sees a single forward pass."""

from __future__ import annotations

from torch import Tensor, nn

from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.models.heads import entity_states
from kie_ray.models.layoutlmv2 import LayoutLMv2ForKie, MaskedLmHead
from kie_ray.training.batches import TrainBatch
from kie_ray.training.config import PhaseConfig
from kie_ray.training.losses import relation_loss, token_loss


class KieObjective(nn.Module):
    """SER + RE + masked-token loss on one encoder pass.

    The masked-token head shares the word embeddings and is not part of the bundle.
    """

    def __init__(self, model: LayoutLMv2ForKie) -> None:
        super().__init__()
        self.model = model
        self.lm_head = MaskedLmHead(model.config)
        self.lm_head.decoder.weight = model.layoutlmv2.embeddings.word_embeddings.weight
        nn.init.normal_(self.lm_head.dense.weight, std=model.config.initializer_range)
        nn.init.zeros_(self.lm_head.decoder.bias)

    def forward(self, batch: TrainBatch, phase: PhaseConfig) -> dict[str, Tensor]:
        """Losses by name, each a float []; `loss` is their weighted sum."""
        hidden = self.model.encode(batch.input_ids, batch.bbox, batch.attention_mask)
        losses: dict[str, Tensor] = {}
        losses["ser"] = token_loss(self.model.ser_logits(hidden), batch.ser_targets)
        states = entity_states(hidden, batch.occurrences, len(batch.entity_labels))
        pair_logits = self.model.re_logits(
            states, batch.entity_labels, batch.pairs, boxes=batch.entity_boxes, order=batch.entity_order
        )
        losses["re"] = relation_loss(pair_logits, batch.pair_targets, batch.pair_tails, batch.num_tails)
        asked = batch.mlm_targets != IGNORED_LABEL
        losses["mlm"] = token_loss(self.lm_head(hidden[asked]), batch.mlm_targets[asked])
        losses["loss"] = (
            phase.ser_weight * losses["ser"] + phase.re_weight * losses["re"] + phase.mlm_weight * losses["mlm"]
        )
        return losses
