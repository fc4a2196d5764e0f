"""LayoutLMv2 with the page's pixels: properties that hold for any weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from kie_ray.errors import ConfigError
from kie_ray.models.encoder import LayoutLMv2Config, grid_boxes
from kie_ray.models.layoutlmv2 import (
    LayoutLMv2ForKie,
    LayoutLMv2ForMaskedLm,
    LayoutLMv2ForRe,
    LayoutLMv2ForSer,
    LayoutLMv2Model,
)
from kie_ray.models.resnext_fpn import FrozenBatchNorm
from tests.kie_ray.models.model_samples import entities, images, inputs, small_config, visual_config

FROZEN = ("bottom_up.stem.", "bottom_up.res2.", "fpn_output3.", "fpn_output4.", "fpn_output5.", "pooler.")
MILLION = 1_000_000


def test_grid_boxes_round_down_row_by_row() -> None:
    boxes = grid_boxes(7, 7, torch.device("cpu")).tolist()
    assert len(boxes) == 49
    assert boxes[:2] == [[0, 0, 142, 142], [142, 0, 285, 142]]
    assert boxes[7] == [0, 142, 142, 285]
    assert boxes[48] == [857, 857, 1000, 1000]
    assert [box[2] for box in boxes[:7]] == [142, 285, 428, 571, 714, 857, 1000]
    assert grid_boxes(1, 2, torch.device("cpu")).tolist() == [[0, 0, 500, 1000], [500, 0, 1000, 1000]]


@pytest.mark.parametrize("relative", [True, False])
def test_padding_changes_nothing(relative: bool) -> None:
    """Visual tokens follow the padding of the text, and count their own positions."""
    torch.manual_seed(0)
    config = visual_config(has_relative_attention_bias=relative, has_spatial_attention_bias=relative)
    model = LayoutLMv2ForSer(config).eval()
    batch = inputs(length=20)
    batch["attention_mask"][1, 12:] = 0
    alone = {name: value[1:2, :12] for name, value in batch.items()}
    with torch.inference_mode():
        features = model.image_features(images())
        hidden = model.encode(**batch, image_features=features)
        single = model.encode(**alone, image_features=features[1:2])
        unmasked = model.encode(alone["input_ids"], alone["bbox"], None, image_features=features[1:2])
    assert hidden.shape == (2, 20, 48)
    torch.testing.assert_close(hidden[1:2, :12], single, atol=1e-5, rtol=0)
    torch.testing.assert_close(unmasked, single, atol=1e-5, rtol=0)


def test_features_once_a_page_serve_all_its_windows() -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForSer(visual_config()).eval()
    windows, page_of_window = inputs(batch=3), torch.tensor([0, 0, 1])
    with torch.inference_mode():
        features = model.image_features(images(2))
        assert features.shape == (2, 49, 6)
        shared = model.encode(**windows, image_features=features[page_of_window])
        repeated = model(**windows, image=images(2)[page_of_window]).hidden
        blank = model(**windows, image=torch.full((3, 3, 224, 224), 255.0)).hidden
    torch.testing.assert_close(shared, repeated, atol=1e-5, rtol=0)
    assert float((shared - blank).abs().max()) > 1e-2


def test_chosen_layers_hold_text_tokens_only() -> None:
    model = LayoutLMv2ForSer(visual_config()).eval()
    with torch.inference_mode():
        features = model.image_features(images())
        hidden, (first, last) = model.encode(**inputs(), image_features=features, layers=(0, 1))
        whole = model.layoutlmv2(**inputs(), image_features=features, output_hidden_states=True)
    assert first.shape == hidden.shape == (2, 20, 48)
    assert torch.equal(last, hidden)
    assert whole.last_hidden_state.shape == (2, 69, 48)
    assert torch.equal(first, whole.hidden_states[1][:, :20])


def test_an_image_is_given_exactly_where_the_model_sees_one() -> None:
    seeing, blind = LayoutLMv2ForSer(visual_config()), LayoutLMv2ForSer(small_config())
    assert seeing.uses_image
    assert not blind.uses_image
    with pytest.raises(ConfigError, match="LayoutLMv2ForSer sees the page's pixels: pass image_features"):
        seeing.encode(**inputs())
    with pytest.raises(ConfigError, match="sees the page's pixels"):
        seeing(**inputs())
    with pytest.raises(ConfigError, match="LayoutLMv2ForSer has no image branch: it takes no image_features"):
        blind.encode(**inputs(), image_features=torch.zeros(2, 49, 6))
    with pytest.raises(ConfigError, match="LayoutLMv2ForSer has no image branch: it takes no image"):
        blind(**inputs(), image=images())


def test_gradient_reaches_all_that_is_not_frozen() -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForKie(visual_config(add_pooler=True, has_visual_segment_embedding=True)).train()
    norms = [module for module in model.modules() if isinstance(module, FrozenBatchNorm)]
    before = [value.clone() for norm in norms for value in norm.state_dict().values()]
    model(**inputs(), labels=torch.randint(0, 7, (2, 20)), image=images(), **entities()).loss.backward()
    for name, value in model.named_parameters():
        assert value.requires_grad is not any(part in name for part in FROZEN), name
        if value.requires_grad and not name.endswith("self.key.bias"):  # softmax ignores what all keys share
            assert value.grad is not None, name
            assert bool(value.grad.abs().sum() > 0), name
        if not value.requires_grad:
            assert value.grad is None, name
    after = [value for norm in norms for value in norm.state_dict().values()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_masked_lm_sees_the_page() -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForMaskedLm(visual_config()).eval()
    labels = torch.full((2, 20), -100)
    labels[0, 3] = 11
    with torch.inference_mode():
        output = model(**inputs(), labels=labels, image=images())
    torch.testing.assert_close(output.loss, F.cross_entropy(output.mlm_logits, torch.tensor([11])))


def test_re_alone_equals_the_joint_model() -> None:
    torch.manual_seed(0)
    joint = LayoutLMv2ForKie(visual_config()).eval()
    single = LayoutLMv2ForRe(visual_config()).eval()
    single.load_state_dict({name: joint.state_dict()[name] for name in single.state_dict()})
    with torch.inference_mode():
        both = joint(**inputs(), image=images(), **entities())
        one = single(**inputs(), image=images(), **entities())
    torch.testing.assert_close(both.re_logits, one.re_logits)


def test_a_saved_model_comes_back_with_its_frozen_parts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForSer(visual_config(add_pooler=True, has_visual_segment_embedding=True)).eval()
    model.save_pretrained(tmp_path)
    loaded, report = LayoutLMv2ForSer.from_pretrained(str(tmp_path), output_loading_info=True)
    assert not any(report.values())
    assert loaded.config.detectron2_config_args == model.config.detectron2_config_args
    frozen = {name for name, value in loaded.named_parameters() if not value.requires_grad}
    assert frozen == {name for name, value in model.named_parameters() if not value.requires_grad}
    assert any("res2" in name for name in frozen)
    with torch.inference_mode():
        assert torch.equal(loaded(**inputs(), image=images()).ser_logits, model(**inputs(), image=images()).ser_logits)


def test_a_branch_that_the_file_lacks_is_initialised_like_a_new_one(tmp_path: Path) -> None:
    LayoutLMv2ForSer(small_config()).save_pretrained(tmp_path)
    config = visual_config(has_visual_segment_embedding=True)
    model, report = LayoutLMv2ForSer.from_pretrained(str(tmp_path), config=config, output_loading_info=True)
    assert report["missing_keys"]
    norm = model.layoutlmv2.visual.backbone.bottom_up.res4[0].conv1.norm
    assert float(norm.running_var[0]) == pytest.approx(1 - norm.EPS)
    assert not norm.running_mean.any()
    with torch.inference_mode():
        features = model.eval().image_features(images())
    assert bool(features.isfinite().all())
    assert 1e-3 < float(features.std()) < 1e3


def test_a_configuration_that_does_not_say_is_huggingfaces() -> None:
    said = visual_config(add_pooler=False).to_dict()
    silent = {name: value for name, value in said.items() if name not in ("use_visual_backbone", "add_pooler")}
    assert not LayoutLMv2Config().use_visual_backbone
    assert LayoutLMv2Config.from_dict(silent).use_visual_backbone
    assert LayoutLMv2Config.from_dict(silent).add_pooler
    assert not LayoutLMv2Config.from_dict(said).add_pooler
    assert not LayoutLMv2Config.from_dict(small_config().to_dict()).use_visual_backbone


def test_parameters_of_the_published_model() -> None:
    """LayoutXLM-base with 7 classes, as PaddleNLP counts: 369.06 M in 746 tensors, normalisation included."""
    fields = {
        "vocab_size": 250002,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "fast_qkv": False,
        "has_relative_attention_bias": False,
        "has_spatial_attention_bias": False,
        "has_visual_segment_embedding": True,
        "add_pooler": True,
        "num_labels": 7,
    }
    with torch.device("meta"):
        model = LayoutLMv2ForSer(LayoutLMv2Config(**fields, use_visual_backbone=True))
    state = model.state_dict()
    assert len(state) == 746
    assert sum(value.numel() for value in state.values()) / MILLION == pytest.approx(369.06, abs=0.005)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_feature_pool_shape": [7, 7, 256]}, r"ends in 256, MODEL\.FPN\.OUT_CHANNELS is 6"),
        ({"max_position_embeddings": 48}, "max_position_embeddings is 48, the 7 x 7 visual tokens need 49"),
    ],
)
def test_impossible_configurations(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LayoutLMv2Model(visual_config(**changes))
