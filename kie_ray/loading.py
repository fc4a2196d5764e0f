"""From a bundle to an `Annotator`, computed by torch or by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, cast

import torch

from kie_ray.annotator import Annotator, page_encoder
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import Task
from kie_ray.models.runtime import Runtime, choose_runtime

if TYPE_CHECKING:
    from kie_ray.models.bundle_models import KieModels


def load_annotator(
    bundle: Bundle,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    tasks: Collection[Task] = ("ser", "re"),
    runtime: Runtime = "auto",
) -> Annotator:
    """The bundle's models for `tasks`, ready to annotate pages.

    Raises:
        ConfigError: `runtime` is onnx, and the bundle, `device` or `dtype` do not allow it (see `choose_runtime`).
        BundleError: the models' files are damaged or do not fit `bundle.json`.
    """
    name = str(dtype).removeprefix("torch.")
    if choose_runtime(bundle, runtime, device=torch.device(device).type, dtype=name) == "torch":
        return Annotator.from_bundle(bundle, device, dtype, tasks, inference_only=True)
    from kie_ray.models.onnx_models import load_onnx_models

    return Annotator(bundle.info, page_encoder(bundle), cast("KieModels", load_onnx_models(bundle, tasks)))
