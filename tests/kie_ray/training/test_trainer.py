"""The training loop on a tiny model and made-up forms: deterministic, resumable, and it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kie_ray.annotator import Annotator
from kie_ray.errors import ConfigError
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_models import load_models
from kie_ray.training.checkpoints import CheckpointStore
from kie_ray.training.config import TrainConfig
from kie_ray.training.corpus import load_corpus
from kie_ray.training.export import write_bundle, write_encoder
from kie_ray.training.start import check_start
from kie_ray.training.trainer import Trainer


def tiny_config(steps: int = 4, phase: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    tree: dict[str, Any] = {
        "name": "tiny",
        "threads": 1,
        "sources": [{"name": "made_up", "kind": "synthetic", "pages": 3, "language": "en"}],
        "model": {
            "hidden_size": 32,
            "num_hidden_layers": 2,
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
                **(phase or {}),
            }
        ],
        "weights_dtype": "float32",
        "average_decay": 0.9,
        "evaluate_every": 1000,
        "log_every": 1,
    }
    return TrainConfig.model_validate(tree | changes)


class Lines:
    """Keeps the progress of a run."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def add(self, metrics: dict[str, Any]) -> None:
        self.all.append(metrics)


def losses_of(trainer: Trainer) -> list[float]:
    """Run to the end and give the loss of every step."""
    lines = Lines()
    trainer.run(log=lines)
    return [line["loss"] for line in lines.all if "loss" in line]


def trainer_of(config: TrainConfig, **arguments: Any) -> Trainer:
    return Trainer(config, load_corpus(config), **arguments)


def test_two_runs_agree_to_the_last_digit() -> None:
    config = tiny_config()
    first, second = trainer_of(config), trainer_of(config)
    assert losses_of(first) == losses_of(second)
    for name, value in first.objective.state_dict().items():
        assert torch.equal(value, second.objective.state_dict()[name]), name


@pytest.mark.parametrize("changes", [{}, {"micro_batches": 2}, {"distillation": {"layers": [0, 1]}}])
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = tiny_config(log_every=4, checkpoint_seconds=0, **changes)
    whole = trainer_of(config)
    expected = losses_of(whole)

    class Stop(Exception):
        pass

    class StoppingStore(CheckpointStore):
        def save(self, names: Any, write: Any, step: int, **note: Any) -> None:
            super().save(names, write, step, **note)
            if step == 2:
                raise Stop

    with pytest.raises(Stop):
        trainer_of(config, store=StoppingStore(str(tmp_path))).run()
    resumed = trainer_of(config, store=CheckpointStore(str(tmp_path)))
    assert resumed.resume()
    assert resumed.step == 2
    assert losses_of(resumed) == expected, "the line of step 4 covers steps from before the kill"
    for name, value in whole.objective.state_dict().items():
        assert torch.equal(value, resumed.objective.state_dict()[name]), name
    for name, value in whole.final_model().state_dict().items():
        assert torch.equal(value, resumed.final_model().state_dict()[name]), name


def test_another_seed_is_another_run() -> None:
    assert losses_of(trainer_of(tiny_config())) != losses_of(trainer_of(tiny_config(seed=7)))


def test_accumulating_pieces_is_the_same_as_adding_them_up_over_workers() -> None:
    """Two workers by hand: each computes its piece, gradients are averaged as DDP does."""
    config = tiny_config(steps=1, micro_batches=2, clip_norm=0.0)
    alone = trainer_of(config)
    alone.run()
    workers = [trainer_of(config, rank=rank, world=2) for rank in range(2)]
    phase = workers[0].phases[0]
    batches = [worker.stream.take(0).pieces for worker in workers]
    assert [len(pieces) for pieces in batches] == [1, 1]
    counts, _ = alone._agree([batches[0][0], batches[1][0]], False)
    for worker, pieces in zip(workers, batches, strict=True):
        worker._forward_backward(worker.objective, pieces, phase, counts)
    first, second = (dict(worker.objective.named_parameters()) for worker in workers)
    for name, parameter in alone.objective.named_parameters():
        averaged = (first[name].grad + second[name].grad) / 2  # type: ignore[operator]
        torch.testing.assert_close(averaged, parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tasks", [["ser"], ["re"]])
def test_one_task_alone_gives_a_bundle_of_that_task(tmp_path: Path, tasks: list[str]) -> None:
    config = tiny_config(steps=2, tasks=tasks, phase={"mlm_weight": 0.0})
    trainer = trainer_of(config)
    assert all(loss > 0 for loss in losses_of(trainer))
    bundle = write_bundle(trainer, tmp_path / "bundle")
    assert bundle.info.tasks == tasks
    models = load_models(bundle)
    assert (models.ser is None, models.re is None) == ("ser" not in tasks, "re" not in tasks)


def test_distillation_trains_both_and_saves_one(tmp_path: Path) -> None:
    config = tiny_config(steps=3, distillation={"layers": [0, 1]})
    trainer = trainer_of(config)
    before = {name: value.clone() for name, value in trainer.objective.state_dict().items()}
    lines = Lines()
    trainer.run(log=lines)
    assert {"loss_dml", "loss_hidden", "loss_ser", "loss_re"} <= lines.all[-1].keys()
    changed = {
        n.split(".")[0] for n, value in trainer.objective.state_dict().items() if not torch.equal(value, before[n])
    }
    assert changed == {"first", "second"}
    bundle = write_bundle(trainer, tmp_path / "bundle")
    single = sum(value.numel() for value in trainer.model.state_dict().values())
    assert sum(value.numel() for value in load_models(bundle).ser.state_dict().values()) == single  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="layer 8, the model has layers 0 to 1"):
        check_start(tiny_config(distillation={"layers": [5, 8]} | {"layers": [0, 8]}))


