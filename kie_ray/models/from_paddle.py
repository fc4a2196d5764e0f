"""Import of models trained with PaddleOCR (PaddleNLP's LayoutXLM, LayoutLMv2, LayoutLM): configuration and weights.

A saved directory holds `model_state.pdparams` with `model_config.json` (PaddleNLP up to 2.5) or `config.json` (from
2.6). PaddleNLP's published encoders come without either; their sizes are the defaults here.
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
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.configuration_utils import PreTrainedConfig

from kie_ray.errors import ConfigError
from kie_ray.models.checkpoint_tensors import fit_tensors, head_sizes
from kie_ray.models.encoder import LayoutLMv2Config, LayoutLMv2Model
from kie_ray.models.families import model_class
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMModel
from kie_ray.models.layoutlm_paddle_names import AS_IN_TORCH, paddle_name
from kie_ray.models.pdparams import read_pdparams
from kie_ray.models.resnext_fpn import BackboneSize

WEIGHTS_FILE = "model_state.pdparams"
LEGACY_CONFIG_FILE = "model_config.json"
CONFIG_FILE = "config.json"

_TASKS = {
    "ForTokenClassification": "ser",
    "ForRelationExtraction": "re",
    "ForMaskedLM": "mlm",
    "ForPretraining": "",
    "Model": "",
}
"""How a PaddleNLP class name ends, and our task (none: the bare encoder)."""

_FAMILIES = {"LayoutXLM": "layoutlmv2", "LayoutLMv2": "layoutlmv2", "LayoutLM": "layoutlm"}
"""How it begins, and our family."""

_ABSENT = {"LayoutLMForRelationExtraction", "LayoutLMForPretraining", "LayoutLMv2ForMaskedLM", "LayoutXLMForMaskedLM"}
"""Families and tasks that PaddleNLP does not join."""

_ARCHITECTURE = re.compile(f"({'|'.join(_FAMILIES)})({'|'.join(_TASKS)})")
_ENCODERS: dict[str, type[PreTrainedModel]] = {"layoutlmv2": LayoutLMv2Model, "layoutlm": LayoutLMModel}
_CONFIGS: dict[str, type[PreTrainedConfig]] = {"layoutlmv2": LayoutLMv2Config, "layoutlm": LayoutLMConfig}
_PREFIX = r"^(layoutxlm|layoutlmv2|layoutlm)\."
_VISUAL = "visual.backbone."

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
}
_VERSION_2_DEFAULTS: dict[str, Any] = {
    "max_rel_pos": 128,
    "rel_pos_bins": 32,
    "max_rel_2d_pos": 256,
    "rel_2d_pos_bins": 64,
    "coordinate_size": 128,
    "shape_size": 128,
    "image_feature_pool_shape": [7, 7, 256],
    "use_visual_backbone": True,
}
_BERT_DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
_FAMILY_DEFAULTS: dict[str, dict[str, Any]] = {
    "LayoutXLM": {
        **_VERSION_2_DEFAULTS,
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
        **_VERSION_2_DEFAULTS,
        **_BERT_DEFAULTS,
        "layer_norm_eps": 1e-12,
        "fast_qkv": True,
        "has_relative_attention_bias": True,
        "has_spatial_attention_bias": True,
        "has_visual_segment_embedding": False,
    },
    "LayoutLM": _BERT_DEFAULTS,
}


@dataclass(frozen=True)
class PaddleImport:
    """A converted model, in eval mode.

    `used`: how many tensors of the file it uses; `skipped`: names of those that it has no use for.
    """

    model: PreTrainedModel
    used: int
    skipped: list[str]


def load_paddle(directory: str | Path) -> PaddleImport:
    """Load a saved PaddleNLP directory: SER, RE, masked tokens or the bare encoder, as its configuration says.

    Without configuration the tensors tell the family, and PaddleNLP's base size is taken; weights of another size do
    not fit it.

    Raises:
        ConfigError: files are missing or unreadable, the architecture is unknown, or tensors do not fit it.
    """
    folder = Path(directory)
    if _config_file(folder) is None and (folder / WEIGHTS_FILE).is_file():
        arrays = read_pdparams(folder / WEIGHTS_FILE)
        architecture, fields = _published(arrays)
        return from_arrays(arrays, make_config(fields, architecture), model_kind(architecture, folder))
    kind, config = read_paddle_config(folder)
    return from_arrays(read_pdparams(folder / WEIGHTS_FILE), config, kind)


def read_paddle_config(directory: str | Path) -> tuple[type[PreTrainedModel], PreTrainedConfig]:
    """The model class and configuration of a saved directory; missing fields take PaddleNLP's defaults.

    What the weights tell is not decided here (numbers of labels, sizes of the visual backbone): see `from_arrays`.
    """
    folder = Path(directory)
    path = _config_file(folder)
    if path is None:
        message = f"{folder} holds neither {CONFIG_FILE} nor {LEGACY_CONFIG_FILE}: not a saved PaddleNLP model"
        inner = [item.parent for item in sorted(folder.glob(f"*/{WEIGHTS_FILE}"))] if folder.is_dir() else []
        raise ConfigError(message + (f"; {inner[0]} looks like one" if inner else ""))
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        newer = path.name == CONFIG_FILE
        name = tree["architectures"][0] if newer else tree["init_class"]
        fields = tree if newer else _flatten_legacy(tree)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigError(f"{path} is not a PaddleNLP configuration: {error!r}") from error
    return model_kind(str(name), path), make_config(fields, str(name))


def model_kind(architecture: str, origin: str | Path = "configuration") -> type[PreTrainedModel]:
    """Our class for a PaddleNLP architecture name such as LayoutXLMForTokenClassification.

    Raises:
        ConfigError: the name is unknown; `origin` is where it stands.
    """
    family, task = _parts(architecture, origin)
    return model_class(task, family) if task else _ENCODERS[family]


def make_config(fields: Mapping[str, Any], architecture: str) -> Any:
    """PaddleNLP's configuration fields as ours. Fields that have no meaning for the network are left behind."""
    family, _ = _parts(architecture)
    defaults = _SHARED_DEFAULTS | _FAMILY_DEFAULTS[_ARCHITECTURE.fullmatch(architecture)[1]]  # type: ignore[index]
    values = {name: fields.get(name, default) for name, default in defaults.items()}
    if family == "layoutlm":
        values["layer_norm_eps"] = 1e-12  # PaddleNLP sets it whatever the configuration says
    return _CONFIGS[family](**values)


