"""Import rules that the recorded fixtures do not reach. Their parity is tested in tests/parity."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kie_ray.errors import ConfigError
from kie_ray.models.encoder import LayoutLMv2Model
from kie_ray.models.from_paddle import from_arrays, load_paddle, read_paddle_config
from kie_ray.models.layoutlmv2 import LayoutLMv2ForRe, LayoutLMv2ForSer
from tests.kie_ray.models.model_samples import inputs, small_config


def paddle_arrays(model: torch.nn.Module, prefix: str = "layoutxlm.") -> dict[str, NDArray[Any]]:
    """A model's parameters in Paddle's layout: linear weights [in, out]."""
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    return {
        name.replace("layoutlmv2.", prefix): (value.T if name in linear else value).numpy().copy()
        for name, value in model.state_dict().items()
    }


@pytest.fixture
def ser() -> LayoutLMv2ForSer:
    torch.manual_seed(0)
    return LayoutLMv2ForSer(small_config(add_pooler=True)).eval()


def test_there_and_back(ser: LayoutLMv2ForSer) -> None:
    result = from_arrays(paddle_arrays(ser), small_config(num_labels=3), LayoutLMv2ForSer)
    assert result.skipped == []
    assert result.model.config.num_labels == 7
    with torch.inference_mode():
        torch.testing.assert_close(result.model(**inputs()).ser_logits, ser(**inputs()).ser_logits)


def test_encoder_without_heads_and_without_prefix(ser: LayoutLMv2ForSer) -> None:
    """The pretrained VI file: bare names and what is left of the visual branch."""
    arrays = paddle_arrays(ser.layoutlmv2) | {
        "visual.pixel_mean": np.zeros((3, 1, 1), np.float32),
        "visual.pixel_std": np.ones((3, 1, 1), np.float32),
        "visual_proj.weight": np.zeros((256, 48), np.float32),
        "visual_proj.bias": np.zeros(48, np.float32),
    }
    result = from_arrays(arrays, small_config(), LayoutLMv2Model)
    assert result.skipped == ["visual.pixel_mean", "visual.pixel_std", "visual_proj.bias", "visual_proj.weight"]
    with torch.inference_mode():
        hidden = result.model(**inputs()).last_hidden_state
        torch.testing.assert_close(hidden, ser.layoutlmv2(**inputs()).last_hidden_state)


def test_every_tensor_must_find_its_place(ser: LayoutLMv2ForSer) -> None:
    arrays, config = paddle_arrays(ser), small_config()
    unknown = arrays | {"layoutxlm.encoder.layer.0.adapter.weight": np.zeros(3, np.float32)}
    with pytest.raises(
        ConfigError, match=r"1 tensors have no place in LayoutLMv2ForSer: layoutxlm\.encoder\.layer\.0\.adapt"
    ):
        from_arrays(unknown, config, LayoutLMv2ForSer)
    with pytest.raises(ConfigError, match=r"2 tensors have no place in LayoutLMv2Model: classifier\.bias"):
        from_arrays(arrays, config, LayoutLMv2Model)
    with pytest.raises(ConfigError, match=r"no tensor for extractor\.entity_emb\.weight"):
        from_arrays({k: v for k, v in arrays.items() if "classifier" not in k}, config, LayoutLMv2ForRe)
    name = "layoutxlm.encoder.layer.1.intermediate.dense.weight"
    with pytest.raises(ConfigError, match=rf"{name} gives .* \[48, 96\], expected \[96, 48\]"):
        from_arrays(arrays | {name: arrays[name].T}, config, LayoutLMv2ForSer)


@pytest.mark.parametrize(
    ("file", "tree", "kind", "expected"),
    [
        (
            "config.json",
            {"architectures": ["LayoutXLMForRelationExtraction"], "use_visual_backbone": False},
            LayoutLMv2ForRe,
            {"vocab_size": 250002, "has_spatial_attention_bias": False, "pad_token_id": 1, "layer_norm_eps": 1e-5},
        ),
        (
            "model_config.json",
            {"init_class": "LayoutLMv2Model", "use_visual_backbone": False, "hidden_size": 24},
            LayoutLMv2Model,
            {"vocab_size": 30522, "fast_qkv": True, "hidden_size": 24, "use_visual_backbone": False},
        ),
        (
            "model_config.json",
            {
                "init_class": "LayoutXLMForTokenClassification",
                "hidden_dropout_prob": 0.3,
                "init_args": [{"init_class": "LayoutXLMModel", "vocab_size": 77}],
            },
            LayoutLMv2ForSer,
            {"vocab_size": 77, "hidden_dropout_prob": 0.3, "use_visual_backbone": True},
        ),
    ],
)
def test_configurations(tmp_path: Path, file: str, tree: dict[str, Any], kind: type, expected: dict[str, Any]) -> None:
    (tmp_path / file).write_text(json.dumps(tree))
    found, config = read_paddle_config(tmp_path)
    assert found is kind
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"architectures": ["ErnieForTokenClassification"]}', "'ErnieForTokenClassification' cannot be imported"),
        ('{"architectures": []}', "is not a PaddleNLP configuration"),
        ("{", "is not a PaddleNLP configuration"),
        ("[]", "is not a PaddleNLP configuration"),
    ],
)
def test_configurations_that_cannot_be_imported(tmp_path: Path, raw: str, message: str) -> None:
    (tmp_path / "config.json").write_text(raw)
    with pytest.raises(ConfigError, match=message):
        load_paddle(tmp_path)


def test_incomplete_directories(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither config\.json nor model_config\.json"):
        load_paddle(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["LayoutXLMModel"], "use_visual_backbone": true}')
    with pytest.raises(ConfigError, match=r"model_state\.pdparams does not exist"):
        load_paddle(tmp_path)
    (tmp_path / "model_state.pdparams").write_bytes(pickle.dumps({"a": np.zeros(1)}, 4))
    with pytest.raises(ConfigError, match="use_visual_backbone: true is not supported"):
        load_paddle(tmp_path)
