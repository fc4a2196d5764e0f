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
PUBLISHED = [name for name in RECIPES if name.startswith("train_vi_layoutxlm")]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid(name: str) -> None:
    config = load_settings(TrainConfig, FOLDER / name)
    assert {source for phase in config.phases for source in phase.mix} <= {source.name for source in config.sources}


@pytest.mark.parametrize(
    ("name", "pages", "steps", "warmup"),
    [
        ("ser_xfund_zh", 149, 3800, 38),
        ("ser_funsd", 149, 3800, 38),
        ("ser_xfund_zh_udml", 149, 7600, 380),
        ("re_xfund_zh", 149, 9750, 750),
        ("re_funsd", 149, 9750, 750),
        ("re_xfund_zh_udml", 149, 9750, 750),
    ],
)
def test_published_steps_and_rates(name: str, pages: int, steps: int, warmup: int) -> None:
    config = load_settings(TrainConfig, FOLDER / f"train_vi_layoutxlm_{name}.yaml")
    (phase,) = (phase.resolved(pages) for phase in config.phases)
    assert (phase.steps, phase.warmup_steps) == (steps, warmup)
    assert learning_rate(phase, 0) == 0
    assert learning_rate(phase, warmup) == pytest.approx(5e-5)
    last = learning_rate(phase, steps - 1)
    assert last == pytest.approx(5e-5 if name.startswith("re") else 5e-5 * (warmup + 1) / steps)
    assert (config.distillation is not None) == name.endswith("udml")
    assert (config.clip_norm, config.clip_rule) == ((10.0, "tensor") if name.startswith("re") else (0.0, "tensor"))
    assert config.weight_decay == 0


def test_every_published_recipe_is_checked() -> None:
    assert len(PUBLISHED) == 6
