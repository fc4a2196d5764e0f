"""How good the model is right now, on held-out gold pages, and as a bundle's description."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import torch

from kie_ray.annotator import Annotator
from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.metrics import re_scores, ser_scores
from kie_ray.models.bundle_info import BundleInfo
from kie_ray.models.bundle_models import KieModels
from kie_ray.models.kie_model import KieModel
from kie_ray.models.task_models import MaskedLmModel
from kie_ray.records import Page

if TYPE_CHECKING:
    from kie_ray.training.trainer import Trainer


def bundle_info(trainer: Trainer) -> BundleInfo:
    """What `bundle.json` will say about the model that is being trained."""
    config = trainer.config
    return BundleInfo(
        name=config.name,
        tasks=[task for task in ("ser", "re") if task in config.tasks],
        labels=list(trainer.labels.classes),
        entity_labels=list(trainer.labels.entities),
        relation_pairs=config.relation_pairs,
        reading_order=trainer.encoding.reading_order,
        max_tokens=trainer.encoding.max_tokens,
        overlap_tokens=trainer.encoding.overlap_tokens,
        clamp_boxes=trainer.encoding.clamp_boxes,
        special_tokens=trainer.encoding.special_tokens,
        image=trainer.encoding.image,
    )


def annotator_of(trainer: Trainer) -> Annotator:
    """The model as it is now, as the bundle will run it."""
    model = trainer.final_model()
    ser, re = (model if has else None for has in (model.has_ser, model.has_re))
    return Annotator(
        bundle_info(trainer), trainer.encoder, KieModels(ser, re, shared=ser is not None and re is not None)
    )


def score_pages(trainer: Trainer, gold: Sequence[Page]) -> dict[str, float]:
    """`ser_hmean` and `re_hmean` (gold entities) of the `lines` protocol, by the tasks of the run; of pre-training
    `mlm_accuracy`, the share of masked tokens that are guessed right."""
    if "mlm" in trainer.config.tasks:
        return {"mlm_accuracy": round(_mlm_accuracy(trainer, gold), 4)}
    annotator = annotator_of(trainer)
    scores: dict[str, float] = {}
    if annotator.models.ser is not None:
        labelled = deepcopy(list(gold))
        annotator.label(labelled)
        scores["ser_hmean"] = round(ser_scores(gold, labelled).overall.hmean, 4)
    if annotator.models.re is not None:
        linked = deepcopy(list(gold))
        annotator.relate(linked)
        pairs = trainer.config.relation_pairs
        scores["re_hmean"] = round(re_scores(gold, linked, relation_pairs=pairs).hmean, 4)
    return scores


@torch.inference_mode()
def _mlm_accuracy(trainer: Trainer, pages: Sequence[Page]) -> float:
    import random

    from kie_ray.training.batches import build_batch
    from kie_ray.training.config import AugmentConfig
    from kie_ray.training.objective import encode_batch

    model: KieModel = trainer.final_model()
    assert isinstance(model, MaskedLmModel)
    right = asked = 0
    for number, page in enumerate(pages):
        rng = random.Random(f"masks/{number}")  # the same masks at every evaluation
        augment, image = AugmentConfig(token_drop=0.0), trainer.encoding.image
        batch = build_batch([page], trainer.encoder, trainer.labels, [], augment, rng, image)
        hidden, _ = encode_batch(model, batch.to(trainer.device))
        wanted = batch.mlm_targets != IGNORED_LABEL
        guessed = model.lm_head(hidden[wanted.to(trainer.device)]).argmax(-1).cpu()
        right += int((guessed == batch.mlm_targets[wanted]).sum())
        asked += int(wanted.sum())
    return right / max(1, asked)
