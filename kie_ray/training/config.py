"""What a training run is made of; one YAML file in `kie_ray/configs/` per recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from kie_ray.config import Settings


class SourceConfig(Settings):
    """One source of annotated pages."""

    name: str = Field(description="used by `phases[].mix`")
    kind: Literal["paddleocr", "funsd", "synthetic"]
    path: str = Field("", description="label file (paddleocr) or folder with annotations/ and images/ (funsd)")
    images: str = Field("", description="folder of the page images (paddleocr); only their headers are read")
    pages: int = Field(0, ge=0, description="synthetic: how many distinct pages")
    language: Literal["zh", "en", "mixed"] = Field("mixed", description="synthetic: language of the forms")


class ModelConfig(Settings):
    """Size of a VI-LayoutXLM that starts from random weights."""

    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    intermediate_size: int = 1024
    coordinate_size: int = 44
    shape_size: int = 40
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.0
    has_relative_attention_bias: bool = True
    has_spatial_attention_bias: bool = True
    rel_pos_bins: int = 32
    max_rel_pos: int = 128
    rel_2d_pos_bins: int = 64
    max_rel_2d_pos: int = 256
    relation_geometry: int = Field(
        64, ge=0, description="width of the pair-geometry network of the RE head, 0 for none"
    )

    @model_validator(mode="after")
    def _widths_agree(self) -> ModelConfig:
        if 4 * self.coordinate_size + 2 * self.shape_size != self.hidden_size:
            raise ValueError("4 * coordinate_size + 2 * shape_size must equal hidden_size")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError("hidden_size must be a multiple of num_attention_heads")
        return self


class EncodingConfig(Settings):
    """Tokenizer and windows; stored in the bundle."""

    vocab_size: int = Field(8000, gt=100)
    max_tokens: int = Field(512, gt=15)
    overlap_tokens: int = Field(128, ge=0)
    reading_order: Literal["tb-yx", "tb-yx-paddle", "none"] = "tb-yx"


class AugmentConfig(Settings):
    """Random changes of a page; positions are in thousandths of the page size."""

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


class PhaseConfig(Settings):
    """A stretch of training with its own data mix and learning rate."""

    name: str
    steps: int = Field(gt=0)
    mix: dict[str, float] = Field(description="source name -> share of the pages drawn")
    learning_rate: float = 5e-4
    final_learning_rate: float = 0.0
    warmup_steps: int = 50
    tokens_per_batch: int = Field(
        4096, gt=0, description="pages are added to a batch until this many tokens are reached"
    )
    ser_weight: float = 1.0
    re_weight: float = 1.0
    mlm_weight: float = 0.3
    augment: AugmentConfig = AugmentConfig()


class TrainConfig(Settings):
    """`jobs/train.py --config FILE`."""

    name: str = "kie"
    seed: int = 2022
    data_root: str = Field(
        "data", description="relative paths of the sources start here; ~ and $VARIABLES are expanded"
    )
    classes: list[str] = Field(default_factory=lambda: ["OTHER", "QUESTION", "ANSWER", "HEADER"])
    relation_pairs: list[tuple[str, str]] = Field(default_factory=lambda: [("QUESTION", "ANSWER")])
    sources: list[SourceConfig]
    model: ModelConfig = ModelConfig()
    encoding: EncodingConfig = EncodingConfig()
    phases: list[PhaseConfig] = Field(min_length=1)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average_decay: float = Field(0.0, ge=0, lt=1, description="exponential moving average of the weights; 0 for none")
    holdout: float = Field(
        0.0, ge=0, lt=1, description="share of each real source kept out of training to watch progress"
    )
    evaluate_every: int = Field(200, gt=0, description="steps between evaluations on the held-out pages")
    checkpoint_every: int = Field(200, gt=0, description="steps between checkpoints that --resume continues from")
    workers: int = Field(1, gt=0)
    threads: int = Field(0, ge=0, description="torch threads a worker, 0: all cores of the machine")
    use_gpu: bool = False
    weights_dtype: Literal["float32", "float16"] = Field("float16", description="how the bundle stores its weights")
    licence: str = Field("Apache-2.0", description="licence of the weights, for the model card")

    @model_validator(mode="after")
    def _mixes_name_sources(self) -> TrainConfig:
        known = {source.name for source in self.sources}
        for phase in self.phases:
            for name in phase.mix:
                if name not in known:
                    raise ValueError(f"phase {phase.name!r} mixes unknown source {name!r}; sources are {sorted(known)}")
        return self

    def resolve(self, path: str) -> Path:
        """A path of the configuration as an absolute or root-relative `Path`."""
        root = Path(os.path.expandvars(self.data_root)).expanduser()
        return root / Path(os.path.expandvars(path)).expanduser()
