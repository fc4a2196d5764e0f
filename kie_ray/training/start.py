"""What training starts from: random weights, a bundle, or an encoder that `jobs/pretrain.py` or an import has left."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from kie_ray.encoding import LabelSet, PageTokenizer, load_tokenizer, train_tokenizer
from kie_ray.encoding.batching import padded_length
from kie_ray.encoding.page_image import ImageKind
from kie_ray.errors import ConfigError
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import default_bundle_path
from kie_ray.models.bundle_models import load_models
from kie_ray.models.families import model_class
from kie_ray.models.kie_model import KieModel
from kie_ray.models.resnet import ResNet
from kie_ray.models.resnext_fpn import BackboneSize
from kie_ray.training.batches import PAD_TO
from kie_ray.training.config import EncodingConfig, TrainConfig

ENCODER_DIR = "encoder"
"""Folder of the model in what `jobs/pretrain.py` writes; beside it `tokenizer/` and `encoding.json`."""

ENCODING_FILE = "encoding.json"
_GRID = (7, 7)
"""Rows and columns of tokens that LayoutLMv2 makes of a page image."""


@dataclass(frozen=True)
class Start:
    """Tokenizer, preparation of pages and size of the model to be, and the weights that are known already (none: all
    random).

    `family`: the model's `model_type`. `labels`, `relation_labels`: the class lists of the known SER and RE heads.
    """

    tokenizer: PageTokenizer
    encoding: EncodingConfig
    family: str
    model: dict[str, Any]
    weights: dict[str, Tensor]
    labels: tuple[str, ...] = ()
    relation_labels: tuple[str, ...] = ()

    def build(self, config: TrainConfig, labels: LabelSet, *, heads: bool = True) -> KieModel:
        """A model with the heads of `config.tasks`: known weights where they fit, random ones elsewhere.

        Heads are taken over only where their class list is the same, and none without `heads`.
        """
        size = {**self.model, "num_labels": labels.num_labels, "num_entity_labels": len(labels.entities)}
        kind = model_class(_folder(config), self.family)
        configuration: Any = kind.config_class
        model = kind(configuration(**size))
        model.load_state_dict(self._fitting(f"{model.base_model_prefix}.", labels, heads), strict=False)
        if not self.weights and self.model.get("use_visual_backbone"):
            # Frozen as published, the first layers would stay as random as they are.
            encoder: Any = model.base_model
            encoder.visual.backbone.bottom_up.requires_grad_(True)
        if config.model.published_weights:
            with_branch: Any = model.base_model
            with_branch.image_branch.backbone.load_published(config.model.published_weights)
        return model

    def _fitting(self, encoder: str, labels: LabelSet, heads: bool) -> dict[str, Tensor]:
        prefixes = [encoder, "lm_head.", "cls."]
        if heads and self.labels == tuple(labels.names):
            prefixes.append("classifier.")
        if heads and self.relation_labels == tuple(labels.entities):
            prefixes.append("extractor.")
        return {name: value for name, value in self.weights.items() if name.startswith(tuple(prefixes))}


def find_start(config: TrainConfig, texts: Iterable[str]) -> Start:
    """The start that `config.start` names. `texts`: what a new tokenizer is trained on.

    Raises:
        ConfigError: the place is neither a bundle nor a pre-trained encoder, or says another thing of images than its
            model does.
    """
    if not config.start:
        tokenizer = train_tokenizer(texts, config.encoding.vocab_size)
        size = _random_size(config, tokenizer.vocab_size)
        return Start(tokenizer, config.encoding, config.model.family, size, {})
    folder = _folder_of(config)
    return _from_encoder(folder) if (folder / ENCODER_DIR).is_dir() else _from_bundle(folder)


def image_kind(config: TrainConfig) -> ImageKind:
    """How a page becomes the model's image, without loading a model.

    Raises:
        ConfigError: as `find_start`.
    """
    if not config.start:
        return config.encoding.image
    folder = _folder_of(config)
    if (folder / ENCODER_DIR).is_dir():
        return _read_encoding(folder).image
    return Bundle.load(folder, verify=False).info.image


def check_start(config: TrainConfig) -> None:
    """Tell a wrong `config.start`, or what its model cannot do, before any worker starts.

    Raises:
        ConfigError: as `find_start`; layers to distil that the model does not have; text-image alignment or matching
            of a model that sees no image; weights of an image branch that cannot be loaded.
    """
    count = find_start(config, ()).model["num_hidden_layers"] if config.start else config.model.num_hidden_layers
    for layer in config.distillation.layers if config.distillation else ():
        if not 0 <= layer < count:
            raise ConfigError(f"distillation.layers names layer {layer}, the model has layers 0 to {count - 1}")
    if (branch := config.model.image_branch) is not None and branch.weights:
        ResNet(branch.blocks).load_published(branch.weights)
    asks = [phase.name for phase in config.phases if phase.tia_weight or phase.tim_weight]
    if asks and image_kind(config) == "none":
        place = f"start = {config.start}" if config.start else "model"
        raise ConfigError(f"phase {asks[0]!r} has tia_weight or tim_weight, but {place} sees no page image")


def _folder_of(config: TrainConfig) -> Path:
    return default_bundle_path() if config.start == "default" else Path(config.start)


def _from_bundle(folder: Path) -> Start:
    bundle = Bundle.load(folder)
    info = bundle.info
    models = load_models(bundle)
    source = models.ser if models.ser is not None else models.re
    assert source is not None
    weights = dict(source.state_dict())
    if models.re is not None and models.re is not source:
        weights |= {name: value for name, value in models.re.state_dict().items() if name.startswith("extractor.")}
    encoding = EncodingConfig(
        vocab_size=source.config.vocab_size,
        max_tokens=info.max_tokens,
        overlap_tokens=info.overlap_tokens,
        reading_order=info.reading_order,
        clamp_boxes=info.clamp_boxes,
        special_tokens=info.special_tokens,
        image=info.image,
    )
    return Start(
        bundle.load_tokenizer(),
        encoding,
        source.config.model_type,
        _size_of(source),
        weights,
        tuple(bundle.label_set.names) if models.ser is not None else (),
        tuple(info.entity_labels) if models.re is not None else (),
    )


def _from_encoder(folder: Path) -> Start:
    encoding = _read_encoding(folder)
    try:
        file = folder / ENCODER_DIR / "config.json"
        kind = model_class("mlm", json.loads(file.read_text(encoding="utf-8"))["model_type"])
        model = kind.from_pretrained(str(folder / ENCODER_DIR), local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise ConfigError(f"{folder} is no pre-trained encoder: {' '.join(str(error).split())}") from error
    if model.uses_image != (encoding.image != "none"):
        sees = "sees the page's pixels" if model.uses_image else "sees no pixels: none"
        raise ConfigError(f"{folder / ENCODING_FILE}: image is {encoding.image!r}, but the encoder {sees}")
    tokenizer = load_tokenizer(folder / "tokenizer", encoding.special_tokens)
    return Start(tokenizer, encoding, model.config.model_type, _size_of(model), dict(model.state_dict()))


def _read_encoding(folder: Path) -> EncodingConfig:
    file = folder / ENCODING_FILE
    try:
        return EncodingConfig.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{folder} is no pre-trained encoder: {file} cannot be read: {reason}") from error


def _size_of(model: KieModel) -> dict[str, Any]:
    """The fields of a model's configuration without what belongs to its heads."""
    known = type(model.config).__annotations__
    return {name: getattr(model.config, name) for name in known if name != "num_entity_labels"}


