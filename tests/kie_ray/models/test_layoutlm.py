"""LayoutLM: directories shared with Hugging Face, properties that hold for any weights, and the image branch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from torch.nn import functional as F

from kie_ray.encoding.train_tokenizer import train_tokenizer
from kie_ray.errors import ConfigError
from kie_ray.models.bundle_info import BundleInfo
from kie_ray.models.bundle_models import load_models, save_bundle
from kie_ray.models.kie_model import KieModel
from kie_ray.models.layoutlm import (
    LayoutLMConfig,
    LayoutLMForKie,
    LayoutLMForMaskedLm,
    LayoutLMForRe,
    LayoutLMForSer,
    LayoutLMModel,
)
from tests.kie_ray.models.model_samples import entities, inputs

MODELS = (LayoutLMForSer, LayoutLMForRe, LayoutLMForKie, LayoutLMForMaskedLm)
IMAGE: dict[str, Any] = {"use_image_branch": True, "image_branch_blocks": [1, 1, 1]}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"use_1d_positions": False, "relation_geometry": 16, "add_pooler": False},
    IMAGE,
]


def small_fields(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "vocab_size": 200,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "max_position_embeddings": 64,
        "num_labels": 7,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.2,  # far from the linear regime, so that a wrong mask or table shows
    }
    return fields | changes


def small_config(**changes: Any) -> LayoutLMConfig:
    return LayoutLMConfig(**small_fields(**changes))


def small_model(kind: type[KieModel], **changes: Any) -> KieModel:
    """In eval mode; an image branch has every block at work, which in a new one are shortcuts."""
    torch.manual_seed(0)
    model = kind(small_config(**changes)).eval()
    for name, value in model.named_parameters():
        if name.endswith("bn3.weight"):
            torch.nn.init.uniform_(value, 0.5, 1.0)
    return model


def pages(count: int = 2) -> Tensor:
    return torch.randn((count, 3, 224, 224), generator=torch.Generator().manual_seed(3))


def image_of(variant: dict[str, Any]) -> dict[str, Tensor]:
    return {"image": pages()} if variant.get("use_image_branch") else {}


def padded() -> dict[str, Tensor]:
    """Two rows, the second of 12 tokens; types as a text with two segments has them."""
    batch = inputs()
    batch["attention_mask"][1, 12:] = 0
    batch["token_type_ids"] = (torch.arange(20) > 7).long().expand(2, 20)
    return batch


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_hugging_face_loads_ours_and_we_load_theirs(attention: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.LayoutLMConfig(**small_fields(), attn_implementation=attention)
    theirs = transformers.LayoutLMForTokenClassification(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ours, report = LayoutLMForSer.from_pretrained(str(tmp_path / "theirs"), output_loading_info=True)
    assert not any(report.values())
    ours.eval().save_pretrained(tmp_path / "ours")
    again, report = transformers.LayoutLMForTokenClassification.from_pretrained(
        str(tmp_path / "ours"), output_loading_info=True
    )
    assert not any(report.values())
    batch, labels = padded(), torch.randint(0, 7, (2, 20))
    labels[1, 12:] = -100
    with torch.inference_mode():
        output = ours(**batch, labels=labels)
        for model in (theirs, again.eval()):
            expected = model(**batch, labels=labels)
            real = batch["attention_mask"].bool()
            torch.testing.assert_close(output.ser_logits[real], expected.logits[real], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(output.loss, expected.loss, atol=1e-5, rtol=1e-5)


def test_hidden_states_and_pooled_output_are_hugging_faces() -> None:
    torch.manual_seed(0)
    theirs = transformers.LayoutLMModel(transformers.LayoutLMConfig(**small_fields())).eval()
    ours = LayoutLMModel(small_config()).eval()
    ours.load_state_dict(theirs.state_dict())
    batch = inputs()
    with torch.inference_mode():
        got, expected = (model(**batch, output_hidden_states=True) for model in (ours, theirs))
    assert len(got.hidden_states) == len(expected.hidden_states) == 3
    for one, other in zip(got.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got.last_hidden_state, expected.last_hidden_state, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got.pooler_output, expected.pooler_output, atol=1e-5, rtol=1e-5)


def test_masked_lm_directories_go_both_ways(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = transformers.LayoutLMForMaskedLM(transformers.LayoutLMConfig(**small_fields())).eval()
    torch.nn.init.normal_(theirs.cls.predictions.bias)
    theirs.save_pretrained(tmp_path / "theirs")
    ours, report = LayoutLMForMaskedLm.from_pretrained(str(tmp_path / "theirs"), output_loading_info=True)
    assert not any(report.values())
    head = ours.cls["predictions"]
    assert head is ours.lm_head
    assert head.decoder.weight is ours.get_input_embeddings().weight
    assert head.decoder.bias is head.bias
    ours.eval().save_pretrained(tmp_path / "ours")
    again, report = transformers.LayoutLMForMaskedLM.from_pretrained(str(tmp_path / "ours"), output_loading_info=True)
    assert not any(report.values())
    batch = padded()
    with torch.inference_mode():
        logits = ours(**batch).mlm_logits.unflatten(0, (2, 20))
        for model in (theirs, again.eval()):
            torch.testing.assert_close(logits[1, :12], model(**batch).logits[1, :12], atol=1e-4, rtol=1e-5)


def test_masked_lm_decodes_only_masked_tokens() -> None:
    model = small_model(LayoutLMForMaskedLm)
    batch, labels = inputs(), torch.full((2, 20), -100)
    labels[0, 3], labels[1, 7] = 11, 12
    output, everything = model(**batch, labels=labels), model(**batch)
    torch.testing.assert_close(output.mlm_logits, everything.mlm_logits[torch.tensor([3, 20 + 7])])
    torch.testing.assert_close(output.loss, F.cross_entropy(output.mlm_logits, torch.tensor([11, 12])))
    output.loss.backward()
    assert model.lm_head.bias.grad.any()


def test_a_pretrained_encoder_becomes_a_start_for_both_tasks(tmp_path: Path) -> None:
    """The published checkpoint is a bare encoder, whose names have no prefix."""
    torch.manual_seed(0)
    encoder = transformers.LayoutLMModel(transformers.LayoutLMConfig(**small_fields()))
    encoder.save_pretrained(tmp_path)
    model, report = LayoutLMForKie.from_pretrained(str(tmp_path), output_loading_info=True)
    assert not report["unexpected_keys"]
    assert {name.split(".")[0] for name in report["missing_keys"]} == {"classifier", "extractor"}
    for name, value in encoder.state_dict().items():
        assert torch.equal(model.layoutlm.state_dict()[name], value), name
    bilinear = model.extractor.rel_classifier.bilinear.weight
    assert float(bilinear.detach().std()) == pytest.approx(bilinear.shape[-1] ** -0.5 / 3**0.5, rel=0.1)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_save_and_load(kind: type[KieModel], variant: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = kind(small_config(**variant))
    model.save_pretrained(tmp_path)
    loaded, report = kind.from_pretrained(str(tmp_path), output_loading_info=True)
    assert not any(report.values())
    for field in LayoutLMConfig.__annotations__:
        before, after = getattr(model.config, field), getattr(loaded.config, field)
        assert after == before or list(after) == list(before), field
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("folder", ["kie", "ser"])
def test_a_bundle_holds_it(folder: str, tmp_path: Path) -> None:
    model = small_model(LayoutLMForKie if folder == "kie" else LayoutLMForSer)
    info = BundleInfo(
        name="test", tasks=["ser"], labels=["OTHER", "QUESTION", "ANSWER", "HEADER"], max_tokens=64, image="none"
    )
    tokenizer = train_tokenizer(["name: Ray Charles"] * 3, vocab_size=200)
    loaded = load_models(save_bundle(tmp_path / "bundle", info, tokenizer, {folder: model}, "card")).ser
    assert type(loaded) is type(model)
    with torch.inference_mode():
        assert torch.equal(loaded(**inputs()).ser_logits, model(**inputs()).ser_logits)


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_changes_nothing(variant: dict[str, Any]) -> None:
    """A page alone, and the same page in a batch with a longer one."""
    model = small_model(LayoutLMForSer, **variant)
    batch = inputs()
    batch["attention_mask"][1, 12:] = 0
    batch["bbox"][1, 12:] = 0
    alone = {name: value[1:2, :12] for name, value in batch.items()}
    with torch.inference_mode():
        features = model.image_features(pages()) if model.uses_image else None
        hidden = model.encode(**batch, image_features=features)
        single = None if features is None else features[1:]
        torch.testing.assert_close(hidden[1:2, :12], model.encode(**alone, image_features=single), atol=1e-5, rtol=1e-5)
        unmasked = model.encode(alone["input_ids"], alone["bbox"], None, image_features=single)
    torch.testing.assert_close(hidden[1:2, :12], unmasked, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_reaches_every_parameter(variant: dict[str, Any]) -> None:
    model = small_model(LayoutLMForKie, **variant).train()
    output = model(**inputs(), labels=torch.randint(0, 7, (2, 20)), **entities(), **image_of(variant))
    output.loss.backward()
    unreached = {
        name for name, value in model.named_parameters() if value.grad is None or not bool(value.grad.abs().sum() > 0)
    }
    # softmax ignores a constant added to all keys of a query, and the pooler serves no task
    assert unreached == {name for name in unreached if "pooler" in name or name.endswith("self.key.bias")}


def test_chosen_layers_come_with_the_hidden_states() -> None:
    model = small_model(LayoutLMForSer, num_hidden_layers=3)
    outputs: dict[int, Tensor] = {}
    for number, layer in enumerate(model.layoutlm.encoder.layer):
        layer.register_forward_hook(lambda _, __, output, number=number: outputs.__setitem__(number, output))
    hidden, (second, first) = model.encode(**inputs(), layers=(1, 0))
    assert torch.equal(second, outputs[1])
    assert torch.equal(first, outputs[0])
    assert torch.equal(hidden, outputs[2])


def image_part(model: KieModel, features: Tensor, bbox: Tensor) -> Tensor:
    """What the image adds to each token's output: [B, T, H]."""
    ids = torch.ones(bbox.shape[:2], dtype=torch.int64)
    branch, model.layoutlm.image_branch = model.layoutlm.image_branch, None
    text = model.encode(ids, bbox, None)
    model.layoutlm.image_branch = branch
    return model.encode(ids, bbox, None, image_features=features) - text


