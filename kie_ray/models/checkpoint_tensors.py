"""Tensors of a foreign checkpoint into one of our models: each must find its place, and each place its tensor."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kie_ray.errors import ConfigError
from kie_ray.models.families import model_class
from kie_ray.models.kie_model import KieModel
from kie_ray.models.resnext_fpn import PIXEL_MEAN, PIXEL_STD

LEFT_OVER = re.compile(
    r"(.*\.)?num_batches_tracked|embeddings\.position_ids|visual\.pixel_(mean|std)|visual_proj\.(weight|bias)"
    r"|visual_LayerNorm\.(weight|bias)|visual_segment_embedding|cls\..+"
)
"""Names, without the encoder's prefix, of what checkpoints carry and a model may have no use for: counters and
constants, parts of visual positions that are always masked (VI-LayoutXLM), and heads of pre-training."""

_COUNTER = ".num_batches_tracked"
_SHOWN = 8


def fit_tensors(model: Any, tensors: Mapping[str, tuple[str, Tensor]], encoder: str = "") -> list[str]:
    """Load a checkpoint into `model`, in place.

    Args:
        tensors: by the model's names: the name in the checkpoint and the value, in the model's layout.
        encoder: prefix of the encoder's parameters in the model, such as `layoutlmv2.`.

    Returns:
        Names in the checkpoint of what was left over, sorted; only what `LEFT_OVER` knows.

    Raises:
        ConfigError: a tensor is missing, has no place or has another shape; or pixels are to be normalised otherwise
            than with the published constants, which are part of our models.
    """
    rest, state = dict(tensors), {}
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    for alias, name in tied.items():
        if alias in rest:
            entry = rest.pop(alias)
            rest.setdefault(name, entry)  # files hold either name, or the same tensor under both
    for name, wanted in model.state_dict().items():
        if name not in rest:
            if name.endswith(_COUNTER) or name in tied:
                continue
            raise ConfigError(f"the checkpoint has no tensor for {name} {list(wanted.shape)}")
        original, value = rest.pop(name)
        if value.shape != wanted.shape:
            raise ConfigError(f"tensor {original} gives {name} {list(value.shape)}, expected {list(wanted.shape)}")
        state[name] = value.to(wanted.dtype)
    unknown = sorted(original for name, (original, _) in rest.items() if not _is_left_over(name, encoder))
    if unknown:
        shown = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
        raise ConfigError(f"{len(unknown)} tensors have no place in {type(model).__name__}: {shown}")
    if any(".visual.backbone." in f".{name}" for name in state):
        _check_constants({name.removeprefix(encoder): entry for name, entry in rest.items()})
    model.load_state_dict(state, strict=False)  # what may be missing was decided above
    if tied:
        model.tie_weights()  # not done yet for a model that was built without initial weights
    return sorted(original for original, _ in rest.values())


def _is_left_over(name: str, encoder: str) -> bool:
    return LEFT_OVER.fullmatch(name.removeprefix(encoder)) is not None


def _check_constants(rest: Mapping[str, tuple[str, Tensor]]) -> None:
    for name, constant in (("visual.pixel_mean", PIXEL_MEAN), ("visual.pixel_std", PIXEL_STD)):
        original, value = rest.get(name, (name, torch.tensor(constant)))
        if not torch.allclose(value.flatten().float(), torch.tensor(constant)):
            raise ConfigError(f"tensor {original} is {value.flatten().tolist()}, expected the published {constant}")


def head_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Fields of a configuration that follow from a checkpoint's tensors, by whatever names its encoder has.

    `add_pooler`; `num_labels` where there is a SER head, `num_entity_labels` where there is an RE head.
    """
    fields: dict[str, Any] = {"add_pooler": any(name.endswith("pooler.dense.weight") for name in shapes)}
    if "classifier.bias" in shapes:
        fields["num_labels"] = shapes["classifier.bias"][0]
    if "extractor.entity_emb.weight" in shapes:
        fields["num_entity_labels"] = shapes["extractor.entity_emb.weight"][0]
    return fields


def as_encoder(model: Any) -> KieModel:
    """A bare encoder as the masked-token model that training starts from; its head is random, by a fixed seed."""
    kind = model_class("mlm", model.config.model_type)
    if isinstance(model, kind):
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole = kind(model.config)
    whole.base_model.load_state_dict(model.state_dict())
    return whole.eval()
