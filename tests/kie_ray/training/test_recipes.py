"""Every recipe that the package ships is valid and says what was published."""

from __future__ import annotations

from pathlib import Path

import pytest

import kie_ray
from kie_ray.config import load_settings
from kie_ray.training.config import TrainConfig
from kie_ray.training.schedule import learning_rate

FOLDER = Path(kie_ray.__file__).parent / "configs"
RECIPES = sorted(item.name for item in FOLDER.glob("*.yaml") if item.name != "extract.yaml")
OWN = {"finetune.yaml", "pretrain.yaml", "pretrain_visual.yaml", "train_bundled.yaml"}
PAGES = 149
"""Training pages of XFUND zh, and of FUNSD."""

LINEAR, CONSTANT = "paddle_linear", "constant"
PUBLISHED = {
    # epochs, warm-up epochs, pages a batch, schedule, clipping norm; then steps and warm-up steps that follow
    "vi_layoutxlm_ser_xfund_zh": (200, 2, 8, LINEAR, 0.0, 3800, 38),
    "vi_layoutxlm_ser_funsd": (200, 2, 8, LINEAR, 0.0, 3800, 38),
    "vi_layoutxlm_ser_xfund_zh_udml": (200, 10, 4, LINEAR, 0.0, 7600, 380),
    "vi_layoutxlm_re_xfund_zh": (130, 10, 2, CONSTANT, 10.0, 9750, 750),
    "vi_layoutxlm_re_funsd": (130, 10, 2, CONSTANT, 10.0, 9750, 750),
    "vi_layoutxlm_re_xfund_zh_udml": (130, 10, 2, CONSTANT, 10.0, 9750, 750),
    "layoutxlm_ser_xfund_zh": (200, 2, 8, LINEAR, 0.0, 3800, 38),
    "layoutxlm_re_xfund_zh": (130, 10, 2, CONSTANT, 10.0, 9750, 750),
    "layoutlmv2_ser_xfund_zh": (200, 2, 8, LINEAR, 0.0, 3800, 38),
    "layoutlmv2_ser_funsd": (200, 2, 8, LINEAR, 0.0, 3800, 38),
    "layoutlmv2_re_xfund_zh": (200, 10, 8, CONSTANT, 10.0, 3800, 190),
    "layoutlmv2_re_funsd": (200, 10, 8, CONSTANT, 10.0, 3800, 190),
    "layoutlm_ser_xfund_zh": (200, 2, 8, LINEAR, 0.0, 3800, 38),
}


def load(name: str) -> TrainConfig:
    return load_settings(TrainConfig, FOLDER / name)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid(name: str) -> None:
    config = load(name)
    assert {source for phase in config.phases for source in phase.mix} <= {source.name for source in config.sources}


def test_every_recipe_is_published_or_ours() -> None:
    assert set(RECIPES) == OWN | {f"train_{name}.yaml" for name in PUBLISHED}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_has_the_published_numbers(name: str) -> None:
    epochs, warmup_epochs, pages, schedule, clip, steps, warmup = PUBLISHED[name]
    config = load(f"train_{name}.yaml")
    (phase,) = config.phases
    assert (phase.epochs, phase.warmup_epochs, phase.pages_per_batch) == (epochs, warmup_epochs, pages)
    assert (phase.schedule, phase.learning_rate, phase.final_learning_rate) == (schedule, 5e-5, 0)
    assert (config.clip_norm, config.clip_rule) == (clip, "tensor")
    assert (config.seed, config.weight_decay, config.encoding.max_tokens) == (2022, 0, 512)
    assert config.tasks == (["re"] if "_re_" in name else ["ser"])
    assert (config.re_loss, phase.mlm_weight) == ("published", 0)
    assert not any(phase.augment.model_dump().values()), "the published recipes change no page"
    assert (config.distillation is not None) == name.endswith("udml")
    data = {source.name: source.path for source in (*config.sources, *config.validation)}
    assert all(path.startswith("funsd/" if "funsd" in name else "xfund_zh/") for path in data.values())
    assert config.evaluate_every == 19
    assert config.keep == "best"

    resolved = phase.resolved(PAGES)
    assert (resolved.steps, resolved.warmup_steps) == (steps, warmup)
    assert learning_rate(resolved, 0) == 0
    assert learning_rate(resolved, 1) == pytest.approx(5e-5 / warmup)
    assert learning_rate(resolved, warmup) == pytest.approx(5e-5)
    last = 5e-5 if schedule == CONSTANT else 5e-5 * (warmup + 1) / steps
    assert learning_rate(resolved, steps - 1) == pytest.approx(last)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_prepares_pages_as_paddleocr_does(name: str) -> None:
    config = load(f"train_{name}.yaml")
    vi = name.startswith("vi_")
    assert config.encoding.reading_order == ("tb-yx-paddle" if vi else "none")
    seen = not vi and not name.startswith("layoutlm_")
    assert config.encoding.image == ("paddle" if seen else "none")
    if vi:
        return
    model = config.model
    sizes = (model.hidden_size, model.num_hidden_layers, model.num_attention_heads, model.intermediate_size)
    assert sizes == (768, 12, 12, 3072)
    assert model.family == ("layoutlmv2" if seen else "layoutlm")
    if seen:
        assert model.visual_backbone is not None
        assert set(model.visual_backbone.model_dump().values()) == {101, 32, 8, 64, 256}
        assert model.has_relative_attention_bias == model.has_spatial_attention_bias == name.startswith("layoutlmv2")


def test_visual_pretraining_has_the_shares_of_the_paper() -> None:
    (phase,) = load("pretrain_visual.yaml").phases
    augment = phase.augment
    assert (augment.token_mask, augment.line_cover, augment.image_swap, augment.image_drop) == (0.15, 0.15, 0.15, 0.05)
    assert (phase.mlm_weight, phase.tia_weight, phase.tim_weight) == (1, 1, 1)
    resolved = phase.resolved(6400)
    assert (resolved.steps, resolved.warmup_steps) == (500, 50)
