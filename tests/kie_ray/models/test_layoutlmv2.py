"""Properties of the encoder and its task models that hold for any weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from kie_ray.errors import ConfigError
from kie_ray.models.heads import ser_loss
from kie_ray.models.kie_model import KieModel
from kie_ray.models.layoutlmv2 import (
    LayoutLMv2ForKie,
    LayoutLMv2ForMaskedLm,
    LayoutLMv2ForRe,
    LayoutLMv2ForSer,
)
from tests.kie_ray.models.model_samples import entities, inputs, small_config

VARIANTS: list[dict[str, Any]] = [
    {},
    {"fast_qkv": False},
    {"has_relative_attention_bias": False},
    {"has_spatial_attention_bias": False},
    {"has_relative_attention_bias": False, "has_spatial_attention_bias": False, "fast_qkv": False},
    {"use_1d_positions": False, "relation_geometry": 16, "add_pooler": True},
]
MODELS = (LayoutLMv2ForSer, LayoutLMv2ForRe, LayoutLMv2ForKie, LayoutLMv2ForMaskedLm)


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_changes_nothing(variant: dict[str, Any]) -> None:
    """A page alone, the same page in a batch with a longer one, and the same with padding columns beyond both."""
    torch.manual_seed(0)
    model = LayoutLMv2ForSer(small_config(**variant)).eval()
    batch = inputs(length=20)
    batch["attention_mask"][1, 12:] = 0
    batch["bbox"][1, 12:] = 0
    batch["input_ids"][1, 12:] = 0
    alone = {name: value[1:2, :12] for name, value in batch.items()}
    wider = {name: F.pad(value.movedim(1, -1), (0, 7)).movedim(-1, 1) for name, value in batch.items()}
    with torch.inference_mode():
        hidden = model.encode(**batch)
        torch.testing.assert_close(hidden[1:2, :12], model.encode(**alone), atol=1e-5, rtol=0)
        unmasked = model.encode(alone["input_ids"], alone["bbox"], None)
        torch.testing.assert_close(hidden[1:2, :12], unmasked, atol=1e-5, rtol=0)
        trimmed = model.encode(**wider)[:, :20]
    torch.testing.assert_close(hidden[0], trimmed[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(hidden[1, :12], trimmed[1, :12], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("bias", "edge", "matters"), [(True, 3, True), (True, 1, False)], ids=["bottom edge", "top edge"]
)
def test_spatial_bias_uses_the_bottom_edge(bias: bool, edge: int, matters: bool) -> None:
    model = LayoutLMv2ForSer(small_config(has_spatial_attention_bias=bias)).eval()
    batch = inputs(batch=1)
    before = model.layoutlmv2.encoder.mask(batch["bbox"], torch.arange(20), None, torch.float32)
    batch["bbox"][0, 3, edge] += 100
    after = model.layoutlmv2.encoder.mask(batch["bbox"], torch.arange(20), None, torch.float32)
    assert torch.equal(before, after) is not matters


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_save_and_load(kind: type[KieModel], variant: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = kind(small_config(**variant))
    model.save_pretrained(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    loaded, report = kind.from_pretrained(str(tmp_path), output_loading_info=True)
    assert not any(report.values())
    origin = {"_name_or_path", "transformers_version"}
    before, after = model.config.to_dict(), loaded.config.to_dict()
    assert {name: value for name, value in after.items() if name not in origin} == {
        name: value for name, value in before.items() if name not in origin
    }
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_missing_head_is_initialised_like_a_new_one(tmp_path: Path) -> None:
    LayoutLMv2ForSer(small_config()).save_pretrained(tmp_path)
    model = LayoutLMv2ForKie.from_pretrained(str(tmp_path))
    weight = model.extractor.rel_classifier.bilinear.weight.detach()
    assert float(weight.abs().max()) <= weight.shape[-1] ** -0.5
    assert float(weight.std()) == pytest.approx(weight.shape[-1] ** -0.5 / 3**0.5, rel=0.1)
    assert not model.extractor.ffnn_head[0].bias.any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_reaches_every_parameter(variant: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForKie(small_config(**variant)).train()
    output = model(**inputs(), labels=torch.randint(0, 7, (2, 20)), **entities())
    output.loss.backward()
    unreached = {
        name for name, value in model.named_parameters() if value.grad is None or not bool(value.grad.abs().sum() > 0)
    }
    # softmax ignores a constant added to all keys of a query, and the pooler serves no task
    unused = {name for name in unreached if "pooler" in name or name.endswith("self.key.bias")}
    assert unreached == unused


def test_joint_model_equals_separate_ones() -> None:
    torch.manual_seed(0)
    config = small_config(relation_geometry=8)
    joint = LayoutLMv2ForKie(config).eval()
    ser, re = LayoutLMv2ForSer(config).eval(), LayoutLMv2ForRe(config).eval()
    for single in (ser, re):
        single.load_state_dict({name: joint.state_dict()[name] for name in single.state_dict()})
    batch, labels, given = inputs(), torch.randint(0, 7, (2, 20)), entities()
    with torch.inference_mode():
        both = joint(**batch, labels=labels, **given)
        one, other = ser(**batch, labels=labels), re(**batch, **given)
    torch.testing.assert_close(both.ser_logits, one.ser_logits)
    torch.testing.assert_close(both.re_logits, other.re_logits)
    torch.testing.assert_close(both.loss, one.loss + other.loss)


def test_chosen_layers_come_with_the_hidden_states() -> None:
    """For distillation: outputs of layers, 0-based, in the order asked; the last one is what `encode` gives anyway."""
    torch.manual_seed(0)
    model = LayoutLMv2ForKie(small_config(num_hidden_layers=4)).eval()
    batch = inputs()
    batch["attention_mask"][1, 12:] = 0
    outputs: dict[int, torch.Tensor] = {}
    for number, layer in enumerate(model.layoutlmv2.encoder.layer):
        layer.register_forward_hook(lambda _, __, output, number=number: outputs.__setitem__(number, output))
    hidden, (third, second) = model.encode(**batch, layers=(2, 1))
    assert torch.equal(third, outputs[2])
    assert torch.equal(second, outputs[1])
    assert torch.equal(hidden, outputs[3])
    assert torch.equal(hidden, model.encode(**batch))
    assert torch.equal(hidden, model.encode(**batch, layers=[3])[1][0])
    assert model.encode(**batch, layers=())[1] == ()


def test_gradient_of_a_chosen_layer_stops_there() -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForSer(small_config(num_hidden_layers=3)).train()
    _, (kept,) = model.encode(**inputs(), layers=(1,))
    kept.square().sum().backward()
    reached = [bool(layer.output.dense.weight.grad is not None) for layer in model.layoutlmv2.encoder.layer]
    assert reached == [True, True, False]


@pytest.mark.parametrize("layer", [2, -1])
def test_a_layer_that_the_encoder_does_not_have(layer: int) -> None:
    model = LayoutLMv2ForSer(small_config(num_hidden_layers=2))
    with pytest.raises(ConfigError, match=f"no encoder layer {layer}; num_hidden_layers 2 gives layers 0 to 1"):
        model.encode(**inputs(), layers=(0, layer))


def test_a_model_without_a_head_says_so() -> None:
    with pytest.raises(TypeError, match="LayoutLMv2ForSer has no RE head"):
        LayoutLMv2ForSer(small_config()).re_logits(*(torch.zeros(0, 48), torch.zeros(0), torch.zeros(0, 2)))
    with pytest.raises(TypeError, match="LayoutLMv2ForRe has no SER head"):
        LayoutLMv2ForRe(small_config()).ser_logits(torch.zeros(1, 48))


def test_masked_lm_decodes_only_masked_tokens_with_tied_weights() -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForMaskedLm(small_config()).eval()
    assert model.lm_head.decoder.weight is model.layoutlmv2.embeddings.word_embeddings.weight
    batch = inputs()
    labels = torch.full((2, 20), -100)
    labels[0, 3], labels[1, 7] = 11, 12
    output, everything = model(**batch, labels=labels), model(**batch)
    positions = torch.tensor([3, 20 + 7])
    torch.testing.assert_close(output.mlm_logits, everything.mlm_logits[positions])
    torch.testing.assert_close(output.loss, F.cross_entropy(output.mlm_logits, torch.tensor([11, 12])))
    assert float(model(**batch, labels=torch.full((2, 20), -100)).loss.detach()) == 0.0


def test_ser_loss_counts_unmasked_labelled_tokens() -> None:
    logits = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels, mask = torch.tensor([[2, -100, 1, 0]]), torch.tensor([[1, 1, 1, 0]])
    expected = F.cross_entropy(logits[0, [0, 2]], torch.tensor([2, 1]))
    torch.testing.assert_close(ser_loss(logits, labels, mask), expected)
    nothing = ser_loss(logits, torch.full((1, 4), -100), mask)
    nothing.backward()
    assert nothing.item() == 0.0
    assert logits.grad is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape_size": 9}, "4 \\* coordinate_size \\+ 2 \\* shape_size is 50"),
        ({"num_attention_heads": 5}, "num_attention_heads 5"),
    ],
)
def test_impossible_configurations(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LayoutLMv2ForSer(small_config(**changes))


def test_a_window_that_is_too_long() -> None:
    model = LayoutLMv2ForSer(small_config(max_position_embeddings=16))
    with pytest.raises(ValueError, match="20 tokens exceeds max_position_embeddings 16"):
        model.encode(**inputs())


def test_autocast_to_bfloat16() -> None:
    """oneDNN is off: on some virtual machines its bfloat16 kernels use instructions that the machine refuses."""
    torch.manual_seed(0)
    model = LayoutLMv2ForKie(small_config(initializer_range=0.02)).train()
    batch, given, labels = inputs(), entities(), torch.randint(0, 7, (2, 20))
    batch["attention_mask"][1, 12:] = 0
    with torch.backends.mkldnn.flags(enabled=False):
        with torch.autocast("cpu", torch.bfloat16):
            output = model.eval()(**batch, labels=labels, **given)
        output.loss.backward()
    exact = model(**batch, labels=labels, **given)
    assert output.ser_logits.dtype == torch.bfloat16
    torch.testing.assert_close(output.ser_logits.float(), exact.ser_logits, atol=0.05, rtol=0)
    torch.testing.assert_close(output.loss, exact.loss, atol=0.05, rtol=0)
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())
