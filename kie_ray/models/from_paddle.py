"""Import of models trained with PaddleOCR (PaddleNLP's LayoutXLM and LayoutLMv2): configuration and weights.

A saved directory holds `model_state.pdparams` with `model_config.json` (PaddleNLP up to 2.5) or `config.json` (from
2.6).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kie_ray.errors import ConfigError
from kie_ray.models.encoder import LayoutLMv2Config, LayoutLMv2Model, LayoutLMv2PreTrainedModel
from kie_ray.models.layoutlmv2 import LayoutLMv2ForRe, LayoutLMv2ForSer
from kie_ray.models.pdparams import read_pdparams

WEIGHTS_FILE = "model_state.pdparams"
LEGACY_CONFIG_FILE = "model_config.json"
CONFIG_FILE = "config.json"

_HEADS: dict[str, type[LayoutLMv2PreTrainedModel]] = {
    "ForTokenClassification": LayoutLMv2ForSer,
    "ForRelationExtraction": LayoutLMv2ForRe,
    "Model": LayoutLMv2Model,
}
_FAMILIES = ("LayoutXLM", "LayoutLMv2")

_SHARED_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "max_2d_position_embeddings": 1024,
    "max_rel_pos": 128,
    "rel_pos_bins": 32,
    "max_rel_2d_pos": 256,
    "rel_2d_pos_bins": 64,
    "coordinate_size": 128,
    "shape_size": 128,
    "image_feature_pool_shape": [7, 7, 256],
    "use_visual_backbone": True,
}
_FAMILY_DEFAULTS: dict[str, dict[str, Any]] = {
    "LayoutXLM": {
        "vocab_size": 250002,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
        "fast_qkv": False,
        "has_relative_attention_bias": False,
        "has_spatial_attention_bias": False,
        "has_visual_segment_embedding": True,
    },
    "LayoutLMv2": {
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "fast_qkv": True,
        "has_relative_attention_bias": True,
        "has_spatial_attention_bias": True,
        "has_visual_segment_embedding": False,
    },
}

_LEFT_OVER = re.compile(
    r"embeddings\.position_ids|visual\.pixel_(mean|std)|visual_proj\.(weight|bias)"
    r"|visual_LayerNorm\.(weight|bias)|visual_segment_embedding"
)
"""What checkpoints without visual backbone still carry: a constant, and parts of the always masked visual positions."""


@dataclass(frozen=True)
class PaddleImport:
    """A converted model, in eval mode, and the names of tensors of the file that it has no use for."""

    model: LayoutLMv2PreTrainedModel
    skipped: list[str]


def load_paddle(directory: str | Path) -> PaddleImport:
    """Load a saved PaddleNLP directory: SER, RE or the bare encoder, as its configuration says.

    Raises:
        ConfigError: files are missing or unreadable, the architecture is unknown, or tensors do not fit it.
    """
    kind, config = read_paddle_config(directory)
    return from_arrays(read_pdparams(Path(directory) / WEIGHTS_FILE), config, kind)


def read_paddle_config(directory: str | Path) -> tuple[type[LayoutLMv2PreTrainedModel], LayoutLMv2Config]:
    """The model class and configuration of a saved directory; missing fields take PaddleNLP's defaults.

    The number of labels is not decided here: `from_arrays` reads it from the classifier's weights.
    """
    folder = Path(directory)
    newer, legacy = folder / CONFIG_FILE, folder / LEGACY_CONFIG_FILE
    path = newer if newer.is_file() else legacy
    if not path.is_file():
        raise ConfigError(f"{folder} holds neither {CONFIG_FILE} nor {LEGACY_CONFIG_FILE}: not a saved PaddleNLP model")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        name = tree["architectures"][0] if path == newer else tree["init_class"]
        fields = tree if path == newer else _flatten_legacy(tree)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigError(f"{path} is not a PaddleNLP configuration: {error!r}") from error
    return model_kind(str(name), path), make_config(fields, str(name))


def model_kind(architecture: str, origin: str | Path = "configuration") -> type[LayoutLMv2PreTrainedModel]:
    """Our class for a PaddleNLP architecture name such as LayoutXLMForTokenClassification."""
    for family in _FAMILIES:
        kind = _HEADS.get(architecture.removeprefix(family)) if architecture.startswith(family) else None
        if kind is not None:
            return kind
    known = ", ".join(family + head for family in _FAMILIES for head in _HEADS)
    raise ConfigError(f"{origin}: architecture {architecture!r} cannot be imported, it must be one of {known}")


def make_config(fields: Mapping[str, Any], architecture: str) -> LayoutLMv2Config:
    """PaddleNLP's configuration fields as ours. Fields that have no meaning for the network are left behind."""
    family = next(name for name in _FAMILIES if architecture.startswith(name))
    defaults = _SHARED_DEFAULTS | _FAMILY_DEFAULTS[family]
    return LayoutLMv2Config(**{name: fields.get(name, default) for name, default in defaults.items()})


