"""`jobs/train.py` on real Ray Train with a tiny recipe: a usable bundle, resume, one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kie_ray.errors import ConfigError
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_models import load_models
from pipelines.train import _check_same
from tests.job_support import ROOT, environment
from tests.kie_ray.training.test_trainer import tiny_config

PIECES = ("--set", "micro_batches=2")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "jobs/train.py"), *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_config().model_dump(mode="json")))
    return file


@pytest.fixture(scope="module")
def trained(recipe: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run of one worker, each batch in two pieces."""
    output = recipe.parent / "run"
    done = run("--config", recipe, "--output", output, *PIECES)
    assert done.returncode == 0, done.stderr[-2000:]
    return output, done


@pytest.mark.timeout(600)
def test_two_workers_have_the_losses_of_one(
    recipe: Path, trained: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = run("--config", recipe, "--output", tmp_path / "two", "--set", "workers=2", *PIECES)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (logged(output, "loss") for output in (trained[0], tmp_path / "two"))
    assert len(one) == 4
    assert two == pytest.approx(one, abs=1e-4)


@pytest.mark.timeout(900)
def test_train_resume_and_refusals(recipe: Path, trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    output, done = trained
    assert str(output / "bundle") in done.stdout
    assert "global_step: 4/4, lr: " in done.stdout
    assert "ips: " in done.stdout
    bundle = Bundle.load(output / "bundle")
    assert bundle.info.name == "tiny"
    assert load_models(bundle).shared
    assert logged(output, "step") == [1, 2, 3, 4]
    for name in ("curves.png", "checkpoints/latest.json"):
        assert (output / name).is_file(), name
    assert list((output / "tensorboard").iterdir())

    again = run("--config", recipe, "--output", output, *PIECES)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    assert again.stderr.count("\n") == 1

    longer = run("--config", recipe, "--output", output, "--resume", *PIECES, "--set", "phases.0.steps=6")
    assert longer.returncode == 2, "a list item is no section"
    tree = yaml.safe_load(recipe.read_text())
    tree["phases"][0]["steps"] = 6
    recipe.with_name("longer.yaml").write_text(yaml.safe_dump(tree))
    longer = run("--config", recipe.with_name("longer.yaml"), "--output", output, "--resume", *PIECES)
    assert longer.returncode == 0, longer.stderr[-2000:]
    assert logged(output, "step") == [1, 2, 3, 4, 5, 6], "the resumed run starts after the last checkpoint"

    other = run("--config", recipe, "--output", output, "--resume", *PIECES, "--set", "seed=3")
    assert other.returncode == 2
    assert "another 'seed'" in other.stderr


def test_a_run_that_an_older_version_began_can_be_resumed() -> None:
    recipe = tiny_config().model_dump(mode="json")
    del recipe["model"]["family"], recipe["model"]["visual_backbone"], recipe["encoding"]["image"]
    _check_same(recipe, tiny_config(), "runs/x")
    with pytest.raises(ConfigError, match=r"runs/x holds a run with another 'model'"):
        _check_same(recipe, tiny_config(model={"family": "layoutlm"}), "runs/x")
    with pytest.raises(ConfigError, match=r"runs/x/recipe\.yaml is no recipe"):
        _check_same(None, tiny_config(), "runs/x")


def logged(output: Path, name: str) -> list[Any]:
    """What the run has written of `name`, step by step."""
    return [json.loads(line)[name] for line in (output / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "nowhere.yaml"], "nowhere.yaml does not exist"),
        (["--config", "RECIPE", "--set", "sead=1"], "did you mean 'seed'"),
        (["--config", "RECIPE", "--set", "model.num_attention_heads=3"], "multiple of num_attention_heads"),
        (["--config", "RECIPE", "--set", "classes=[OTHER, QUESTION]"], "QUESTION"),
    ],
)
def test_wrong_arguments_are_one_line(recipe: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    arguments = [str(recipe) if item == "RECIPE" else item for item in arguments]
    done = run(*arguments, "--output", tmp_path / "run")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
