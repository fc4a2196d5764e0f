"""Hugging Face's and Microsoft's directories: file kinds, names, kinds of model, and files that must be refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LayoutLMConfig as TheirLayoutLMConfig
from transformers import LayoutLMForMaskedLM, LayoutLMForTokenClassification, LayoutLMModel

from kie_ray.errors import ConfigError
from kie_ray.models.from_huggingface import load_huggingface, read_tensors, weights_files
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForMaskedLm, LayoutLMForSer
from kie_ray.models.layoutlm import LayoutLMModel as OurLayoutLMModel
from kie_ray.models.layoutlmv2 import LayoutLMv2ForKie, LayoutLMv2ForRe, LayoutLMv2ForSer, LayoutLMv2Model
from tests.kie_ray.models.model_samples import entities, inputs, small_config

SIZES: dict[str, Any] = {
    "vocab_size": 200,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 64,
}


@pytest.fixture
def theirs() -> LayoutLMForTokenClassification:
    torch.manual_seed(3)
    config = TheirLayoutLMConfig(**SIZES, num_labels=5, initializer_range=0.2)
    return LayoutLMForTokenClassification(config).eval()


def assert_same_logits(folder: Path, theirs: LayoutLMForTokenClassification) -> None:
    found = load_huggingface(folder)
    assert isinstance(found.model, LayoutLMForSer)
    assert found.skipped == []
    with torch.inference_mode():
        torch.testing.assert_close(found.model(**inputs()).ser_logits, theirs(**inputs()).logits, atol=1e-5, rtol=0)


def test_one_safetensors_file(tmp_path: Path, theirs: LayoutLMForTokenClassification) -> None:
    theirs.save_pretrained(tmp_path)
    assert [file.name for file in weights_files(tmp_path)] == ["model.safetensors"]
    assert_same_logits(tmp_path, theirs)


def test_shards(tmp_path: Path, theirs: LayoutLMForTokenClassification) -> None:
    theirs.save_pretrained(tmp_path, max_shard_size="300KB")
    assert len(weights_files(tmp_path)) > 1
    assert_same_logits(tmp_path, theirs)


@pytest.mark.parametrize("legacy", [False, True])
def test_pytorch_model_bin(tmp_path: Path, theirs: LayoutLMForTokenClassification, legacy: bool) -> None:
    """As old checkpoints are: a pickle, LayerNorm's parameters as gamma and beta."""
    theirs.config.save_pretrained(tmp_path)
    state: dict[str, Tensor] = dict(theirs.state_dict())
    for name in [name for name in state if "LayerNorm" in name]:
        renamed = name.replace(".weight", ".gamma").replace(".bias", ".beta")
        state[renamed] = state.pop(name)
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    assert_same_logits(tmp_path, theirs)


def test_sharded_bin(tmp_path: Path, theirs: LayoutLMForTokenClassification) -> None:
    theirs.config.save_pretrained(tmp_path)
    names = list(theirs.state_dict())
    shards = {"pytorch_model-1.bin": names[:20], "pytorch_model-2.bin": names[20:]}
    for file, part in shards.items():
        torch.save({name: theirs.state_dict()[name] for name in part}, tmp_path / file)
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert_same_logits(tmp_path, theirs)
    index["weight_map"]["layoutlm.extra"] = "pytorch_model-1.bin"
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match=r"the index names layoutlm\.extra, which no shard holds"):
        read_tensors(tmp_path)
    for outside in ("../pytorch_model-1.bin", str(tmp_path / "pytorch_model-1.bin"), "gone.bin"):
        index["weight_map"]["layoutlm.extra"] = outside
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        with pytest.raises(ConfigError, match=r"names the shard '.*', which .* does not hold"):
            read_tensors(tmp_path)


class _Calls:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("plain", [False, True])
def test_a_hostile_bin_is_refused_and_runs_nothing(
    tmp_path: Path, theirs: LayoutLMForTokenClassification, plain: bool
) -> None:
    theirs.config.save_pretrained(tmp_path)
    marker = tmp_path / "marker"
    hostile = {"classifier.bias": torch.zeros(5), "x": _Calls(exec, f"open({str(marker)!r}, 'w').close()")}
    file = tmp_path / "pytorch_model.bin"
    if plain:
        file.write_bytes(pickle.dumps(hostile, 2))
    else:
        torch.save(hostile, file)
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin is refused, it does not hold tensors alone"):
        load_huggingface(tmp_path)
    assert not marker.exists()
    torch.load(file, weights_only=False) if not plain else pickle.loads(file.read_bytes())
    assert marker.exists(), "the sample is not hostile"


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"a": 1}, {"state_dict": {"a": torch.zeros(1)}}])
def test_a_bin_that_is_no_state_dict(tmp_path: Path, theirs: LayoutLMForTokenClassification, content: Any) -> None:
    theirs.config.save_pretrained(tmp_path)
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="is no state dict"):
        load_huggingface(tmp_path)


def test_damaged_and_missing_files(tmp_path: Path, theirs: LayoutLMForTokenClassification) -> None:
    with pytest.raises(ConfigError, match=r"config\.json does not exist: not a saved Hugging Face model"):
        load_huggingface(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"config\.json is not a configuration"):
        load_huggingface(tmp_path)
    theirs.config.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"holds no weights: none of model\.safetensors, .*pytorch_model\.bin"):
        load_huggingface(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin is refused"):
        load_huggingface(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ConfigError, match=r"model\.safetensors is not a readable safetensors file"):
        load_huggingface(tmp_path)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"model_type": "bert"},
            "model_type 'bert' cannot be imported, it must be one of layoutlm, layoutlmv2, layoutxlm",
        ),
        (
            {"model_type": "layoutlm", "architectures": ["LayoutLMForSequenceClassification"]},
            "LayoutLMForSequenceClassification is for another task",
        ),
    ],
)
def test_models_of_another_kind(tmp_path: Path, tree: dict[str, Any], message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(tree))
    with pytest.raises(ConfigError, match=message):
        load_huggingface(tmp_path)


