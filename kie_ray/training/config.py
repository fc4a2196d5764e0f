"""What a training run is made of; one YAML file in `kie_ray/configs/` per recipe."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from kie_ray.config import Settings
from kie_ray.encoding.page_image import ImageKind
from kie_ray.training.model_config import ModelConfig

ScheduleName = Literal["linear", "paddle_linear", "constant", "cosine"]
"""Names of `kie_ray.training.schedule.SCHEDULES`."""


class SourceConfig(Settings):
    """One source of annotated pages."""

    name: str = Field(description="used by `phases[].mix`")
    kind: Literal["paddleocr", "label_studio", "funsd", "synthetic", "extracted"]
    path: str = Field(
        "",
        description="label file or XFUND json (paddleocr), json export (label_studio), folder with annotations/ and "
        "images/ (funsd), or OUTPUT of the batch job (extracted: lines as OCR read them, without labels)",
    )
    images: str = Field(
        "", description="folder of the page images (paddleocr, label_studio); pixels are read for models that see them"
    )
    pages: int = Field(
        0, ge=0, description="synthetic: how many distinct pages; others: so many drawn by the seed, 0 all"
    )
    language: Literal["zh", "en", "mixed"] = Field("mixed", description="synthetic: language of the forms")


class EncodingConfig(Settings):
    """Tokenizer, windows and image: how pages are prepared. Stored in the bundle, see `BundleInfo`."""

    vocab_size: int = Field(8000, gt=100)
    max_tokens: int = Field(512, gt=15)
    overlap_tokens: int = Field(128, ge=0)
    reading_order: Literal["tb-yx", "tb-yx-paddle", "none"] = "tb-yx"
    clamp_boxes: bool = True
    special_tokens: Literal["neutralise", "parse"] = "neutralise"
    image: ImageKind = Field("none", description="how a page becomes the model's image: bgr for layoutlmv2")


class AugmentConfig(Settings):
    """Random changes of a page; positions are in thousandths of the page size.

    Of a page whose image the model sees, scale and shift move the image as well; jitter, value_swap, digit_swap and
    crop are left off, because the image would show something else. Regions of masked tokens are masked in the image.
    """

    scale: float = Field(0.12, ge=0, description="page scaled by 1 +- this, each axis")
    shift: float = Field(40, ge=0, description="page moved by up to this")
    jitter: float = Field(4, ge=0, description="each line moved by up to this")
    token_mask: float = Field(0.15, ge=0, le=1, description="share of tokens that the masked-token loss asks for")
    token_drop: float = Field(
        0.05, ge=0, le=1, description="share of lines whose tokens are all masked, without that loss"
    )
    value_swap: float = Field(
        0.3, ge=0, le=1, description="share of answers that get the text of another page's answer"
    )
    digit_swap: float = Field(0.5, ge=0, le=1, description="share of lines whose digits are drawn anew")
    crop: float = Field(0.3, ge=0, le=1, description="share of pages cut to a horizontal strip of their lines")
    line_cover: float = Field(0.0, ge=0, le=1, description="share of lines covered in the image, which tia_weight asks")
    image_swap: float = Field(0.0, ge=0, le=1, description="share of pages with another page's image (tim_weight)")
    image_drop: float = Field(0.0, ge=0, le=1, description="share of pages with a black image (tim_weight)")


class PhaseConfig(Settings):
    """A stretch of training with its own data mix and learning rate.

    Its length is given in steps, or in epochs over the pages of its mix; a batch by its tokens or by its pages. A batch
    is what one optimiser step sees, over all workers and accumulated pieces.
    """

    name: str
    steps: int = Field(0, ge=0, description="optimiser steps; 0: from epochs")
    epochs: float = Field(0.0, ge=0, description="passes over the pages of the mix; needs pages_per_batch")
    mix: dict[str, float] = Field(description="source name -> share of the pages drawn")
    schedule: ScheduleName = "linear"
    learning_rate: float = 5e-4
    final_learning_rate: float = Field(0.0, description="of all schedules but constant")
    warmup_steps: int = Field(50, ge=0)
    warmup_epochs: float = Field(0.0, ge=0, description="in place of warmup_steps")
    tokens_per_batch: int = Field(
        4096, gt=0, description="pages are added to a batch until this many tokens are reached"
    )
    pages_per_batch: int = Field(0, ge=0, description="in place of tokens_per_batch: exactly so many pages")
    ser_weight: float = 1.0
    re_weight: float = 1.0
    mlm_weight: float = 0.3
    tia_weight: float = Field(0.0, ge=0, description="text-image alignment: which lines are covered in the image?")
    tim_weight: float = Field(0.0, ge=0, description="text-image matching: is it the image of this page?")
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="after")
    def _one_length(self) -> PhaseConfig:
        if (self.steps > 0) == (self.epochs > 0):
            raise ValueError(f"phase {self.name!r}: give either steps or epochs")
        if (self.epochs or self.warmup_epochs) and not self.pages_per_batch:
            raise ValueError(f"phase {self.name!r}: epochs need pages_per_batch, they are counted in pages")
        return self

    @model_validator(mode="after")
    def _objectives_have_examples(self) -> PhaseConfig:
        augment = self.augment
        if (self.tia_weight > 0) != (augment.line_cover > 0):
            raise ValueError(f"phase {self.name!r}: tia_weight and augment.line_cover need each other")
        mismatched = augment.image_swap + augment.image_drop
        if (self.tim_weight > 0) != (mismatched > 0) or mismatched > 1:
            raise ValueError(
                f"phase {self.name!r}: tim_weight and augment.image_swap or image_drop need each other (sum <= 1)"
            )
        return self

    def resolved(self, pages: int) -> PhaseConfig:
        """The same phase counted in steps. `pages`: training pages of its mix; an epoch's last batch is rounded up."""
        per_epoch = math.ceil(pages / self.pages_per_batch) if self.pages_per_batch else 0
        steps = self.steps or max(1, round(self.epochs * per_epoch))
        warmup = round(self.warmup_epochs * per_epoch) if self.warmup_epochs else self.warmup_steps
        return self.model_copy(update={"steps": steps, "epochs": 0.0, "warmup_steps": warmup, "warmup_epochs": 0.0})


