"""Import of Hugging Face and Microsoft layoutlmft directories: LayoutLM, LayoutLMv2 and LayoutXLM.

`config.json` with `model.safetensors` or `pytorch_model.bin`, in one file or in shards with an index. A `.bin` is a
pickle: torch's own restricted reader (`weights_only=True`) takes tensors out of it and runs nothing.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.configuration_utils import PreTrainedConfig

from kie_ray.errors import ConfigError
from kie_ray.models.checkpoint_tensors import fit_tensors, head_sizes
from kie_ray.models.encoder import LayoutLMv2Config, LayoutLMv2Model
from kie_ray.models.families import model_class
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMModel
from kie_ray.models.resnext_fpn import BackboneSize

CONFIG_FILE = "config.json"
WEIGHTS_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""In the order of preference."""

_FAMILIES: dict[str, tuple[type[PreTrainedConfig], type[PreTrainedModel]]] = {
    "layoutlm": (LayoutLMConfig, LayoutLMModel),
    "layoutlmv2": (LayoutLMv2Config, LayoutLMv2Model),
    "layoutxlm": (LayoutLMv2Config, LayoutLMv2Model),
}
_HEADS = ("classifier", "extractor", "cls")
_OTHER_TASKS = ("ForSequenceClassification", "ForQuestionAnswering")
_VISUAL = "visual.backbone."
_RECIPE_BACKBONE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3"}
"""Places in the `nn.Sequential` that LayoutLM's image recipe makes of a ResNet's first parts, and their names."""


@dataclass(frozen=True)
class HuggingFaceImport:
    """A converted model in eval mode: SER, RE, both, or the encoder.

    `used`: how many tensors of the checkpoint it uses; `skipped`: names of those that it has no use for.
    """

    model: PreTrainedModel
    used: int
    skipped: list[str]


def load_huggingface(directory: str | Path) -> HuggingFaceImport:
    """Load a saved directory. Which heads there are is told by the tensors, whatever class has saved them.

    Raises:
        ConfigError: files are missing or unreadable, the model is of another kind, or tensors do not fit it.
    """
    folder = Path(directory)
    tree = read_huggingface_config(folder)
    return from_tensors(read_tensors(folder), tree)


def read_huggingface_config(directory: str | Path) -> dict[str, Any]:
    """`config.json`, with a `model_type` of ours.

    Raises:
        ConfigError: it is missing, is no JSON object, or describes a model of another family or task.
    """
    path = Path(directory) / CONFIG_FILE
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: not a saved Hugging Face model")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        architecture = str((tree.get("architectures") or [""])[0])
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} is not a configuration: {error!r}") from error
    family = tree.get("model_type")
    if family not in _FAMILIES:
        raise ConfigError(f"{path}: model_type {family!r} cannot be imported, it must be one of {', '.join(_FAMILIES)}")
    if architecture.endswith(_OTHER_TASKS):
        raise ConfigError(f"{path}: {architecture} is for another task; token classification and RE can be imported")
    return dict(tree)


def read_tensors(directory: str | Path) -> dict[str, Tensor]:
    """All tensors of a saved directory by name, on the CPU.

    Raises:
        ConfigError: as `weights_files`, or a file holds anything but tensors, or no shard has one that the index names.
    """
    files, expected = _weights(Path(directory))
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= _read_file(file)
    missing = sorted(expected - set(tensors))
    if missing:
        raise ConfigError(f"{directory}: the index names {missing[0]}, which no shard holds ({len(missing)} in all)")
    return tensors


def weights_files(directory: str | Path) -> list[Path]:
    """The files that `read_tensors` reads: one, or all shards.

    Raises:
        ConfigError: there is none, the index cannot be read, or a shard is missing or outside the directory.
    """
    return _weights(Path(directory))[0]