def test_the_image_branch_adds_the_projected_map_under_each_box() -> None:
    """Channel 5 of the map is the column's number, channel 6 the row's: the middle bin's mean is the box's centre."""
    model = small_model(LayoutLMForSer, **IMAGE)
    projection = model.layoutlm.image_branch.projection
    features = torch.zeros(2, 1024, 14, 14)
    features[:, 5], features[:, 6] = torch.arange(14.0), torch.arange(14.0)[:, None]
    features[1] *= 2  # another page
    boxes = torch.tensor([[200, 100, 400, 500], [500, 500, 900, 600]]).expand(2, 2, 4)
    with torch.inference_mode():
        torch.nn.init.zeros_(projection.weight)
        torch.nn.init.constant_(projection.bias, 0.25)
        # 3 x 3 bins of a channel stand side by side: 4 is the middle one
        projection.weight[0, 5 * 9 + 4] = 1.0
        projection.weight[1, 6 * 9 + 4] = 1.0
        projection.weight[2, 5 * 9 + 5] = 1.0
        added = image_part(model, features, boxes)
    centres = torch.tensor([[300, 300], [700, 550]]) * 14 / 1000
    right = torch.tensor([300 + 200 / 3, 700 + 400 / 3]) * 14 / 1000
    expected = torch.cat([centres, right[:, None]], dim=1)
    torch.testing.assert_close(added[0, :, :3], expected + 0.25, atol=1e-4, rtol=0)
    torch.testing.assert_close(added[1, :, :3], 2 * expected + 0.25, atol=1e-4, rtol=0)
    torch.testing.assert_close(added[..., 3:], torch.full((2, 2, 45), 0.25), atol=1e-4, rtol=0)