def _random_size(config: TrainConfig, vocab_size: int) -> dict[str, Any]:
    """Fields of the configuration that `config.model` asks for."""
    wanted = config.model
    fields = wanted.model_dump(exclude={"family", "visual_backbone", "image_branch"})
    positions = padded_length(config.encoding.max_tokens, PAD_TO)
    fields |= {"vocab_size": vocab_size, "max_position_embeddings": positions, "type_vocab_size": 1}
    if wanted.family == "layoutlm":
        known = model_class("mlm", "layoutlm").config_class.__annotations__
        fields = {name: value for name, value in fields.items() if name in known} | {"add_pooler": False}
        if wanted.image_branch is not None:
            fields["use_image_branch"] = True
            fields["image_branch_blocks"] = wanted.image_branch.blocks
            fields["image_branch_pixel_boxes"] = wanted.image_branch.pixel_boxes
        return fields
    fields |= {"layer_norm_eps": 1e-5, "fast_qkv": False}
    if wanted.visual_backbone is not None:
        size = BackboneSize(**wanted.visual_backbone.model_dump())
        fields["use_visual_backbone"] = True
        fields["has_visual_segment_embedding"] = True
        fields["detectron2_config_args"] = size.to_detectron2()
        fields["image_feature_pool_shape"] = [*_GRID, size.fpn_channels]
        fields["max_position_embeddings"] = max(positions, math.prod(_GRID))
    return fields


def _folder(config: TrainConfig) -> str:
    """As `model_class` names models by their tasks."""
    if "mlm" in config.tasks:
        return "mlm"
    return "kie" if set(config.tasks) == {"ser", "re"} else config.tasks[0]
