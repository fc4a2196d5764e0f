"""Every tensor of a checkpoint finds its place, and every place its tensor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kie_ray.errors import ConfigError
from kie_ray.models.checkpoint_tensors import as_encoder, fit_tensors, head_sizes
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForMaskedLm
from kie_ray.models.layoutlmv2 import LayoutLMv2ForMaskedLm, LayoutLMv2ForSer, LayoutLMv2Model
from kie_ray.models.resnext_fpn import PIXEL_MEAN, BackboneSize
from tests.kie_ray.models.model_samples import inputs, small_config

ENCODER = "layoutlmv2."
SMALLEST = BackboneSize(50, 2, 2, 4, 8, 8).to_detectron2()


def source(model: torch.nn.Module) -> dict[str, tuple[str, Tensor]]:
    return {name: (f"their.{name}", value.clone()) for name, value in model.state_dict().items()}


def models() -> tuple[LayoutLMv2ForSer, LayoutLMv2ForSer]:
    """Two of one shape with different weights."""
    torch.manual_seed(0)
    return LayoutLMv2ForSer(small_config()).eval(), LayoutLMv2ForSer(small_config()).eval()


def test_all_tensors_are_taken_over() -> None:
    theirs, ours = models()
    assert fit_tensors(ours, source(theirs), ENCODER) == []
    with torch.inference_mode():
        torch.testing.assert_close(ours(**inputs()).ser_logits, theirs(**inputs()).ser_logits, atol=0, rtol=0)


def test_known_left_overs_are_listed_by_their_own_names() -> None:
    theirs, ours = models()
    extra = {
        f"{ENCODER}embeddings.position_ids": ("layoutxlm.embeddings.position_ids", torch.arange(4)),
        f"{ENCODER}visual.pixel_mean": ("p", torch.zeros(3)),
        f"{ENCODER}visual.backbone.bottom_up.stem.conv1.norm.num_batches_tracked": ("n", torch.tensor(1)),
        "cls.predictions.bias": ("c", torch.zeros(3)),
    }
    assert fit_tensors(ours, source(theirs) | extra, ENCODER) == ["c", "layoutxlm.embeddings.position_ids", "n", "p"]


def test_what_is_unknown_missing_or_of_another_shape_is_an_error() -> None:
    theirs, ours = models()
    tensors = source(theirs)
    unknown = {f"{ENCODER}adapter.{index}": (f"their.adapter.{index}", torch.zeros(1)) for index in range(10)}
    with pytest.raises(ConfigError, match=r"10 tensors have no place in LayoutLMv2ForSer: their\.adapter\.0, .*\.\.\."):
        fit_tensors(ours, tensors | unknown, ENCODER)
    with pytest.raises(ConfigError, match=r"no tensor for classifier\.bias \[7\]"):
        fit_tensors(ours, {name: value for name, value in tensors.items() if name != "classifier.bias"}, ENCODER)
    with pytest.raises(ConfigError, match=r"tensor x gives classifier\.bias \[8\], expected \[7\]"):
        fit_tensors(ours, tensors | {"classifier.bias": ("x", torch.zeros(8))}, ENCODER)


def test_a_model_that_sees_pixels_has_the_published_constants() -> None:
    config = small_config(use_visual_backbone=True, image_feature_pool_shape=[7, 7, 8], detectron2_config_args=SMALLEST)
    torch.manual_seed(3)
    theirs, ours = LayoutLMv2ForSer(config), LayoutLMv2ForSer(config)
    mean = torch.tensor(PIXEL_MEAN)[:, None, None]
    name = f"{ENCODER}visual.pixel_mean"
    assert fit_tensors(ours, source(theirs) | {name: ("mean", mean)}, ENCODER) == ["mean"]
    with pytest.raises(ConfigError, match=r"tensor mean is \[.*\], expected the published \(103\.53, "):
        fit_tensors(ours, source(theirs) | {name: ("mean", mean + 1)}, ENCODER)


@pytest.mark.parametrize("kept", ["cls.predictions.bias", "cls.predictions.decoder.bias", "both"])
def test_tied_tensors_may_have_either_name(kept: str) -> None:
    config = LayoutLMConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(1)
    theirs, ours = LayoutLMForMaskedLm(config).eval(), LayoutLMForMaskedLm(config).eval()
    with torch.no_grad():
        theirs.lm_head.bias.normal_()
    tensors = source(theirs)
    names = {"cls.predictions.bias", "cls.predictions.decoder.bias"}
    for name in names - {kept} if kept in names else set():
        del tensors[name]
    if kept != "both":
        del tensors["cls.predictions.decoder.weight"]
    assert fit_tensors(ours, tensors, "layoutlm.") == []
    with torch.inference_mode():
        ids, boxes = torch.tensor([[3, 4, 5]]), torch.zeros((1, 3, 4), dtype=torch.int64)
        torch.testing.assert_close(ours(ids, boxes).mlm_logits, theirs(ids, boxes).mlm_logits, atol=0, rtol=0)


def test_head_sizes() -> None:
    shapes = {"classifier.bias": (9,), "extractor.entity_emb.weight": (5, 48), "x.pooler.dense.weight": (48, 48)}
    assert head_sizes(shapes) == {"add_pooler": True, "num_labels": 9, "num_entity_labels": 5}
    assert head_sizes({}) == {"add_pooler": False}


def test_a_bare_encoder_becomes_what_training_starts_from() -> None:
    torch.manual_seed(2)
    bare = LayoutLMv2Model(small_config()).eval()
    before = torch.random.get_rng_state()
    whole = as_encoder(bare)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert isinstance(whole, LayoutLMv2ForMaskedLm)
    assert not whole.training
    assert whole.lm_head.decoder.weight is whole.get_input_embeddings().weight  # type: ignore[union-attr]
    with torch.inference_mode():
        states = whole.encode(*inputs().values())
        torch.testing.assert_close(states, bare(**inputs()).last_hidden_state, atol=0, rtol=0)
    again = as_encoder(bare)
    assert torch.equal(again.lm_head.dense.weight, whole.lm_head.dense.weight)  # type: ignore[union-attr]
    assert as_encoder(whole) is whole