def save(folder: Path, model: nn.Module, tree: dict[str, Any], rename: Callable[[str], str] = str) -> None:
    state = {rename(name): value.clone() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(tree))


def version_2_tree(model_type: str = "layoutlmv2") -> dict[str, Any]:
    config = small_config().to_dict()
    keep = {"fast_qkv", "coordinate_size", "shape_size", "has_relative_attention_bias", "has_spatial_attention_bias"}
    return {"model_type": model_type, "use_visual_backbone": True} | {
        name: value for name, value in config.items() if name in SIZES or name in keep
    }


@pytest.mark.parametrize("model_type", ["layoutlmv2", "layoutxlm"])
@pytest.mark.parametrize("prefix", ["layoutlmv2.", "layoutxlm."])
def test_microsofts_re_checkpoint(tmp_path: Path, model_type: str, prefix: str) -> None:
    """`layoutlmv2.*` and `extractor.*`, without visual backbone and pooler: both follow from the tensors."""
    torch.manual_seed(5)
    theirs = LayoutLMv2ForRe(small_config(num_entity_labels=4)).eval()
    save(tmp_path, theirs, version_2_tree(model_type), lambda name: name.replace("layoutlmv2.", prefix))
    found = load_huggingface(tmp_path)
    assert isinstance(found.model, LayoutLMv2ForRe)
    assert found.model.config.num_entity_labels == 4
    assert not found.model.config.add_pooler
    given = inputs() | {name: value for name, value in entities().items() if name not in ("boxes", "order")}
    with torch.inference_mode():
        torch.testing.assert_close(found.model(**given).re_logits, theirs(**given).re_logits, atol=0, rtol=0)


@pytest.mark.parametrize("kind", [LayoutLMv2ForSer, LayoutLMv2ForKie, LayoutLMv2Model])
def test_the_heads_are_told_by_the_tensors(tmp_path: Path, kind: type[nn.Module]) -> None:
    torch.manual_seed(6)
    theirs: Any = kind(small_config(num_labels=9, add_pooler=True))
    save(tmp_path, theirs, version_2_tree())
    found = load_huggingface(tmp_path)
    assert type(found.model) is kind
    assert not found.model.training
    state = found.model.state_dict()
    assert state.keys() == theirs.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in theirs.state_dict().items())


def test_an_encoder_with_and_without_its_masked_token_head(tmp_path: Path) -> None:
    torch.manual_seed(7)
    config = TheirLayoutLMConfig(**SIZES, initializer_range=0.2)
    masked, bare = LayoutLMForMaskedLM(config).eval(), LayoutLMModel(config).eval()
    masked.save_pretrained(tmp_path / "masked")
    bare.save_pretrained(tmp_path / "bare")
    found = load_huggingface(tmp_path / "masked").model
    assert isinstance(found, LayoutLMForMaskedLm)
    with torch.inference_mode():
        ours = found(**inputs()).mlm_logits
        torch.testing.assert_close(ours, masked(**inputs()).logits.flatten(0, 1), atol=1e-4, rtol=0)
    found = load_huggingface(tmp_path / "bare").model
    assert isinstance(found, OurLayoutLMModel)
    with torch.inference_mode():
        ours = found(**inputs()).last_hidden_state
        torch.testing.assert_close(ours, bare(**inputs()).last_hidden_state, atol=1e-5, rtol=0)


def test_the_image_branch_of_the_common_recipe(tmp_path: Path) -> None:
    """A wrapper around LayoutLM with `backbone`, a ResNet's first parts, and `projection` beside the classifier."""
    torch.manual_seed(8)
    config = LayoutLMConfig(**SIZES, num_labels=5, use_image_branch=True, image_branch_blocks=[1, 2, 1])
    theirs = LayoutLMForSer(config)
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6"}

    def rename(name: str) -> str:
        bare = name.removeprefix("layoutlm.image_branch.")
        if bare == name:
            return name
        head, _, rest = bare.partition(".")
        if head == "projection":
            return bare
        part, _, inner = rest.partition(".")
        return f"backbone.{places[part]}.{inner}"

    save(tmp_path, theirs, {"model_type": "layoutlm", **SIZES}, rename)
    assert "backbone.5.1.conv3.weight" in read_tensors(tmp_path)
    found = load_huggingface(tmp_path).model
    assert isinstance(found, LayoutLMForSer)
    assert found.uses_image
    assert found.config.image_branch_pixel_boxes
    assert list(found.config.image_branch_blocks) == [1, 2, 1]
    state = found.state_dict()
    assert all(torch.equal(state[name], value) for name, value in theirs.state_dict().items())


def test_recorded_layoutlm(fixtures_dir: Path) -> None:
    folder = fixtures_dir / "layoutlm_ser"
    found = load_huggingface(folder / "saved_hf")
    assert found.skipped == []
    cases = sorted(folder.glob("*.npz"))
    for case in cases:
        if case.name == "weights.npz":
            continue
        with np.load(case) as arrays:
            recorded = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        used = recorded["attention_mask"] != 0
        names = ("input_ids", "bbox", "attention_mask", "token_type_ids")
        with torch.inference_mode():
            logits = found.model(*(recorded[name] for name in names)).ser_logits
        torch.testing.assert_close(logits[used], recorded["logits"][used], atol=1e-4, rtol=0)
    assert len(cases) > 1