class DistillationConfig(Settings):
    """UDML (PP-StructureV2, Li et al. 2022): two students of one shape learn from the labels and from each other."""

    dml_weight: float = Field(1.0, ge=0, description="mutual learning of the SER logits; RE has none, as published")
    hidden_weight: float = Field(0.5, ge=0, description="squared difference of the outputs of each layer in `layers`")
    layers: list[int] = Field(
        default=[5, 8], min_length=1, description="encoder layers, 0-based: the 6th and 9th, as published"
    )


class TrainConfig(Settings):
    """`jobs/train.py --config FILE`."""

    name: str = "kie"
    seed: int = 2022
    tasks: list[Literal["ser", "re", "mlm"]] = Field(
        default=["ser", "re"], min_length=1, description="heads on one encoder; mlm alone: pre-training"
    )
    start: str = Field(
        "",
        description="bundle or pre-trained encoder whose tokenizer, windows, size and weights training starts from; "
        "'default': the model of this package; empty: random weights",
    )
    data_root: str = Field(
        "data", description="relative paths of the sources start here; ~ and $VARIABLES are expanded"
    )
    classes: list[str] = Field(default_factory=lambda: ["OTHER", "QUESTION", "ANSWER", "HEADER"])
    relation_pairs: list[tuple[str, str]] = Field(default_factory=lambda: [("QUESTION", "ANSWER")])
    sources: list[SourceConfig]
    validation: list[SourceConfig] = Field(
        default=[], description="pages that progress is measured on and `best` is chosen by; empty: `holdout`"
    )
    model: ModelConfig = ModelConfig()
    encoding: EncodingConfig = EncodingConfig()
    phases: list[PhaseConfig] = Field(min_length=1)
    weight_decay: float = 0.01
    clip_norm: float = Field(1.0, ge=0, description="0: no clipping")
    clip_rule: Literal["global", "tensor"] = Field(
        "global", description="norm over all gradients, or PaddleOCR's: each tensor by its own"
    )
    re_loss: Literal["listwise", "published"] = Field(
        "listwise", description="kie_ray's loss, which ranks the questions of each answer, or LayoutXLM's cross-entropy"
    )
    distillation: DistillationConfig | None = None
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the forward pass (autocast); float16 scales the loss. Weights stay float32"
    )
    micro_batches: int = Field(
        1,
        gt=0,
        description="pieces of a batch, each drawn with its own seed and shared out over the workers; a worker with "
        "several accumulates their gradients. The result depends on this number and not on the workers",
    )
    average_decay: float = Field(0.0, ge=0, lt=1, description="exponential moving average of the weights; 0 for none")
    holdout: float = Field(
        0.0, ge=0, lt=1, description="share of each real source kept out of training to watch progress"
    )
    evaluate_every: int = Field(200, gt=0, description="steps between evaluations on the held-out pages")
    log_every: int = Field(20, gt=0, description="steps between two lines of progress")
    checkpoint_seconds: float = Field(
        300.0, ge=0, description="seconds between checkpoints that --resume continues from; 0: after every step"
    )
    keep: Literal["last", "best"] = Field(
        "last", description="which weights the bundle gets: those of the last step, or of the best evaluation"
    )
    workers: int = Field(1, gt=0, description="processes, each with its own copy of the model (DDP)")
    max_failures: int = Field(3, ge=0, description="times that lost workers are replaced; they go on from `latest`")
    threads: int = Field(0, ge=0, description="torch threads a worker, 0: all cores of the machine")
    use_gpu: bool = False
    weights_dtype: Literal["float32", "float16"] = Field("float16", description="how the bundle stores its weights")
    licence: str = Field("Apache-2.0", description="licence of the weights, for the model card")

    @model_validator(mode="after")
    def _parts_agree(self) -> TrainConfig:
        known = {source.name for source in self.sources}
        if "mlm" in self.tasks and len(self.tasks) > 1:
            raise ValueError("tasks: mlm stands alone (pre-training); beside ser and re it is phases[].mlm_weight")
        if self.micro_batches % self.workers:
            raise ValueError(f"micro_batches = {self.micro_batches} cannot be shared evenly by {self.workers} workers")
        if self.distillation is not None and "mlm" in self.tasks:
            raise ValueError("distillation is for ser and re")
        if not self.start and self.model.sees_images != (self.encoding.image != "none"):
            raise ValueError(
                f"encoding.image is {self.encoding.image!r}: it must say how a page becomes the image of "
                "model.visual_backbone (bgr) or model.image_branch (imagenet), and none without them"
            )
        if self.start and self.model.published_weights:
            raise ValueError(f"model.image_branch.weights is for random starts: start = {self.start} has its own")
        if "mlm" not in self.tasks and any(phase.tia_weight or phase.tim_weight for phase in self.phases):
            raise ValueError("tia_weight and tim_weight are of pre-training, tasks: [mlm]")
        if self.keep == "best" and not (self.validation or self.holdout):
            raise ValueError("keep: best needs pages to measure on: give validation or holdout")
        for phase in self.phases:
            for name in phase.mix:
                if name not in known:
                    raise ValueError(f"phase {phase.name!r} mixes unknown source {name!r}; sources are {sorted(known)}")
        return self

    def resolve(self, path: str) -> Path:
        """A path of a source, below `data_root` unless it is absolute."""
        return _expanded(self.data_root) / _expanded(path)

    def absolute(self) -> TrainConfig:
        """The same recipe for processes that start in another folder."""
        start = self.start if self.start in ("", "default") else str(_expanded(self.start).absolute())
        update: dict[str, Any] = {"data_root": str(_expanded(self.data_root).absolute()), "start": start}
        branch = self.model.image_branch
        if branch is not None and branch.weights:
            branch = branch.model_copy(update={"weights": str(_expanded(branch.weights).absolute())})
            update["model"] = self.model.model_copy(update={"image_branch": branch})
        return self.model_copy(update=update)


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()
