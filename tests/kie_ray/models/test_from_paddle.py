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
from kie_ray.models import from_paddle
from kie_ray.models.encoder import LayoutLMv2Model
from kie_ray.models.from_paddle import from_arrays, load_paddle, read_paddle_config
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForMaskedLm, LayoutLMForSer, LayoutLMModel
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
        (
            "config.json",
            {"architectures": ["LayoutLMForTokenClassification"], "vocab_size": 77, "layer_norm_eps": 1e-5},
            LayoutLMForSer,
            {"vocab_size": 77, "max_position_embeddings": 512, "pad_token_id": 0, "layer_norm_eps": 1e-12},
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
        ('{"architectures": ["LayoutLMForRelationExtraction"]}', "'LayoutLMForRelationExtraction' cannot be imported"),
        ('{"architectures": ["LayoutXLMForMaskedLM"]}', "'LayoutXLMForMaskedLM' cannot be imported, it must be one of"),
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
    with pytest.raises(ConfigError, match=r"neither config\.json nor model_config\.json: not a saved PaddleNLP model$"):
        load_paddle(tmp_path)
    (tmp_path / "best_accuracy").mkdir()
    (tmp_path / "best_accuracy" / "model_state.pdparams").touch()
    with pytest.raises(ConfigError, match=r"not a saved PaddleNLP model; .*best_accuracy looks like one"):
        load_paddle(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["LayoutXLMModel"], "use_visual_backbone": true}')
    with pytest.raises(ConfigError, match=r"model_state\.pdparams does not exist"):
        load_paddle(tmp_path)
    (tmp_path / "model_state.pdparams").write_bytes(pickle.dumps({"a": np.zeros(1)}, 4))
    with pytest.raises(ConfigError, match="of the visual backbone"):
        load_paddle(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("visual_segment_embedding", {"model_type": "layoutlmv2", "vocab_size": 250002, "fast_qkv": False}),
        ("encoder.rel_pos_bias.weight", {"model_type": "layoutlmv2", "vocab_size": 30522, "fast_qkv": True}),
        ("layoutlm.encoder.layers.0.norm1.bias", {"model_type": "layoutlm", "vocab_size": 30522}),
    ],
)
def test_a_published_encoder_without_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: dict[str, Any]
) -> None:
    """PaddleNLP's own directory of a published encoder holds weights alone: the base size is the only one there is."""
    seen: list[Any] = []
    monkeypatch.setattr(from_paddle, "from_arrays", lambda arrays, config, kind: seen.append((config, kind)))
    (tmp_path / "model_state.pdparams").write_bytes(pickle.dumps({name: np.zeros(768, np.float32)}, 4))
    load_paddle(tmp_path)
    ((config, kind),) = seen
    assert kind is (LayoutLMModel if expected["model_type"] == "layoutlm" else LayoutLMv2Model)
    assert {field: getattr(config, field) for field in expected} == expected
    assert not getattr(config, "use_visual_backbone", False)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (768, 12, 12)


def layoutlm_arrays(model: LayoutLMForSer) -> dict[str, NDArray[Any]]:
    """A LayoutLM as PaddleNLP names it, whose encoder is Paddle's `nn.TransformerEncoder`."""
    renamed = {
        "attention.self.query": "self_attn.q_proj",
        "attention.self.key": "self_attn.k_proj",
        "attention.self.value": "self_attn.v_proj",
        "attention.output.dense": "self_attn.out_proj",
        "attention.output.LayerNorm": "norm1",
        "intermediate.dense": "linear1",
        "output.dense": "linear2",
        "output.LayerNorm": "norm2",
        "embeddings.LayerNorm": "embeddings.layer_norm",
        "encoder.layer.": "encoder.layers.",
    }
    arrays = {}
    for name, value in paddle_arrays(model).items():
        for ours, theirs in renamed.items():
            name = name.replace(ours, theirs)
        arrays[name] = value
    return arrays


