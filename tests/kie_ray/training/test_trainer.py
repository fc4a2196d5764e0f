"""The training loop on a tiny model and made-up forms: deterministic, resumable, and it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kie_ray.annotator import Annotator
from kie_ray.errors import ConfigError
from kie_ray.models.bundle import Bundle
from kie_ray.training.config import TrainConfig
from kie_ray.training.corpus import PageSampler, load_corpus
from kie_ray.training.export import write_bundle
from kie_ray.training.trainer import Trainer


def tiny_config(steps: int = 4, **changes: Any) -> TrainConfig:
    tree: dict[str, Any] = {
        "name": "tiny",
        "threads": 1,
        "sources": [{"name": "made_up", "kind": "synthetic", "pages": 3, "language": "en"}],
        "model": {
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "coordinate_size": 6,
            "shape_size": 4,
            "relation_geometry": 16,
        },
        "encoding": {"vocab_size": 700, "max_tokens": 128, "overlap_tokens": 32},
        "phases": [
            {
                "name": "only",
                "steps": steps,
                "mix": {"made_up": 1.0},
                "learning_rate": 3e-3,
                "warmup_steps": 2,
                "tokens_per_batch": 300,
            }
        ],
        "weights_dtype": "float32",
        "average_decay": 0.9,
        "evaluate_every": 1000,
        "checkpoint_every": 2,
    }
    return TrainConfig.model_validate(tree | changes)


def losses_of(trainer: Trainer, upto: int | None = None, save_to: Path | None = None) -> list[float]:
    """Run to the end and give the loss of each reported checkpoint step; optionally keep the first checkpoint."""
    seen: list[float] = []

    def report(metrics: dict[str, Any], save: bool) -> None:
        seen.append(metrics["loss"])
        if save and save_to is not None and not (save_to / "trainer.pt").exists():
            save_to.mkdir(parents=True, exist_ok=True)
            trainer.save(save_to)

    trainer.run(report=report)
    return seen


def test_two_runs_agree_to_the_last_digit() -> None:
    config = tiny_config()
    first, second = (Trainer(config, load_corpus(config)) for _ in range(2))
    assert losses_of(first) == losses_of(second)
    for name, value in first.objective.state_dict().items():
        assert torch.equal(value, second.objective.state_dict()[name]), name


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path: Path) -> None:
    config = tiny_config()
    whole = Trainer(config, load_corpus(config))
    losses_of(whole, save_to=tmp_path / "half")
    resumed = Trainer(config, load_corpus(config))
    resumed.load(tmp_path / "half")
    assert resumed.step == 2
    losses_of(resumed)
    assert resumed.step == whole.step == 4
    for name, value in whole.final_model().state_dict().items():
        assert torch.equal(value, resumed.final_model().state_dict()[name]), name


def test_another_seed_is_another_run() -> None:
    first = tiny_config()
    second = tiny_config(seed=7)
    assert losses_of(Trainer(first, load_corpus(first))) != losses_of(Trainer(second, load_corpus(second)))


def test_it_learns_its_pages_and_the_bundle_answers_like_the_trainer(tmp_path: Path) -> None:
    quiet = {"scale": 0.0, "shift": 0.0, "jitter": 0.0, "value_swap": 0.0, "digit_swap": 0.0, "crop": 0.0}
    still = {"token_mask": 0.0, "token_drop": 0.0, **quiet}
    config = tiny_config(
        phases=[
            {
                "name": "only",
                "steps": 60,
                "mix": {"made_up": 1.0},
                "learning_rate": 5e-3,
                "warmup_steps": 5,
                "tokens_per_batch": 300,
                "mlm_weight": 0.0,
                "re_weight": 0.2,
                "augment": still,
            }
        ]
    )
    corpus = load_corpus(config)
    trainer = Trainer(config, corpus)
    before = trainer.evaluate(corpus.train["made_up"])
    trainer.run()
    after = trainer.evaluate(corpus.train["made_up"])
    assert after["ser_hmean"] > 0.85 > before["ser_hmean"]
    assert after["re_hmean"] > 0.6 > before["re_hmean"]

    bundle = write_bundle(trainer, tmp_path / "bundle")
    pages = list(load_corpus(config).train["made_up"])
    Annotator.from_bundle(Bundle.load(bundle.path)).annotate(pages)
    gold = corpus.train["made_up"]
    right = sum(
        a.label == b.label for p, q in zip(pages, gold, strict=True) for a, b in zip(p.lines, q.lines, strict=True)
    )
    assert right / sum(len(page.lines) for page in gold) > 0.8
    assert any(page.fields for page in pages)
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert "seed: 2022" in card
    assert "Apache-2.0" in card


def test_a_missing_source_is_one_clear_error() -> None:
    config = tiny_config(sources=[{"name": "made_up", "kind": "paddleocr", "path": "nowhere.txt"}])
    with pytest.raises(ConfigError, match=r"made_up.*nowhere\.txt"):
        load_corpus(config)


def test_a_label_outside_the_classes_is_named() -> None:
    config = tiny_config(classes=["OTHER", "QUESTION"], relation_pairs=[])
    with pytest.raises(ConfigError, match=r"ANSWER|HEADER"):
        load_corpus(config)


def test_the_sampler_shows_every_page_equally_often() -> None:
    import random

    pages = {"a": [object() for _ in range(5)]}
    sampler = PageSampler(pages, seed=1)  # type: ignore[arg-type]
    drawn = [sampler.draw({"a": 1.0}, random.Random(i)) for i in range(15)]
    assert all(drawn.count(page) == 3 for page in pages["a"])  # type: ignore[arg-type]
    again = PageSampler(pages, seed=1)  # type: ignore[arg-type]
    again.position = {"a": 7}
    assert again.draw({"a": 1.0}, random.Random(7)) is drawn[7]
