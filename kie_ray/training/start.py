"""What training starts from: random weights, a bundle, or an encoder that `jobs/pretrain.py` has left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from kie_ray.encoding import LabelSet, PageTokenizer, load_tokenizer, train_tokenizer
from kie_ray.errors import ConfigError
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import default_bundle_path
from kie_ray.models.bundle_models import load_models
from kie_ray.models.layoutlmv2 import (
    KieModel,
    LayoutLMv2Config,
    LayoutLMv2ForKie,
    LayoutLMv2ForMaskedLm,
    LayoutLMv2ForRe,
    LayoutLMv2ForSer,
)
from kie_ray.training.config import EncodingConfig, TrainConfig

ENCODER_DIR = "encoder"
"""Folder of the model in what `jobs/pretrain.py` writes; beside it `tokenizer/` and `encoding.json`."""

ENCODING_FILE = "encoding.json"
_ENCODER_PREFIX = "layoutlmv2."


@dataclass(frozen=True)
class Start:
    """Tokenizer, windows and size of the model to be, and the weights that are known already (none: all random).

    `labels`, `relation_labels`: the class lists that the known SER and RE heads belong to.
    """

    tokenizer: PageTokenizer
    encoding: EncodingConfig
    model: dict[str, Any]
    weights: dict[str, Tensor]
    labels: tuple[str, ...] = ()
    relation_labels: tuple[str, ...] = ()

    def build(self, config: TrainConfig, labels: LabelSet, *, heads: bool = True) -> KieModel:
        """A model with the heads of `config.tasks`: known weights where they fit, random ones elsewhere.

        Heads are taken over only where their class list is the same, and none without `heads`.
        """
        size = {**self.model, "num_labels": labels.num_labels, "num_entity_labels": len(labels.entities)}
        model = _model_class(config)(LayoutLMv2Config(**size))
        model.load_state_dict(self._fitting(labels, heads), strict=False)
        return model

    def _fitting(self, labels: LabelSet, heads: bool) -> dict[str, Tensor]:
        prefixes = [_ENCODER_PREFIX, "lm_head."]
        if heads and self.labels == tuple(labels.names):
            prefixes.append("classifier.")
        if heads and self.relation_labels == tuple(labels.entities):
            prefixes.append("extractor.")
        return {name: value for name, value in self.weights.items() if name.startswith(tuple(prefixes))}


def find_start(config: TrainConfig, texts: Iterable[str]) -> Start:
    """The start that `config.start` names. `texts`: what a new tokenizer is trained on.

    Raises:
        ConfigError: the place is neither a bundle nor a pre-trained encoder.
    """
    if not config.start:
        tokenizer = train_tokenizer(texts, config.encoding.vocab_size)
        return Start(tokenizer, config.encoding, _random_size(config, tokenizer.vocab_size), {})
    folder = default_bundle_path() if config.start == "default" else Path(config.start)
    if (folder / ENCODER_DIR).is_dir():
        return _from_encoder(folder)
    return _from_bundle(folder)


def check_start(config: TrainConfig) -> None:
    """Tell a wrong `config.start`, or layers to distil that the model does not have, before any worker starts.

    Raises:
        ConfigError: as `find_start`, and for a layer.
    """
    count = find_start(config, ()).model["num_hidden_layers"] if config.start else config.model.num_hidden_layers
    for layer in config.distillation.layers if config.distillation else ():
        if not 0 <= layer < count:
            raise ConfigError(f"distillation.layers names layer {layer}, the model has layers 0 to {count - 1}")


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
    )
    return Start(
        bundle.load_tokenizer(),
        encoding,
        _size_of(source),
        weights,
        tuple(bundle.label_set.names) if models.ser is not None else (),
        tuple(info.entity_labels) if models.re is not None else (),
    )


def _from_encoder(folder: Path) -> Start:
    try:
        encoding = EncodingConfig.model_validate_json((folder / ENCODING_FILE).read_text(encoding="utf-8"))
        model = LayoutLMv2ForMaskedLm.from_pretrained(
            str(folder / ENCODER_DIR), local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} is no pre-trained encoder: {' '.join(str(error).split())}") from error
    return Start(load_tokenizer(folder / "tokenizer"), encoding, _size_of(model), dict(model.state_dict()))


def _size_of(model: KieModel) -> dict[str, Any]:
    """The fields of a model's configuration without what belongs to its heads."""
    known = LayoutLMv2Config.__annotations__
    return {name: getattr(model.config, name) for name in known if name != "num_entity_labels"}


def _random_size(config: TrainConfig, vocab_size: int) -> dict[str, Any]:
    return {
        **config.model.model_dump(),
        "vocab_size": vocab_size,
        "max_position_embeddings": config.encoding.max_tokens,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "fast_qkv": False,
    }


def _model_class(config: TrainConfig) -> type[KieModel]:
    if "mlm" in config.tasks:
        return LayoutLMv2ForMaskedLm
    if set(config.tasks) == {"ser", "re"}:
        return LayoutLMv2ForKie
    return LayoutLMv2ForSer if "ser" in config.tasks else LayoutLMv2ForRe