def _weights(folder: Path) -> tuple[list[Path], set[str]]:
    """Weight files, and the tensors that an index promises."""
    path = next((folder / name for name in WEIGHTS_FILES if (folder / name).is_file()), None)
    if path is None:
        raise ConfigError(f"{folder} holds no weights: none of {', '.join(WEIGHTS_FILES)}")
    if path.suffix != ".json":
        return [path], set()
    try:
        index = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted({str(name) for name in index.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no index of shards: {error!r}") from error
    for shard in shards:
        if PurePosixPath(shard).name != shard or not (folder / shard).is_file():
            raise ConfigError(f"{path} names the shard {shard!r}, which {folder} does not hold")
    return [folder / shard for shard in shards], set(index)


def from_tensors(tensors: Mapping[str, Tensor], tree: Mapping[str, Any]) -> HuggingFaceImport:
    """Build a model from tensors and the fields of a `config.json` (its `model_type` is in the known families).

    Numbers of labels, sizes of the visual backbone, and whether there is a pooler or a visual branch are taken from the
    tensors. A LayoutLM whose tensors carry the image branch of the common token classification recipe (`backbone.*` and
    `projection.*`) gets it, with the recipe's rounding of boxes.

    Raises:
        ConfigError: a tensor is missing, unknown or of another shape.
    """
    config_class, encoder_class = _FAMILIES[tree["model_type"]]
    family = config_class.model_type
    names = {name: _our_name(name, family) for name in tensors}
    shapes = {ours: tuple(tensors[name].shape) for name, ours in names.items()}
    config = config_class(**_fields(tree, config_class), **head_sizes(shapes))
    if family == "layoutlm":
        _image_branch(config, shapes, any(name.startswith("projection.") for name in tensors))
    else:
        _visual_backbone(config, shapes)
    ser, re_head = "classifier.weight" in shapes, "extractor.entity_emb.weight" in shapes
    masked_lm = family == "layoutlm" and "cls.predictions.bias" in shapes
    task = "kie" if ser and re_head else "ser" if ser else "re" if re_head else "mlm" if masked_lm else ""
    kind = model_class(task, family) if task else encoder_class
    with init.no_init_weights():  # every weight is about to be replaced, or its absence is an error
        model = kind(config)
    prefix = f"{family}."
    if not task:
        names = {name: ours.removeprefix(prefix) for name, ours in names.items()}
    placed = {ours: (name, tensors[name]) for name, ours in names.items()}
    skipped = fit_tensors(model, placed, prefix)
    return HuggingFaceImport(model.eval(), len(tensors) - len(skipped), skipped)


def _read_file(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"{path} is not a readable safetensors file: {error}") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"{path} is refused, it does not hold tensors alone: {reason[0]}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"{path} is no state dict: it should map names to tensors")
    return dict(state)


def _our_name(name: str, family: str) -> str:
    """`layoutxlm.x`, `layoutlmv2.x`, `layoutlm.x` or just `x` is ours with the family's prefix; heads keep theirs."""
    name = re.sub(r"\.LayerNorm\.gamma$", ".LayerNorm.weight", name)  # as TensorFlow's BERT called them
    name = re.sub(r"\.LayerNorm\.beta$", ".LayerNorm.bias", name)
    bare = re.sub(r"^(layoutxlm|layoutlmv2|layoutlm)\.", "", name)
    if bare == name:
        head, _, rest = name.partition(".")
        if head in _HEADS:
            return name
        if family == "layoutlm" and head == "projection":
            return f"layoutlm.image_branch.{name}"
        place, _, inner = rest.partition(".")
        if family == "layoutlm" and head == "backbone" and place in _RECIPE_BACKBONE:
            return f"layoutlm.image_branch.backbone.{_RECIPE_BACKBONE[place]}.{inner}"
    return f"{family}.{bare}"


def _fields(tree: Mapping[str, Any], config_class: type[PreTrainedConfig]) -> dict[str, Any]:
    """The fields that describe the network; the numbers of labels come from the tensors."""
    known = set(config_class.__annotations__) - {"num_entity_labels", "add_pooler", "use_visual_backbone"}
    return {name: value for name, value in tree.items() if name in known}


def _visual_backbone(config: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    backbone = {name.partition(_VISUAL)[2]: shape for name, shape in shapes.items() if _VISUAL in name}
    config.use_visual_backbone = bool(backbone)
    if backbone:
        sizes = BackboneSize.from_shapes(backbone).to_detectron2()
        config.detectron2_config_args = {**(config.detectron2_config_args or {}), **sizes}


def _image_branch(config: Any, shapes: Mapping[str, tuple[int, ...]], recipe: bool) -> None:
    prefix = "layoutlm.image_branch."
    config.use_image_branch = any(name.startswith(prefix) for name in shapes)
    if not config.use_image_branch:
        return
    config.image_branch_blocks = [
        len({name.split(".")[4] for name in shapes if name.startswith(f"{prefix}backbone.layer{stage}.")})
        for stage in (1, 2, 3)
    ]
    if recipe:
        config.image_branch_pixel_boxes = True
