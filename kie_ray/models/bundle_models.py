"""The models of a bundle: loading them, and writing a bundle around them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils import CONFIG_NAME
from transformers.utils import logging as transformers_logging

from kie_ray.config import shown
from kie_ray.encoding.labels import LabelSet
from kie_ray.encoding.tokenizer import PageTokenizer
from kie_ray.errors import ConfigError
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import (
    CARD_FILE,
    INFO_FILE,
    TOKENIZER_DIR,
    WEIGHTS_FILE,
    BundleError,
    BundleInfo,
    Task,
    write_info,
)
from kie_ray.models.families import model_class
from kie_ray.models.kie_model import KieModel
from kie_ray.models.packed import pack

MODEL_FOLDERS = ("kie", "ser", "re")
_REASON = 400


@dataclass(frozen=True)
class KieModels:
    """The loaded models in eval mode. `shared`: `ser` and `re` are one object, one encoder pass serves both tasks."""

    ser: KieModel | None
    re: KieModel | None
    shared: bool


def load_models(
    bundle: Bundle,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    tasks: Collection[Task] = ("ser", "re"),
    *,
    inference_only: bool = False,
) -> KieModels:
    """Load those models of `tasks` that the bundle has, in eval mode.

    Args:
        inference_only: float32 models on the CPU are packed, see `kie_ray.models.packed`: faster, and good for nothing
            but inference.

    Raises:
        BundleError: weights and configuration disagree with each other or with `bundle.json`.
    """
    wanted = set(tasks) & set(bundle.info.tasks)
    if bundle.shared:
        both = _load(bundle, "kie", device, dtype, inference_only)
        _check_image_is_used([both], bundle.info, bundle.path)
        return KieModels(both if "ser" in wanted else None, both if "re" in wanted else None, len(wanted) == 2)
    ser = _load(bundle, "ser", device, dtype, inference_only) if "ser" in wanted else None
    re = _load(bundle, "re", device, dtype, inference_only) if "re" in wanted else None
    loaded = [model for model in (ser, re) if model is not None]
    if len(loaded) == len(bundle.info.tasks):  # one of two models alone may see the page
        _check_image_is_used(loaded, bundle.info, bundle.path)
    return KieModels(ser, re, False)


def save_bundle(
    path: str | Path,
    info: BundleInfo,
    tokenizer: PageTokenizer,
    models: Mapping[str, KieModel],
    card: str,
    *,
    half: bool = False,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle: into a temporary directory beside `path`, which is then renamed, so no half bundle can be seen.

    Args:
        models: by folder: {"kie": joint model}, or "ser" and/or "re".
        card: text of the model card.
        half: store weights in float16, half the size; loading casts them back.
        overwrite: replace an existing bundle at `path`.

    Raises:
        BundleError: `path` exists, or models and `info` disagree.
    """
    target = Path(path)
    if target.exists() and not (overwrite and (target / INFO_FILE).is_file()):
        raise BundleError(f"{target} exists already; choose another directory" + (" (it is no bundle)" * overwrite))
    covered = {task for folder in models for task in (("ser", "re") if folder == "kie" else (folder,))}
    if not models or set(models) - set(MODEL_FOLDERS) or ("kie" in models and len(models) > 1):
        raise BundleError(f"models {sorted(models)}: a bundle holds either kie, or ser and/or re")
    if set(info.tasks) - covered:
        raise BundleError(f"tasks {info.tasks} need a model each, got {sorted(models)}")
    for folder, model in models.items():
        kind = model_class(folder, model.config.model_type)
        if type(model) is not kind:
            raise BundleError(f"{folder}/ holds a {kind.__name__}, got {type(model).__name__}")
        _check_model(model, info, Path(folder))
    _check_image_is_used(models.values(), info, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for folder, model in models.items():
            state = {name: value.half() if half else value for name, value in model.state_dict().items()}
            with _no_progress_bar():
                model.save_pretrained(work / folder, state_dict=state)
            (work / folder / WEIGHTS_FILE).chmod(0o644)  # safetensors writes files that only the owner can read
        tokenizer.save(work / TOKENIZER_DIR)
        (work / CARD_FILE).write_text(card, encoding="utf-8")
        write_info(work, info)
        work.chmod(0o755)
        _put_in_place(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Bundle.load(target)


def _load(
    bundle: Bundle, folder: str, device: str | torch.device, dtype: torch.dtype, inference_only: bool
) -> KieModel:
    directory = bundle.path / folder
    kind = _class_of(directory)
    try:
        with _no_progress_bar():
            loaded: Any = kind.from_pretrained(
                str(directory), dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        model, report = loaded
    except Exception as error:  # damaged files raise nearly anything: SafetensorError, TypeError, AttributeError, ...
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:_REASON]}"
        raise BundleError(f"{directory} cannot be loaded as {kind.__name__}: {reason}") from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[what]:
            names = ", ".join(sorted(map(str, report[what]))[:5])
            raise BundleError(f"{directory / WEIGHTS_FILE}: {what.replace('_', ' ')} for {kind.__name__}: {names}")
    _check_model(model, bundle.info, directory)
    model = model.to(device).eval()
    if inference_only and dtype == torch.float32 and torch.device(device).type == "cpu":
        pack(model)
    return model


def _class_of(directory: Path) -> type[KieModel]:
    file = directory / CONFIG_NAME
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        kind = model_class(directory.name, config["model_type"])
        most = (directory / WEIGHTS_FILE).stat().st_size
    except ConfigError as error:
        raise BundleError(f"{file}: {str(error)[:_REASON]}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{file} does not say which model this is: {shown(error)}") from error
    for name, value in config.items():
        # the model is built before its weights are read: a few bytes of text could ask for any amount of memory
        if isinstance(value, int) and value > most:
            raise BundleError(f"{file}: {name} is {shown(value)}, but {WEIGHTS_FILE} has {most} bytes")
    return kind


def _put_in_place(work: Path, target: Path) -> None:
    if not target.exists():
        work.rename(target)
        return
    aside = target.with_name(f".{target.name}.old-{os.getpid()}")
    target.rename(aside)
    work.rename(target)
    shutil.rmtree(aside)


def _check_model(model: KieModel, info: BundleInfo, origin: Path) -> None:
    config = model.config
    if model.uses_image and info.image == "none":
        raise BundleError(f"{origin}: image is 'none' in {INFO_FILE}, but the model sees the page's pixels")
    room = config.max_position_embeddings - len(model.window_marks or ())
    if info.max_tokens > room and getattr(config, "use_1d_positions", True):
        raise BundleError(f"{origin}: max_tokens is {info.max_tokens}, the model has {room} positions for them")
    names = LabelSet.from_classes(info.labels).names
    if model.has_ser and config.num_labels != len(names):
        raise BundleError(
            f"{origin}: the SER head has {config.num_labels} labels, {INFO_FILE} gives {len(names)}: {names}"
        )
    if model.has_re and config.num_entity_labels != len(info.entity_labels):
        raise BundleError(
            f"{origin}: the RE head has {config.num_entity_labels} entity labels, not these: {info.entity_labels}"
        )
    unknown = {label for pair in info.relation_pairs for label in pair} - set(info.entity_labels)
    if model.has_re and unknown:
        raise BundleError(
            f"relation_pairs name {sorted(unknown)}, which entity_labels {info.entity_labels} do not have"
        )


def _check_image_is_used(models: Collection[KieModel], info: BundleInfo, origin: Path) -> None:
    if info.image != "none" and not any(model.uses_image for model in models):
        raise BundleError(
            f"{origin}: image is {info.image!r} in {INFO_FILE}, but no model sees the page's pixels: 'none'"
        )


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Every worker of a job loads the bundle: bars would fill its logs."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