def _parts(architecture: str, origin: str | Path = "configuration") -> tuple[str, str]:
    """Our family and task of a PaddleNLP class name."""
    match = _ARCHITECTURE.fullmatch(architecture)
    if match is None or architecture in _ABSENT:
        names = (family + task for family in _FAMILIES for task in _TASKS)
        known = ", ".join(name for name in names if name not in _ABSENT)
        raise ConfigError(f"{origin}: architecture {architecture!r} cannot be imported, it must be one of {known}")
    return _FAMILIES[match[1]], _TASKS[match[2]]


def _config_file(folder: Path) -> Path | None:
    return next((folder / name for name in (CONFIG_FILE, LEGACY_CONFIG_FILE) if (folder / name).is_file()), None)


def _published(arrays: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Class name and fields of the pre-trained model that a published file holds, by names that only one has."""
    bare = {re.sub(_PREFIX, "", name) for name in arrays}
    if any(name.startswith("encoder.layers.") for name in bare):
        return "LayoutLMForMaskedLM" if "cls.predictions.decoder_bias" in bare else "LayoutLMModel", {}
    fields = {"use_visual_backbone": any(name.startswith(_VISUAL) for name in bare)}
    return "LayoutXLMModel" if "visual_segment_embedding" in bare else "LayoutLMv2Model", fields


def _flatten_legacy(tree: dict[str, Any]) -> dict[str, Any]:
    """Join the nested `init_args` of PaddleNLP 2.5 and older; the innermost mapping describes the encoder."""
    inner = [item for item in tree.get("init_args", ()) if isinstance(item, dict)]
    fields = dict(tree)
    for item in inner:
        fields.update(_flatten_legacy(item))
    return fields


def from_arrays(arrays: Mapping[str, NDArray[Any]], config: Any, kind: type[PreTrainedModel]) -> PaddleImport:
    """Build a model from arrays in Paddle's layout.

    A linear layer's weight is transposed ([in, out] there). Row 0 of the word embeddings becomes zero: Paddle gives
    zeros for id 0 whatever the row holds. Every tensor must find its place: one that is missing, unknown or of another
    shape is an error; only the known left-overs are skipped, and listed. `config` is not changed; the numbers of labels
    and the sizes of the visual backbone are taken from the arrays.

    Raises:
        ConfigError: see above.
    """
    config = copy.deepcopy(config)
    shapes = {name: value.shape for name, value in arrays.items()}
    for field, value in head_sizes(shapes).items():
        setattr(config, field, value)
    if getattr(config, "use_visual_backbone", False):
        backbone = {name.partition(_VISUAL)[2]: shape for name, shape in shapes.items() if _VISUAL in name}
        config.detectron2_config_args = BackboneSize.from_shapes(backbone).to_detectron2()
    with init.no_init_weights():  # every weight is about to be replaced, or its absence is an error
        model = kind(config)
    encoder = "" if kind in _ENCODERS.values() else f"{model.base_model_prefix}."
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    tensors = {}
    for original, value in arrays.items():
        name = _our_name(original, config.model_type, encoder)
        layout = value.T if name in linear and original not in AS_IN_TORCH else value
        tensors[name] = (original, torch.from_numpy(np.asarray(layout, dtype=np.float32)))
    skipped = fit_tensors(model, tensors, encoder)
    words: Any = model.get_input_embeddings()
    with torch.no_grad():
        words.weight[0] = 0.0
    return PaddleImport(model.eval(), len(arrays) - len(skipped), skipped)


def _our_name(name: str, family: str, encoder: str) -> str:
    """Paddle's `layoutxlm.x` (in bare pretrained files just `x`) is our `layoutlmv2.x`, heads keep their names."""
    bare = re.sub(_PREFIX, "", name)
    if bare == name and name.split(".", 1)[0] in ("classifier", "extractor", "cls"):
        return paddle_name(name) if family == "layoutlm" else name
    if family == "layoutlm":
        return encoder + paddle_name(bare)
    bare = re.sub(r"\.norm\._mean$", ".norm.running_mean", bare)
    return encoder + re.sub(r"\.norm\._variance$", ".norm.running_var", bare)