def test_it_learns_its_pages_and_the_bundle_answers_like_the_trainer(tmp_path: Path) -> None:
    quiet = {"scale": 0.0, "shift": 0.0, "jitter": 0.0, "value_swap": 0.0, "digit_swap": 0.0, "crop": 0.0}
    still = {"token_mask": 0.0, "token_drop": 0.0, **quiet}
    config = tiny_config(
        60,
        {"learning_rate": 5e-3, "warmup_steps": 5, "mlm_weight": 0.0, "re_weight": 0.2, "augment": still},
        log_every=60,
    )
    from kie_ray.training.progress import score_pages

    corpus = load_corpus(config)
    trainer = Trainer(config, corpus)
    before = score_pages(trainer, corpus.train["made_up"])
    trainer.run()
    after = score_pages(trainer, corpus.train["made_up"])
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

    # What it has learned is where a fine-tuning run begins: without a step it answers the same.
    tuned = trainer_of(
        tiny_config(1, {"learning_rate": 0.0, "mlm_weight": 0.0}, start=str(bundle.path), average_decay=0.0)
    )
    tuned.run()
    assert score_pages(tuned, gold) == after


def test_pretraining_gives_an_encoder_to_start_from(tmp_path: Path) -> None:
    config = tiny_config(12, {"learning_rate": 5e-3}, tasks=["mlm"], average_decay=0.0)
    trainer = trainer_of(config)
    losses = losses_of(trainer)
    assert losses[-1] < losses[0]
    folder = write_encoder(trainer, tmp_path / "encoder")
    tuned = trainer_of(tiny_config(1, {"learning_rate": 0.0}, start=str(folder)))
    for name, value in trainer.model.layoutlmv2.state_dict().items():
        assert torch.equal(value, tuned.model.layoutlmv2.state_dict()[name]), name
    assert tuned.encoder.tokenizer.vocab_size == trainer.encoder.tokenizer.vocab_size
    assert tuned.encoding == trainer.encoding


def test_a_start_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no model bundle"):
        check_start(tiny_config(start=str(tmp_path)))


def test_the_best_checkpoint_is_kept_and_can_be_the_result(tmp_path: Path) -> None:
    config = tiny_config(
        6,
        validation=[{"name": "unseen", "kind": "synthetic", "pages": 2, "language": "en"}],
        evaluate_every=2,
        keep="best",
    )
    store = CheckpointStore(str(tmp_path))
    lines = Lines()
    Trainer(config, load_corpus(config), store=store).run(log=lines)
    scored = [line for line in lines.all if "ser_hmean" in line]
    assert [line["step"] for line in scored] == [2, 4, 6]
    means = [(line["ser_hmean"] + line["re_hmean"]) / 2 for line in scored]
    note = store.note("best")
    assert note is not None
    assert note["step"] == max(zip(means, (2, 4, 6), strict=True))[1]
    assert store.note("latest")["step"] == 6  # type: ignore[index]
    assert len([item for item in tmp_path.iterdir() if item.is_dir()]) <= 2


def test_epochs_are_counted_in_pages() -> None:
    config = tiny_config(0, {"epochs": 4, "pages_per_batch": 2, "warmup_epochs": 1})
    trainer = trainer_of(config)
    assert trainer.phases[0].steps == 8  # 3 pages: 2 batches an epoch
    assert trainer.phases[0].warmup_steps == 2
    assert trainer.stream.take(0).pages == 2


def test_half_precision_trains() -> None:
    """bfloat16 without oneDNN, whose bfloat16 kernels not every CPU can run."""
    with torch.backends.mkldnn.flags(enabled=False):
        losses = losses_of(trainer_of(tiny_config(6, precision="bfloat16")))
    exact = losses_of(trainer_of(tiny_config(6)))
    assert losses == pytest.approx(exact, rel=0.05)
    assert losses != exact


def test_a_missing_source_is_one_clear_error() -> None:
    config = tiny_config(sources=[{"name": "made_up", "kind": "paddleocr", "path": "nowhere.txt"}])
    with pytest.raises(ConfigError, match=r"made_up.*nowhere\.txt"):
        load_corpus(config)


def test_a_label_outside_the_classes_is_named() -> None:
    config = tiny_config(classes=["OTHER", "QUESTION"], relation_pairs=[])
    with pytest.raises(ConfigError, match=r"ANSWER|HEADER"):
        load_corpus(config)