def test_layoutlm_from_a_saved_directory(tmp_path: Path) -> None:
    fields = {
        "vocab_size": 200,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "max_position_embeddings": 64,
    }
    torch.manual_seed(4)
    theirs = LayoutLMForSer(LayoutLMConfig(**fields, num_labels=7, initializer_range=0.2)).eval()
    arrays = layoutlm_arrays(theirs)
    assert "layoutlm.encoder.layers.1.self_attn.q_proj.weight" in arrays
    assert "layoutlm.encoder.layers.0.linear2.bias" in arrays
    extra = {"layoutlm.embeddings.position_ids": np.arange(64)[None]}
    (tmp_path / "model_state.pdparams").write_bytes(pickle.dumps(arrays | extra, 4))
    tree = {"init_class": "LayoutLMForTokenClassification", "num_classes": 7, "layer_norm_eps": 1e-5}
    tree["init_args"] = [{"init_class": "LayoutLMModel", **fields}]
    (tmp_path / "model_config.json").write_text(json.dumps(tree))
    found = load_paddle(tmp_path)
    assert isinstance(found.model, LayoutLMForSer)
    assert found.skipped == list(extra)
    assert found.model.config.layer_norm_eps == 1e-12, "PaddleNLP sets it whatever the file says"
    assert not found.model.layoutlm.embeddings.word_embeddings.weight[0].any()
    with torch.inference_mode():
        torch.testing.assert_close(found.model(**inputs()).ser_logits, theirs(**inputs()).ser_logits)


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_layoutlm_with_its_masked_token_head(
    tmp_path: Path, configured: bool, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logits are those of PaddleNLP's LayoutLMForMaskedLM, computed here in its layout: `transform.weight` is
    square, so a wrong transposition shows in nothing else."""
    fields = {
        "vocab_size": 200,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "max_position_embeddings": 64,
    }
    torch.manual_seed(5)
    encoder = LayoutLMForSer(LayoutLMConfig(**fields, num_labels=7, initializer_range=0.2)).eval()
    with torch.no_grad():
        encoder.layoutlm.embeddings.word_embeddings.weight[0] = 0
    arrays = {name: value for name, value in layoutlm_arrays(encoder).items() if not name.startswith("classifier.")}
    words = arrays["layoutlm.embeddings.word_embeddings.weight"]
    random = np.random.default_rng(0)
    head = {
        "transform.weight": random.normal(0, 0.2, (48, 48)),
        "transform.bias": random.normal(0, 0.2, 48),
        "layer_norm.weight": random.normal(1, 0.2, 48),
        "layer_norm.bias": random.normal(0, 0.2, 48),
        "decoder_bias": random.normal(0, 0.2, 200),
        **({"decoder_weight": words} if tied else {}),
    }
    arrays |= {f"cls.predictions.{name}": value.astype(np.float32) for name, value in head.items()}
    (tmp_path / "model_state.pdparams").write_bytes(pickle.dumps(arrays, 4))
    if configured:
        tree = {"architectures": ["LayoutLMForMaskedLM"], **fields}
        (tmp_path / "config.json").write_text(json.dumps(tree))
    else:
        monkeypatch.setitem(from_paddle._FAMILY_DEFAULTS, "LayoutLM", fields)
    found = load_paddle(tmp_path)
    assert isinstance(found.model, LayoutLMForMaskedLm)
    assert not found.skipped
    with torch.inference_mode():
        hidden = encoder.encode(**inputs()).numpy().astype(np.float64)
        given = torch.nn.functional.gelu(torch.from_numpy(hidden @ head["transform.weight"] + head["transform.bias"]))
        centred = given - given.mean(-1, keepdim=True)
        normal = (centred / (given.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()).numpy()
        expected = (normal * head["layer_norm.weight"] + head["layer_norm.bias"]) @ words.T + head["decoder_bias"]
        logits = found.model(**inputs()).mlm_logits
    torch.testing.assert_close(logits, torch.from_numpy(expected).float().flatten(0, 1), atol=1e-3, rtol=1e-3)
