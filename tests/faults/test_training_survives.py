"""SIGKILL of a training worker and of the driver, and a bucket as output: the last losses are those of a calm run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from kie_ray.training.checkpoints import CheckpointStore
from kie_ray.training.config import TrainConfig
from kie_ray.training.watch import RunLog
from tests.job_support import ROOT, descendants, environment, kill_group
from tests.kie_ray.s3_server import environment as s3_environment
from tests.kie_ray.s3_server import running_s3_server
from tests.kie_ray.training.test_trainer import tiny_config, trainer_of

STEPS = 40


def config() -> TrainConfig:
    """Two pieces a step, so that gradients are accumulated; a checkpoint after every step."""
    return tiny_config(STEPS, micro_batches=2, checkpoint_seconds=0)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    file.write_text(yaml.safe_dump(config().model_dump(mode="json")))
    return file


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of the library's trainer, by itself."""
    folder = tmp_path_factory.mktemp("calm")
    log = RunLog(folder, 0)
    trainer_of(config()).run(log=log)
    log.close()
    return losses(folder)


def command(recipe: Path, output: Path | str, *more: str) -> list[str]:
    return [sys.executable, str(ROOT / "jobs/train.py"), "--config", str(recipe), "--output", str(output), *more]


def losses(output: Path) -> list[float]:
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return [line["loss"] for line in lines]


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[bytes], log: Path) -> Any:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if found := condition():
            return found
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"it never came, exit status {process.poll()}:\n{log.read_text()[-3000:]}")


def reached(output: Path, step: int) -> bool:
    note = CheckpointStore(str(output / "checkpoints")).note("latest")
    return note is not None and note["step"] >= step


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    found = []
    for pid in descendants(process.pid):
        try:
            name = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"RayTrainWorker" in name:
            found.append(pid)
    return found


@pytest.mark.timeout(600)
def test_a_killed_worker_is_replaced_and_goes_on(recipe: Path, calm: list[float], tmp_path: Path) -> None:
    output, log = tmp_path / "run", tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(recipe, output), env=environment(), stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        wait_for(lambda: reached(output, 5), process, log)
        (worker,) = wait_for(lambda: workers_of(process), process, log)
        os.kill(worker, signal.SIGKILL)
        assert process.wait(300) == 0, log.read_text()[-3000:]
    finally:
        kill_group(process)
    assert losses(output) == calm


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_driver_is_resumed(recipe: Path, calm: list[float], tmp_path: Path) -> None:
    output, log = tmp_path / "run", tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(recipe, output), env=environment(), stdout=stream, stderr=stream, start_new_session=True
        )
    wait_for(lambda: reached(output, 5), process, log)
    kill_group(process)
    resumed = subprocess.run(
        command(recipe, output, "--resume"), env=environment(), capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert losses(output) == calm


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_bucket_as_output(recipe: Path, calm: list[float], tmp_path: Path) -> None:
    with running_s3_server() as endpoint:
        variables = s3_environment(endpoint)
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
        )
        client.create_bucket(Bucket="forms")
        done = subprocess.run(
            command(recipe, "s3://forms/run"), env=environment(**variables), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        keys = {item["Key"] for item in client.list_objects_v2(Bucket="forms", Prefix="run/")["Contents"]}
        assert {"run/bundle/bundle.json", "run/checkpoints/latest.json", "run/metrics.jsonl", "run/recipe.yaml"} <= keys
        target = tmp_path / "metrics.jsonl"
        client.download_file("forms", "run/metrics.jsonl", str(target))
    assert losses(tmp_path) == calm
