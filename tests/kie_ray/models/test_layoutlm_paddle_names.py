"""Every parameter of PaddleNLP's LayoutLM finds its place in ours."""

from __future__ import annotations

import pytest

from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForMaskedLm, LayoutLMForSer
from kie_ray.models.layoutlm_paddle_names import paddle_name

LAYERS = 12
TABLES = ("word", "position", "x_position", "y_position", "h_position", "w_position", "token_type")
LINEAR = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "linear1", "linear2")


def paddle_names() -> list[str]:
    """The state dict of LayoutLMForTokenClassification in PaddleNLP, without its constant `position_ids`."""
    modules = ["layoutlm.embeddings.layer_norm", "layoutlm.pooler.dense", "classifier"]
    for layer in range(LAYERS):
        modules += [f"layoutlm.encoder.layers.{layer}.{part}" for part in (*LINEAR, "norm1", "norm2")]
    tables = [f"layoutlm.embeddings.{table}_embeddings.weight" for table in TABLES]
    return tables + [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]


MASKED_LM = ("transform.weight", "transform.bias", "layer_norm.weight", "layer_norm.bias", "decoder_bias")


def test_the_masked_token_head_is_that_of_our_model() -> None:
    """The decoder's weight is the word embeddings', under whichever of its names a file has it."""
    small = LayoutLMConfig(vocab_size=10, hidden_size=8, intermediate_size=8, num_attention_heads=2)
    encoder = [name for name in paddle_names() if not name.startswith("classifier.")]
    theirs = [*encoder, *(f"cls.predictions.{name}" for name in MASKED_LM), "cls.predictions.decoder_weight"]
    model = LayoutLMForMaskedLm(small)
    aliases = {"cls.predictions.decoder.bias"}
    assert sorted(map(paddle_name, theirs)) == sorted(set(model.state_dict()) - aliases)


def test_the_names_are_those_of_our_model() -> None:
    small = LayoutLMConfig(vocab_size=10, hidden_size=8, intermediate_size=8, num_attention_heads=2, num_labels=3)
    assert small.num_hidden_layers == LAYERS
    renamed = [paddle_name(name) for name in paddle_names()]
    assert sorted(renamed) == sorted(LayoutLMForSer(small).state_dict())


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("encoder.layers.11.self_attn.k_proj.bias", "encoder.layer.11.attention.self.key.bias"),
        ("encoder.layers.3.self_attn.out_proj.weight", "encoder.layer.3.attention.output.dense.weight"),
        ("encoder.layers.0.norm1.weight", "encoder.layer.0.attention.output.LayerNorm.weight"),
        ("encoder.layers.0.norm2.weight", "encoder.layer.0.output.LayerNorm.weight"),
        ("encoder.layers.0.linear1.weight", "encoder.layer.0.intermediate.dense.weight"),
        ("encoder.layers.0.linear2.weight", "encoder.layer.0.output.dense.weight"),
        ("embeddings.layer_norm.bias", "embeddings.LayerNorm.bias"),
        ("embeddings.position_ids", "embeddings.position_ids"),
        ("classifier.weight", "classifier.weight"),
    ],
)
def test_names_one_by_one(theirs: str, ours: str) -> None:
    """Pairs of equal shape could be exchanged without the test above seeing it."""
    assert paddle_name(theirs) == ours
    assert paddle_name(f"layoutlm.{theirs}") == f"layoutlm.{ours}"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("transform.weight", "transform.dense.weight"),
        ("transform.bias", "transform.dense.bias"),
        ("layer_norm.weight", "transform.LayerNorm.weight"),
        ("layer_norm.bias", "transform.LayerNorm.bias"),
        ("decoder_weight", "decoder.weight"),
        ("decoder_bias", "bias"),
    ],
)
def test_names_of_the_masked_token_head(theirs: str, ours: str) -> None:
    assert paddle_name(f"cls.predictions.{theirs}") == f"cls.predictions.{ours}"
