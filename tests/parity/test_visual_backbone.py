"""The real-size visual backbone against detectron2's feature map, on weights that are drawn from their names."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kie_ray.models.resnext_fpn import BackboneSize, VisualBackbone, normalised
from tests.parity.recorded import tensors

PREFIX = "layoutlmv2.visual."


def seeded_weight(fixtures_dir: Path) -> Callable[..., NDArray[np.float32]]:
    file = fixtures_dir.parent / "seeded_weight.py"
    if not file.is_file():
        pytest.skip(f"{file} makes the weights and is not there")
    spec = importlib.util.spec_from_file_location("seeded_weight", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Callable[..., NDArray[np.float32]] = module.seeded_weight
    return made


def test_published_size(fixtures_dir: Path) -> None:
    folder = fixtures_dir / "layoutlmv2_visual_full"
    meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
    make = seeded_weight(fixtures_dir)
    state = {}
    for name, wanted in meta["params"].items():
        array = make(name, wanted["shape"], meta["seed"])
        assert array.sum(dtype=np.float64) == pytest.approx(wanted["sum"], rel=1e-6, abs=1e-6), name
        state[name.removeprefix(PREFIX)] = torch.from_numpy(array)
    shapes = {name.removeprefix("backbone."): value.shape for name, value in state.items()}
    assert BackboneSize.from_shapes(shapes) == BackboneSize()
    recorded = tensors(folder / "main.npz")
    with torch.device("meta"):
        backbone = VisualBackbone(BackboneSize(), 7, 7)
    backbone.load_state_dict(state, assign=True)
    with torch.inference_mode():
        features = backbone(recorded["image"])
        p2 = backbone.backbone(normalised(recorded["image"]))
    torch.testing.assert_close(p2, recorded["backbone_p2"], atol=1e-4, rtol=0)
    torch.testing.assert_close(features, recorded["visual_features"], atol=1e-4, rtol=0)