def _flatten_legacy(tree: dict[str, Any]) -> dict[str, Any]:
    """Join the nested `init_args` of PaddleNLP 2.5 and older; the innermost mapping describes the encoder."""
    inner = [item for item in tree.get("init_args", ()) if isinstance(item, dict)]
    fields = dict(tree)
    for item in inner:
        fields.update(_flatten_legacy(item))
    return fields


def from_arrays(
    arrays: Mapping[str, NDArray[Any]], config: LayoutLMv2Config, kind: type[LayoutLMv2PreTrainedModel]
) -> PaddleImport:
    """Build a model from arrays in Paddle's layout.

    A linear layer's weight is transposed ([in, out] there). Row 0 of the word embeddings becomes zero: Paddle gives
    zeros for id 0 whatever the row holds. Every tensor must find its place: one that is missing, unknown or of another
    shape is an error; only the known left-overs of the visual branch are skipped, and listed. `config` is not changed;
    the numbers of labels are taken from the arrays.

    Raises:
        ConfigError: see above, or `config.use_visual_backbone`.
    """
    config = copy.deepcopy(config)
    config.add_pooler = any(name.endswith("pooler.dense.weight") for name in arrays)
    if "classifier.bias" in arrays:
        config.num_labels = int(arrays["classifier.bias"].shape[0])
    if "extractor.entity_emb.weight" in arrays:
        config.num_entity_labels = int(arrays["extractor.entity_emb.weight"].shape[0])
    model = kind(config)
    source = {_our_name(name, model): (name, value) for name, value in arrays.items()}
    transposed = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    state: dict[str, torch.Tensor] = {}
    for name, wanted in model.state_dict().items():
        if name not in source:
            raise ConfigError(f"the checkpoint has no tensor for {name} {list(wanted.shape)}")
        original, value = source.pop(name)
        value = value.T if name in transposed else value
        if value.shape != tuple(wanted.shape):
            raise ConfigError(f"tensor {original} gives {name} {list(value.shape)}, expected {list(wanted.shape)}")
        state[name] = torch.from_numpy(np.array(value, dtype=np.float32))
    skipped = sorted(original for name, (original, _) in source.items() if _is_left_over(name))
    unknown = sorted(original for name, (original, _) in source.items() if not _is_left_over(name))
    if unknown:
        raise ConfigError(f"{len(unknown)} tensors have no place in {kind.__name__}: {', '.join(unknown[:8])}")
    next(value for name, value in state.items() if name.endswith("word_embeddings.weight"))[0] = 0.0
    model.load_state_dict(state)
    return PaddleImport(model.eval(), skipped)


def _our_name(name: str, model: nn.Module) -> str:
    """Paddle's `layoutxlm.x` (in bare pretrained files just `x`) is our `layoutlmv2.x`, heads keep their names."""
    bare = re.sub(r"^(layoutxlm|layoutlmv2)\.", "", name)
    if isinstance(model, LayoutLMv2Model):
        return bare
    if bare == name and name.split(".", 1)[0] in ("classifier", "extractor"):
        return name
    return f"layoutlmv2.{bare}"


def _is_left_over(name: str) -> bool:
    return _LEFT_OVER.fullmatch(name.removeprefix("layoutlmv2.")) is not None
