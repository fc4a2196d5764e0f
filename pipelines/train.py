"""Fine-tuning and training on Ray Train: workers, checkpoints, the finished bundle."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device, prepare_model

from kie_ray.errors import ConfigError
from kie_ray.training.config import TrainConfig
from kie_ray.training.corpus import check_sources, load_corpus
from kie_ray.training.export import write_bundle
from kie_ray.training.trainer import Trainer
from pipelines.cluster import connect

METRICS_FILE = "metrics.jsonl"
"""One line of losses (and now and then scores) every few steps, in the output folder."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Where the bundle is, and the last metrics (losses; scores on the held-out pages where there are any)."""

    bundle: Path
    metrics: dict[str, Any]


def train(config: TrainConfig, output: Path, *, resume: bool = False) -> TrainResult:
    """Train on `config.workers` Ray workers and write `output/bundle`.

    `output/ray` holds the checkpoints; with `resume` the run goes on from the last one.

    Raises:
        ConfigError: a source is missing or mislabelled (before any worker starts), or `output` already holds a run
            and `resume` was not asked for.
    """
    output = output.absolute()
    storage = output / "ray"
    if storage.exists() and not resume:
        raise ConfigError(f"{output} already holds a run: --resume continues it, another --output starts anew")
    check_sources(config)
    output.mkdir(parents=True, exist_ok=True)
    connect(min_cpus=config.workers + 1)
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"config": config.model_dump(), "output": str(output)},
        scaling_config=ScalingConfig(num_workers=config.workers, use_gpu=config.use_gpu),
        run_config=RunConfig(
            name="run",
            storage_path=str(storage),
            failure_config=FailureConfig(max_failures=2),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    with _followed(output / METRICS_FILE):
        result = trainer.fit()
    return TrainResult(output / "bundle", dict(result.metrics or {}))


@contextlib.contextmanager
def _followed(file: Path) -> Iterator[None]:
    """Print the lines that the first worker adds to `file`, as they come; Ray's own log stays quiet."""
    finished = threading.Event()

    def follow() -> None:
        position = file.stat().st_size if file.exists() else 0
        while True:
            last_round = finished.wait(1.0)
            if file.exists():
                with file.open(encoding="utf-8") as lines:
                    lines.seek(position)
                    for line in lines:
                        print("  ".join(f"{name} {value}" for name, value in json.loads(line).items()), flush=True)
                    position = lines.tell()
            if last_round:
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join(timeout=10)


def _worker(loop_config: dict[str, Any]) -> None:
    """What each Ray worker runs: the library's trainer, with checkpoints handed to Ray."""
    config = TrainConfig.model_validate(loop_config["config"])
    output = Path(loop_config["output"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    trainer = Trainer(config, load_corpus(config), rank=rank, world=world, device=get_device())
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            trainer.load(Path(folder))

    def report(metrics: dict[str, Any], save: bool) -> None:
        if rank == 0:
            with (output / METRICS_FILE).open("a", encoding="utf-8") as log:
                log.write(json.dumps(metrics) + "\n")
        if not save:
            return
        if rank != 0:
            ray.train.report(metrics)
            return
        folder = Path(tempfile.mkdtemp(prefix="kie_ray-checkpoint-"))
        trainer.save(folder)
        ray.train.report(metrics, checkpoint=Checkpoint.from_directory(folder))
        shutil.rmtree(folder, ignore_errors=True)

    trainer.run(wrap=prepare_model, report=report)
    if rank == 0:
        write_bundle(trainer, output / "bundle")
