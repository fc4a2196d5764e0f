"""How good the model is right now, on held-out gold pages, and as a bundle's description."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

from kie_ray.annotator import Annotator
from kie_ray.metrics import re_scores, ser_scores
from kie_ray.models.bundle import BundleInfo, KieModels
from kie_ray.records import Page

if TYPE_CHECKING:
    from kie_ray.training.trainer import Trainer


def bundle_info(trainer: Trainer) -> BundleInfo:
    """What `bundle.json` will say about the model that is being trained."""
    config = trainer.config
    return BundleInfo(
        name=config.name,
        tasks=["ser", "re"],
        labels=list(trainer.labels.classes),
        entity_labels=list(trainer.labels.entities),
        relation_pairs=config.relation_pairs,
        reading_order=config.encoding.reading_order,
        max_tokens=config.encoding.max_tokens,
        overlap_tokens=config.encoding.overlap_tokens,
    )


def score_pages(trainer: Trainer, gold: Sequence[Page]) -> dict[str, float]:
    """`ser_hmean` and `re_hmean` (gold entities) of the `lines` protocol."""
    model = trainer.final_model()
    annotator = Annotator(bundle_info(trainer), trainer.encoder, KieModels(model, model, shared=True))
    labelled, linked = deepcopy(list(gold)), deepcopy(list(gold))
    annotator.label(labelled)
    annotator.relate(linked)
    pairs = trainer.config.relation_pairs
    return {
        "ser_hmean": round(ser_scores(gold, labelled).overall.hmean, 4),
        "re_hmean": round(re_scores(gold, linked, relation_pairs=pairs).hmean, 4),
    }
