"""A packed model gives what the model gave, and refuses what it cannot be used for."""

from __future__ import annotations

import weakref
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from kie_ray.encoding.train_tokenizer import train_tokenizer
from kie_ray.models import packed
from kie_ray.models.bundle_info import BundleInfo
from kie_ray.models.bundle_models import load_models, save_bundle
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForSer
from kie_ray.models.layoutlmv2 import LayoutLMv2ForKie, LayoutLMv2ForSer
from kie_ray.models.packed import PackedLinear, PackedResNext, PackedSelfAttention, can_pack, pack
from tests.kie_ray.models.model_samples import entities, images, inputs, small_config, visual_config

pytestmark = pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")

VARIANTS: list[dict[str, Any]] = [
    {},
    {"fast_qkv": False, "has_relative_attention_bias": False, "has_spatial_attention_bias": False},
    {"hidden_act": "relu"},
    {"hidden_act": "gelu_new"},
]


def randomise(model: torch.nn.Module) -> None:
    """Biases and normalisation as in a trained model: a part that packing forgets then shows."""
    for name, value in list(model.named_parameters()) + list(model.named_buffers()):
        if name.endswith("running_var"):
            torch.nn.init.uniform_(value, 0.5, 1.5)
        elif name.endswith(("bias", "running_mean")) or value.dim() == 3:
            torch.nn.init.normal_(value, std=0.2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_packed_encoder_gives_the_same(variant: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForKie(small_config(**variant)).eval()
    randomise(model)
    fast = deepcopy(model)
    pack(fast)
    assert any(isinstance(module, PackedSelfAttention) for module in fast.modules())
    for batch, length in ((2, 20), (1, 1), (5, 33)):
        given = inputs(batch, length)
        given["attention_mask"][-1, length // 2 + 1 :] = 0
        with torch.inference_mode():
            torch.testing.assert_close(fast.encode(**given), model.encode(**given), atol=1e-4, rtol=0)
    with torch.inference_mode():
        ours, theirs = fast(**inputs(), **entities()), model(**inputs(), **entities())
    torch.testing.assert_close(ours.re_logits, theirs.re_logits, atol=1e-4, rtol=0)


def test_a_packed_layoutlm_gives_the_same() -> None:
    torch.manual_seed(0)
    config = small_config()
    fields = {name: getattr(config, name) for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_labels")}
    model = LayoutLMForSer(LayoutLMConfig(**fields, num_attention_heads=4, intermediate_size=96)).eval()
    randomise(model)
    fast = deepcopy(model)
    pack(fast)
    assert any(isinstance(module, PackedLinear) for module in fast.modules())
    with torch.inference_mode():
        torch.testing.assert_close(fast.encode(**inputs()), model.encode(**inputs()), atol=1e-5, rtol=0)


def test_the_weights_are_never_there_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part is freed before the next one is packed, and its memory given back to the system."""
    model = LayoutLMv2ForSer(small_config()).eval()
    kinds = tuple(packed._PACKED)
    originals = [weakref.ref(module) for module in model.modules() if isinstance(module, kinds)]
    left: list[int] = []
    monkeypatch.setattr(
        packed, "_release_freed_memory", lambda: left.append(sum(ref() is not None for ref in originals))
    )
    pack(model)
    assert len(originals) > 3
    assert left == list(range(len(originals)))[::-1]


@pytest.mark.parametrize("pages", [1, 3])
def test_a_packed_backbone_gives_the_same(pages: int) -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForSer(visual_config()).eval()
    randomise(model)
    fast = deepcopy(model)
    pack(fast)
    assert any(isinstance(module, PackedResNext) for module in fast.modules())
    for pixels in (images(pages), images(pages)[..., :96, :160]):
        with torch.inference_mode():
            ours, theirs = fast.image_features(pixels), model.image_features(pixels)
        scale = float(theirs.std())
        assert scale > 0.1
        torch.testing.assert_close(ours, theirs, atol=1e-4 * scale, rtol=0)


@pytest.mark.parametrize("state", ["training", "half", "meta"])
def test_other_states_are_refused(state: str) -> None:
    model = LayoutLMv2ForSer(small_config()).eval()
    model = {"training": model.train, "half": model.half, "meta": lambda: model.to("meta")}[state]()
    before = model.state_dict().keys()
    with pytest.raises(ValueError, match="only a float32 model in eval mode on the CPU can be packed"):
        pack(model)
    assert model.state_dict().keys() == before


def test_without_the_operators_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_OPERATORS", ("_operator_of_another_torch",))
    model = LayoutLMv2ForSer(small_config()).eval()
    before = model.state_dict().keys()
    pack(model)
    assert model.state_dict().keys() == before


def test_a_bundle_is_packed_for_inference_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["name: Ray Charles"] * 3, vocab_size=200)
    info = BundleInfo(
        name="test", tasks=["ser"], labels=["OTHER", "QUESTION", "ANSWER", "HEADER"], max_tokens=64, image="bgr"
    )
    bundle = save_bundle(tmp_path / "b", info, tokenizer, {"ser": LayoutLMv2ForSer(visual_config())}, "card")
    plain, fast = load_models(bundle).ser, load_models(bundle, inference_only=True).ser
    half = load_models(bundle, dtype=torch.bfloat16, inference_only=True).ser
    assert plain is not None
    assert fast is not None
    assert half is not None
    kinds = [any(isinstance(module, PackedLinear) for module in model.modules()) for model in (plain, fast, half)]
    assert kinds == [False, True, False]
    with torch.inference_mode():
        ours, theirs = (model(**inputs(), image=images()).ser_logits for model in (fast, plain))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
