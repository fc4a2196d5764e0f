"""Training of every model of the family: LayoutLM and LayoutLMv2, with and without page images."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.parallel import DistributedDataParallel

import kie_ray
from kie_ray.annotator import Annotator
from kie_ray.encoding.page_image import model_images
from kie_ray.errors import ConfigError
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_models import load_models
from kie_ray.models.resnet import ResNet
from kie_ray.training.batches import build_batch
from kie_ray.training.checkpoints import CheckpointStore
from kie_ray.training.config import AugmentConfig, TrainConfig
from kie_ray.training.export import write_bundle, write_encoder
from kie_ray.training.losses import LossCounts, batch_counts
from kie_ray.training.objective import encode_batch
from kie_ray.training.progress import score_pages
from kie_ray.training.start import check_start, find_start, image_kind
from kie_ray.training.trainer import Trainer
from tests.kie_ray.training.test_corpus_images import visual_config
from tests.kie_ray.training.test_trainer import Lines, losses_of, tiny_config, trainer_of

SAMPLES = Path(kie_ray.__file__).parent / "samples"
FAMILY = ["layoutlmv2 with images", "layoutlm", "layoutlm with images"]
PRETRAINING = {
    "mlm_weight": 1.0,
    "tia_weight": 1.0,
    "tim_weight": 1.0,
    "augment": {"line_cover": 0.3, "image_swap": 0.3, "image_drop": 0.1, "token_drop": 0.0, "scale": 0.0, "shift": 0.0},
}


def family_config(kind: str, steps: int = 2, phase: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
    if kind.startswith("layoutlmv2"):
        return visual_config(steps, phase, **changes)
    model: dict[str, Any] = {"family": "layoutlm"} | tiny_config().model.model_dump(exclude={"family"})
    encoding: dict[str, Any] = tiny_config().encoding.model_dump()
    if kind.endswith("images"):
        model["image_branch"] = {"blocks": [1, 1, 1]}
        encoding["image"] = "imagenet"
    return tiny_config(steps, phase, **({"model": model, "encoding": encoding} | changes))


def family_of(kind: str) -> str:
    return kind.partition(" ")[0]


@pytest.mark.parametrize("kind", FAMILY)
def test_it_trains_resumes_and_leaves_a_bundle_that_answers_alike(kind: str, tmp_path: Path) -> None:
    source = {"name": "made_up", "kind": "paddleocr", "path": str(SAMPLES / "labels.txt"), "images": str(SAMPLES)}
    config = family_config(kind, 2, sources=[source | {"pages": 1}], average_decay=0.0)
    store = CheckpointStore(str(tmp_path / "checkpoints"))
    whole = trainer_of(config, store=store)
    losses = losses_of(whole)
    assert len(losses) == 2
    assert all(torch.tensor(losses).isfinite())

    first = trainer_of(config)
    first.phases[0] = first.phases[0].model_copy(update={"steps": 1})
    first.store = CheckpointStore(str(tmp_path / "interrupted"))
    first.run()
    resumed = trainer_of(config, store=first.store)
    assert resumed.resume()
    assert resumed.step == 1
    rest = Lines()
    resumed.run(log=rest)
    assert rest.all[-1]["loss"] == losses[-1]

    bundle = write_bundle(whole, tmp_path / "bundle")
    image = {"layoutlmv2": "bgr", "layoutlm": "imagenet"}[family_of(kind)] if kind.endswith("images") else "none"
    assert bundle.info.image == image
    models = load_models(Bundle.load(bundle.path))
    assert models.shared
    assert models.ser is not None
    assert models.ser.config.model_type == family_of(kind)
    assert models.ser.uses_image == (image != "none")
    page = whole.corpus.train["made_up"][0]
    Annotator.from_bundle(bundle).annotate([page])

    # What was learned is where the next run begins: without a step it answers the same.
    held_out = {"validation": [source | {"name": "seen", "pages": 1}]}
    again = family_config(kind, 1, {"learning_rate": 0.0}, start=str(bundle.path), average_decay=0.0, **held_out)
    assert image_kind(again) == image
    tuned = trainer_of(again)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, tuned.model.state_dict()[name]), name
    assert score_pages(tuned, tuned.corpus.held_out) == score_pages(whole, tuned.corpus.held_out)


def test_an_image_branch_starts_from_published_weights(tmp_path: Path) -> None:
    file = tmp_path / "resnet.safetensors"
    published = ResNet((1, 1, 1))
    torch.nn.init.normal_(published.conv1.weight)
    state = {name: value.clone() for name, value in published.state_dict().items()}
    save_file(state | {"fc.weight": torch.zeros(10, 2048)}, file)
    model = family_config("layoutlm with images").model.model_dump()
    model["image_branch"] = {"blocks": [1, 1, 1], "weights": str(file)}
    config = family_config("layoutlm with images", model=model)
    check_start(config)
    trainer = trainer_of(config)
    for name, value in published.state_dict().items():
        assert torch.equal(trainer.model.state_dict()[f"layoutlm.image_branch.backbone.{name}"], value), name
    bundle = write_bundle(trainer, tmp_path / "bundle")
    with pytest.raises(ValueError, match=r"image_branch.weights is for random starts: start = .*bundle"):
        family_config("layoutlm with images", model=model, start=str(bundle.path))
    model["image_branch"]["blocks"] = [1, 1, 2]
    with pytest.raises(ConfigError, match=r"resnet.safetensors does not fit this ResNet"):
        check_start(family_config("layoutlm with images", model=model))


def test_weights_of_an_image_branch_are_found_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    model = {"family": "layoutlm", "image_branch": {"weights": "resnet.pth"}}
    branch = family_config("layoutlm with images", model=model).absolute().model.image_branch
    assert branch is not None
    assert branch.weights == str(tmp_path / "resnet.pth")


def test_a_bundle_keeps_how_its_start_prepares_pages(tmp_path: Path) -> None:
    encoding = visual_config().encoding.model_dump() | {
        "image": "paddle",
        "reading_order": "none",
        "special_tokens": "parse",
        "clamp_boxes": False,
    }
    bundle = write_bundle(trainer_of(visual_config(1, encoding=encoding)), tmp_path / "bundle")
    tuned = trainer_of(tiny_config(1, start=str(bundle.path)))
    assert all(page.pixels is not None for page in tuned.corpus.train["made_up"]), "the start sees images"
    again = write_bundle(tuned, tmp_path / "again")
    for name, value in encoding.items():
        if name != "vocab_size":
            assert getattr(again.info, name) == value, name
    assert tuned.encoder.clamp is False
    assert Annotator.from_bundle(again).encoder.tokenizer.special_ids == tuned.encoder.tokenizer.special_ids


@pytest.mark.parametrize("kind", ["layoutlmv2 with images", "layoutlm with images"])
def test_an_image_is_seen_once_a_page_and_by_all_its_windows(kind: str) -> None:
    trainer = trainer_of(family_config(kind, encoding=family_config(kind).encoding.model_dump() | {"max_tokens": 60}))
    pages = trainer.corpus.train["made_up"][:2]
    quiet = AugmentConfig(token_mask=0, token_drop=0)
    image = trainer.encoding.image
    batch = build_batch(pages, trainer.encoder, trainer.labels, [], quiet, random.Random(0), image)
    assert sum(len(group.pages) for group in batch.groups) > len(pages)
    model = trainer.model.eval()
    seen: list[int] = []
    network = model.image_features
    with torch.inference_mode():
        model.image_features = lambda images: (seen.append(len(images)), network(images))[1]  # type: ignore[assignment,func-returns-value]
        tokens, _ = encode_batch(model, batch)
        assert seen == [2]
        one_by_one = []
        for group in batch.groups:
            for row, page in enumerate(group.pages.tolist()):
                own = network(model_images([pages[page].pixels], image))  # type: ignore[list-item]
                real = group.attention_mask[row : row + 1].bool()
                inputs = (part[row : row + 1] for part in (group.input_ids, group.bbox, group.attention_mask))
                one_by_one.append(model.encode(*inputs, image_features=own)[real])  # type: ignore[misc]
    torch.testing.assert_close(tokens, torch.cat(one_by_one), rtol=1e-4, atol=1e-5)


@pytest.fixture
def one_process() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    "changes",
    [{}, {"tasks": ["re"]}, {"tasks": ["mlm"], "phase": PRETRAINING}, {"distillation": {"layers": [0, 1]}}],
)
@pytest.mark.parametrize("kind", ["layoutlmv2 with images", "layoutlm with images"])
def test_no_worker_waits_for_a_gradient_that_never_comes(kind: str, changes: dict[str, Any], one_process: None) -> None:
    """DDP refuses the second step when a parameter of the first has no gradient."""
    config = family_config(kind, 2, **changes)
    trainer = trainer_of(config)
    lines = Lines()
    trainer.run(DistributedDataParallel, lines)
    assert len(lines.all) == 2
    without = [n for n, p in trainer.objective.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


def test_published_layers_stay_frozen_only_where_they_have_learned(tmp_path: Path) -> None:
    trainer = trainer_of(visual_config(2, PRETRAINING, tasks=["mlm"]))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    learned = changed(trainer, before)
    assert any(".stem." in name for name in learned), "random layers learn"
    assert not any(".norm." in name or "fpn_output3" in name for name in learned)

    tuned = trainer_of(visual_config(2, start=str(write_encoder(trainer, tmp_path / "encoder"))))
    before = {name: value.clone() for name, value in tuned.model.state_dict().items()}
    tuned.run()
    learned = changed(tuned, before)
    assert not any(".stem." in name or ".res2." in name or ".norm." in name for name in learned)
    assert any(".res5." in name for name in learned)


def changed(trainer: Trainer, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])}


def test_pretraining_with_images_learns_all_three_objectives() -> None:
    """On the same few batches again and again, as every draw of masks, covers and images would differ."""
    trainer = trainer_of(visual_config(3, PRETRAINING | {"tokens_per_batch": 600}, tasks=["mlm"]))
    batches = [trainer.stream.take(step).pieces for step in range(3)]
    (phase,) = trainer.phases
    totals: list[dict[str, float]] = []
    for _ in range(10):
        total = dict.fromkeys(("loss_mlm", "loss_tia", "loss_tim"), 0.0)
        for pieces in batches:
            counts, _ = trainer._agree(pieces, False)
            losses = trainer._forward_backward(trainer.objective, pieces, phase, counts)
            trainer._update(3e-3)
            total = {name: value + losses[name].item() for name, value in total.items()}
        totals.append(total)
    for name in totals[0]:
        assert all(math.isfinite(total[name]) for total in totals)
        assert totals[-1][name] < 0.9 * totals[0][name], name


@pytest.mark.parametrize(
    ("kind", "image", "name"),
    [("layoutlmv2 with images", "bgr", "LayoutXLM"), ("layoutlm with images", "imagenet", "LayoutLM")],
)
def test_an_encoder_is_left_without_the_heads_of_alignment(kind: str, image: str, name: str, tmp_path: Path) -> None:
    config = family_config(kind, 2, PRETRAINING, tasks=["mlm"], checkpoint_seconds=0, average_decay=0.0)
    store = CheckpointStore(str(tmp_path / "checkpoints"))
    trainer, lines = trainer_of(config, store=store), Lines()
    trainer.run(log=lines)
    assert {"loss", "loss_mlm", "loss_tia", "loss_tim"} <= lines.all[-1].keys()
    assert 0 <= score_pages(trainer, trainer.corpus.train["made_up"][:1])["mlm_accuracy"] <= 1

    resumed = trainer_of(config, store=store)
    assert resumed.resume()
    for key, value in trainer.objective.state_dict().items():
        assert torch.equal(value, resumed.objective.state_dict()[key]), key
    assert any(key.startswith("alignment.") for key in trainer.objective.state_dict())

    folder = write_encoder(trainer, tmp_path / "encoder")
    start = find_start(tiny_config(start=str(folder)), ())
    assert start.encoding == trainer.encoding
    assert (start.family, start.encoding.image) == (family_of(kind), image)
    assert not any("alignment" in key for key in start.weights)
    for key, value in trainer.model.state_dict().items():
        assert torch.equal(value, start.weights[key]), key
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "`jobs/pretrain.py` with this configuration" in card
    assert f"{name} architecture (sees the page image ({image}))" in card


def test_what_is_covered_is_read_off_the_image() -> None:
    """Twelve lines in one window, covered in two ways: where they differ, text and boxes leave nothing but guessing."""
    augment = {"line_cover": 0.5, "token_mask": 0.0, "token_drop": 0.0}
    weights = {"mlm_weight": 0.0, "tia_weight": 1.0, "augment": augment}
    trainer = trainer_of(family_config("layoutlm with images", 1, weights, tasks=["mlm"]))
    page, (phase,) = trainer.corpus.train["made_up"][0], trainer.phases
    page = replace(page, lines=page.lines[:12])
    two = [
        build_batch([page], trainer.encoder, trainer.labels, [], phase.augment, random.Random(seed), "imagenet")
        for seed in (0, 3)
    ]
    assert [len(batch.groups[0].pages) for batch in two] == [1, 1]
    first, second = (batch.images.covered for batch in two)  # type: ignore[union-attr]
    by_guessing = math.log(2) * (first != second).float().mean().item()
    objective = trainer.objective.eval()
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
    for _ in range(12):
        losses = [objective(batch, phase, LossCounts.of(batch_counts(batch)))["loss_tia"] for batch in two]
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()
    assert torch.stack(losses).mean() < 0.5 * by_guessing


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoding": {"image": "bgr"}}, "encoding.image is 'bgr'"),
        ({"model": visual_config().model.model_dump()}, "encoding.image is 'none'"),
        ({"model": {"family": "layoutlm", "visual_backbone": {}}}, "visual_backbone is layoutlmv2's"),
        ({"model": {"image_branch": {}}}, "image_branch is layoutlm's"),
        ({"phase": PRETRAINING}, "are of pre-training"),
        ({"phase": {"tia_weight": 1.0}, "tasks": ["mlm"]}, "tia_weight and augment.line_cover"),
        ({"phase": {"tim_weight": 1.0}, "tasks": ["mlm"]}, "tim_weight and augment.image_swap"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_config(1, **changes)


def test_objectives_without_image_are_refused_before_any_worker_starts(tmp_path: Path) -> None:
    config = tiny_config(1, PRETRAINING, tasks=["mlm"])
    with pytest.raises(ConfigError, match=r"phase 'only' has tia_weight or tim_weight, but model sees no page image"):
        check_start(config)
    check_start(visual_config(1, PRETRAINING, tasks=["mlm"]))
    folder = write_encoder(trainer_of(visual_config(1, tasks=["mlm"])), tmp_path / "encoder")
    check_start(tiny_config(1, PRETRAINING, tasks=["mlm"], start=str(folder)))
    file = folder / "encoding.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"bgr"', '"none"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"encoding\.json: image is 'none', but the encoder sees the page's pixels"):
        check_start(tiny_config(1, start=str(folder)))
