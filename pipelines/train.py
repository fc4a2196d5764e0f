"""Training on Ray Train: workers, checkpoints that outlive them, the finished bundle and its pictures."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
import yaml
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device, prepare_model
from torch import Tensor

from kie_ray.errors import ConfigError
from kie_ray.storage.files import exists, join, open_output, read_text, write_text
from kie_ray.storage.places import filesystem_for, local_path, scheme_of
from kie_ray.training.checkpoints import CheckpointStore
from kie_ray.training.config import TrainConfig
from kie_ray.training.corpus import Corpus, check_sources, load_corpus
from kie_ray.training.results import write_results
from kie_ray.training.start import check_start, image_kind
from kie_ray.training.trainer import Trainer
from kie_ray.training.watch import METRICS_FILE, RunLog
from pipelines.beside import beside
from pipelines.cluster import connect
from pipelines.orphans import die_with_parent

RECIPE_FILE = "recipe.yaml"
_SHAPING = ("tasks", "start", "classes", "seed", "sources", "model", "encoding", "distillation", "micro_batches")
"""What a resumed run cannot change: the checkpoint holds a model, or a position in pages, of that shape."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Where the bundle (or pre-trained encoder) is, and the last metrics."""

    model: str
    metrics: dict[str, Any]


def train(config: TrainConfig, output: str, *, resume: bool = False) -> TrainResult:
    """Train on `config.workers` Ray workers and leave below `output` (a local folder or `s3://`):

        bundle/ (encoder/ of pre-training)   the model
        checkpoints/                         `latest` and `best`, see `kie_ray.training.checkpoints`
        metrics.jsonl, tensorboard/          the progress
        curves.png, evaluation/              the result in pictures: confusion, reliability, the worst pages
        recipe.yaml                          the configuration

    Raises:
        ConfigError: a source is missing or mislabelled (before any worker starts), `output` already holds a run and
            `resume` was not asked for, or holds one of another recipe.
    """
    if scheme_of(output) == "file":
        output = str(local_path(output).absolute())
    config = config.absolute()
    begun = exists(join(output, RECIPE_FILE))
    if begun and not resume:
        raise ConfigError(f"{output} already holds a run: --resume continues it, another --output starts anew")
    if begun:
        _check_same(yaml.safe_load(read_text(join(output, RECIPE_FILE))), config, output)
    check_start(config)
    _tell_left_out(check_sources(config))
    if image_kind(config) != "none":
        _tell_images(config)
    recipe = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(join(output, RECIPE_FILE), recipe)
    started_here = connect(min_cpus=config.workers + 1)
    try:
        return _fit(config, output)
    finally:
        if started_here:
            ray.shutdown()


def _fit(config: TrainConfig, output: str) -> TrainResult:
    lines: Any = ray.remote(num_cpus=0)(Lines).remote()
    filesystem, path = filesystem_for(join(output, ".ray"))
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"config": config.model_dump(), "output": output, "lines": lines},
        scaling_config=ScalingConfig(num_workers=config.workers, use_gpu=config.use_gpu),
        run_config=RunConfig(
            # A name of its own each time: Ray would restore the state of an earlier run of the same name, but the
            # checkpoints here are ours.
            name=f"run-{time.strftime('%Y%m%d-%H%M%S')}",
            storage_path=path,
            storage_filesystem=None if scheme_of(output) == "file" else filesystem,
            failure_config=FailureConfig(max_failures=config.max_failures),
        ),
    )
    with _shown(lines):
        result = trainer.fit()
    return TrainResult(join(output, _model_folder(config)), dict(result.metrics or {}))


class Lines:
    """Takes the progress lines of the first worker, wherever it runs, for the driver to print."""

    def __init__(self) -> None:
        self._waiting: list[str] = []

    def add(self, line: str) -> None:
        self._waiting.append(line)

    def take(self) -> list[str]:
        taken, self._waiting = self._waiting, []
        return taken


@contextlib.contextmanager
def _shown(lines: Any) -> Iterator[None]:
    def follow(finished: threading.Event) -> None:
        while True:
            last_round = finished.wait(1.0)
            with contextlib.suppress(ray.exceptions.RayError):
                for line in ray.get(lines.take.remote(), timeout=10):
                    print(line, flush=True)
            if last_round:
                return

    with beside(follow, "progress", patience=15):
        yield


def _worker(loop_config: dict[str, Any]) -> None:
    """What each Ray worker runs: the library's trainer. The first one writes; all go on from the same checkpoint."""
    die_with_parent()
    config = TrainConfig.model_validate(loop_config["config"])
    output: str = loop_config["output"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = get_device()
    trainer = Trainer(
        config,
        load_corpus(config),
        rank=rank,
        world=world,
        device=device,
        store=CheckpointStore(join(output, "checkpoints")),
        add_up=(lambda tensor: _add_up(tensor, device)) if world > 1 else (lambda tensor: tensor),
    )
    trainer.resume()
    metrics: dict[str, Any] = {"step": trainer.step}
    if rank == 0:
        with _local_folder(output) as folder:
            log = RunLog(folder, trainer.step, show=loop_config["lines"].add.remote)
            trainer.run(prepare_model, log)
            log.close()
            metrics = write_results(trainer, folder)
    else:
        trainer.run(prepare_model)
    ray.train.report(metrics)


def _add_up(tensor: Tensor, device: torch.device) -> Tensor:
    on_device = tensor.to(device)
    torch.distributed.all_reduce(on_device)
    return on_device.cpu()


@contextlib.contextmanager
def _local_folder(output: str) -> Iterator[Path]:
    """`output` itself; for an object store a local folder whose files are copied there in the end, even a bad end."""
    if scheme_of(output) == "file":
        yield local_path(output)
        return
    with tempfile.TemporaryDirectory(prefix="kie_ray-train-") as temporary:
        folder = Path(temporary)
        if exists(join(output, METRICS_FILE)):
            (folder / METRICS_FILE).write_text(read_text(join(output, METRICS_FILE)), encoding="utf-8")
        try:
            yield folder
        finally:
            for file in sorted(item for item in folder.rglob("*") if item.is_file()):
                with (
                    open_output(join(output, file.relative_to(folder).as_posix())) as target,
                    file.open("rb") as source,
                ):
                    shutil.copyfileobj(source, target, 2**20)


def _model_folder(config: TrainConfig) -> str:
    return "encoder" if "mlm" in config.tasks else "bundle"


def _check_same(earlier: Any, config: TrainConfig, output: str) -> None:
    """A resumed run may be longer or slower, but its model and pages must be those of the checkpoint."""
    try:
        known = TrainConfig.model_validate(earlier)  # an older version's recipe lacks what is new
    except ValueError as error:
        raise ConfigError(f"{join(output, RECIPE_FILE)} is no recipe: {' '.join(str(error).split())}") from error
    for name in _SHAPING:
        if getattr(known, name) != getattr(config, name):
            raise ConfigError(
                f"{output} holds a run with another {name!r}; --resume needs the same, or another --output"
            )


def _tell_left_out(corpus: Corpus) -> None:
    if corpus.left_out:
        print(f"{len(corpus.left_out)} items of the annotations are in no training page:")
        for reason in corpus.left_out[:10]:
            print(f"  {reason}")


def _tell_images(config: TrainConfig) -> None:
    print("the model sees page images: they are read at the start of every worker and kept, 150 kB a page")
    left_off = ("jitter", "value_swap", "digit_swap", "crop")
    asked = [name for name in left_off if any(getattr(phase.augment, name) for phase in config.phases)]
    if asked:
        print(f"  no image would show augment.{', augment.'.join(asked)}: left off")