def test_boxes_may_be_rounded_to_pixels() -> None:
    """x 221..447 of 1000 is 49.504..100.128 of 224: as pixels 50..100, widened 49.5..100.5, whose right bin differs."""
    exact, rounded = (small_model(LayoutLMForSer, **IMAGE, image_branch_pixel_boxes=flag) for flag in (False, True))
    features = torch.zeros(1, 1024, 14, 14)
    features[:, 0] = torch.arange(14.0)
    bbox = torch.tensor([[[221, 300, 447, 600]]])
    added = []
    for model in (exact, rounded):
        projection = model.layoutlm.image_branch.projection
        with torch.inference_mode():
            torch.nn.init.zeros_(projection.weight)
            torch.nn.init.zeros_(projection.bias)
            projection.weight[0, 5] = 1.0
            added.append(float(image_part(model, features, bbox)[0, 0, 0]))
    assert added[0] == pytest.approx((49.504 + 5 / 6 * (100.128 - 49.504)) / 16, abs=1e-4)
    assert added[1] == pytest.approx((49.5 + 5 / 6 * 51.0) / 16, abs=1e-4)


def test_windows_of_a_page_share_its_features() -> None:
    model = small_model(LayoutLMForSer, **IMAGE)
    batch = inputs(batch=3)
    page_of_window = torch.tensor([0, 1, 1])
    with torch.inference_mode():
        features = model.image_features(pages())
        assert features.shape == (2, 1024, 14, 14)
        shared = model.ser_logits(model.encode(**batch, image_features=features[page_of_window]))
        whole = model(**batch, image=pages()[page_of_window]).ser_logits
        other = model(**batch, image=pages()[torch.tensor([0, 0, 1])]).ser_logits
    torch.testing.assert_close(shared, whole, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(other[1], whole[1], atol=1e-3)


def test_images_where_they_belong_only() -> None:
    text, visual = small_model(LayoutLMForSer), small_model(LayoutLMForSer, **IMAGE)
    assert not text.uses_image
    assert visual.uses_image
    batch, features = inputs(), torch.zeros(2, 1024, 14, 14)
    with pytest.raises(ConfigError, match="has no image branch"):
        text.encode(**batch, image_features=features)
    with pytest.raises(ConfigError, match="has no image branch"):
        text(**batch, image=pages())
    with pytest.raises(ConfigError, match="pass image_features"):
        visual(**batch)
    with pytest.raises(ConfigError, match="has no image branch"):
        text.layoutlm.image_features(pages())
    with pytest.raises(ConfigError, match="use_image_branch is True, image_features were not given"):
        visual.layoutlm(**batch)
    with pytest.raises(ConfigError, match="use_image_branch is False, image_features were given"):
        text.layoutlm(**batch, image_features=features)


@pytest.mark.parametrize("from_text_model", [False, True])
def test_a_new_image_branch_is_not_blown_up_by_its_depth(from_text_model: bool, tmp_path: Path) -> None:
    """The same start in a new model and in one whose file has no image branch."""
    torch.manual_seed(0)
    config = small_config(use_image_branch=True, image_branch_blocks=[3, 4, 6])
    if from_text_model:
        LayoutLMForSer(small_config()).save_pretrained(tmp_path)
        model = LayoutLMForSer.from_pretrained(str(tmp_path), config=config)
    else:
        model = LayoutLMForSer(config)
    with torch.inference_mode():
        features = model.image_features(pages(1))
    assert 0.03 < float(features.std()) < 1
    blocks = model.layoutlm.image_branch.backbone.layer2
    assert float(blocks[1].conv2.weight.detach().std()) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)


def test_a_window_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="20 tokens exceeds max_position_embeddings 16"):
        small_model(LayoutLMForSer, max_position_embeddings=16).encode(**inputs())
    free = small_model(LayoutLMForSer, max_position_embeddings=16, use_1d_positions=False)
    assert free.encode(**inputs()).shape == (2, 20, 48)


def test_attention_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="num_attention_heads 5"):
        LayoutLMForSer(small_config(num_attention_heads=5))


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_weights(variant: dict[str, Any]) -> None:
    """oneDNN is off: on some virtual machines its bfloat16 kernels use instructions that the machine refuses."""
    model = small_model(LayoutLMForSer, **variant, **{"initializer_range": 0.02})
    batch, image = padded(), image_of(variant)
    with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=False):
        exact = model(**batch, **image).ser_logits
        half = model.bfloat16()
        logits = half(**batch, **{name: value.bfloat16() for name, value in image.items()}).ser_logits
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), exact, atol=0.05 * float(exact.abs().max()), rtol=0)
