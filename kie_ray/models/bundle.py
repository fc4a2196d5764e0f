"""The model bundle: one directory with everything that a model needs to run.

    bundle.json    what the model is, how pages must be prepared for it, and the sha256 of every other file
    tokenizer/     `tokenizer.json` or a SentencePiece model
    kie/           one encoder with both heads: config.json, model.safetensors
    ser/ re/       or a model a task
    README.md      model card

Weights are safetensors only. They may be stored in float16; loading casts them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError
from transformers.utils import logging as transformers_logging

from kie_ray.config import Settings
from kie_ray.encoding.labels import LabelSet
from kie_ray.encoding.tokenizer import PageTokenizer, load_tokenizer
from kie_ray.errors import ConfigError
from kie_ray.models.layoutlmv2 import KieModel, LayoutLMv2ForKie, LayoutLMv2ForRe, LayoutLMv2ForSer

FORMAT_VERSION = 1
INFO_FILE = "bundle.json"
CARD_FILE = "README.md"
TOKENIZER_DIR = "tokenizer"
WEIGHTS_FILE = "model.safetensors"
MODEL_CLASSES: dict[str, type[KieModel]] = {"kie": LayoutLMv2ForKie, "ser": LayoutLMv2ForSer, "re": LayoutLMv2ForRe}
"""Folder of a model in a bundle, and the class that it holds."""
Task = Literal["ser", "re"]


class BundleError(ConfigError):
    """A bundle is missing, damaged or of another kind; the message names the file, the expected and the found."""


class BundleInfo(Settings):
    """The contents of `bundle.json`.

    `labels`: the class list in its order, including OTHER. `entity_labels`: names of the rows of the RE head's label
    embedding. `relation_pairs`: (key label, value label) that may be linked. `reading_order`: see
    `kie_ray.encoding.reading_order`. `special_tokens`: see `kie_ray.encoding.tokenizer`. `ser_rule`: mean of the token
    probabilities or PaddleOCR's vote. `re_rule`: see `kie_ray.decoding.re.select_links`. `files`: sha256 in
    hexadecimal by relative path, filled in by `save_bundle`.
    """

    format_version: int = FORMAT_VERSION
    name: str
    tasks: list[Task] = Field(min_length=1)
    labels: list[str] = Field(min_length=1)
    entity_labels: list[str] = Field(default_factory=lambda: ["HEADER", "QUESTION", "ANSWER"])
    relation_pairs: list[tuple[str, str]] = Field(default_factory=lambda: [("QUESTION", "ANSWER")])
    reading_order: Literal["tb-yx", "tb-yx-paddle", "none"] = "tb-yx"
    max_tokens: int = Field(default=512, ge=1)
    overlap_tokens: int = Field(default=128, ge=0)
    clamp_boxes: bool = True
    special_tokens: Literal["neutralise", "parse"] = "neutralise"
    ser_rule: Literal["mean", "vote"] = "mean"
    re_rule: Literal["best", "first", "all"] = "best"
    re_threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    files: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class KieModels:
    """The loaded models in eval mode. `shared`: `ser` and `re` are one object, one encoder pass serves both tasks."""

    ser: KieModel | None
    re: KieModel | None
    shared: bool


@dataclass(frozen=True)
class Bundle:
    """A bundle on the local disk; `fingerprint` identifies its whole content."""

    path: Path
    info: BundleInfo
    fingerprint: str

    @classmethod
    def load(cls, path: str | Path | None = None, verify: bool = True) -> Bundle:
        """Open a bundle directory; None opens the model that is bundled with the package.

        Args:
            verify: also compute every file's sha256 (about a second a gigabyte).

        Raises:
            BundleError: no bundle there, another format version, an unknown field or task, a file that is missing, not
                listed, changed or outside the directory.
        """
        folder = default_bundle_path() if path is None else Path(path)
        info_file = folder / INFO_FILE
        if not info_file.is_file():
            raise BundleError(f"{folder} is no model bundle: it has no {INFO_FILE}")
        raw = info_file.read_bytes()
        bundle = cls(folder, _parse_info(raw, info_file), hashlib.sha256(raw).hexdigest())
        _check_files(folder, bundle.info, verify)
        return bundle

    @property
    def shared(self) -> bool:
        """One encoder with both heads."""
        return (self.path / "kie").is_dir()

    @property
    def label_set(self) -> LabelSet:
        return LabelSet.from_classes(self.info.labels)

    def load_tokenizer(self) -> PageTokenizer:
        """Raises ConfigError when the tokenizer directory cannot be read."""
        return load_tokenizer(self.path / TOKENIZER_DIR, self.info.special_tokens)

    def load_models(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        tasks: Collection[Task] = ("ser", "re"),
    ) -> KieModels:
        """Load those models of `tasks` that the bundle has, in eval mode.

        Raises:
            BundleError: weights and configuration disagree with each other or with `bundle.json`.
        """
        wanted = set(tasks) & set(self.info.tasks)
        if self.shared:
            both = self._load("kie", device, dtype)
            return KieModels(both if "ser" in wanted else None, both if "re" in wanted else None, len(wanted) == 2)
        ser = self._load("ser", device, dtype) if "ser" in wanted else None
        re = self._load("re", device, dtype) if "re" in wanted else None
        return KieModels(ser, re, False)

    def _load(self, folder: str, device: str | torch.device, dtype: torch.dtype) -> KieModel:
        kind, directory = MODEL_CLASSES[folder], self.path / folder
        try:
            with _no_progress_bar():
                loaded: Any = kind.from_pretrained(
                    str(directory), dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
                )
            model, report = loaded
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise BundleError(
                f"{directory} cannot be loaded as {kind.__name__}: {' '.join(str(error).split())}"
            ) from error
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if report[what]:
                names = ", ".join(sorted(map(str, report[what]))[:5])
                raise BundleError(f"{directory / WEIGHTS_FILE}: {what.replace('_', ' ')} for {kind.__name__}: {names}")
        _check_model(model, self.info, directory)
        return model.to(device).eval()


def default_bundle_path() -> Path:
    """Directory of the model that comes with the package. Raises BundleError when this installation has none."""
    path = Path(__file__).resolve().parents[1] / "bundles" / "default"
    if not (path / INFO_FILE).is_file():
        raise BundleError("this installation has no bundled model; name a bundle directory")
    return path


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
    if not models or set(models) - set(MODEL_CLASSES) or ("kie" in models and len(models) > 1):
        raise BundleError(f"models {sorted(models)}: a bundle holds either kie, or ser and/or re")
    if set(info.tasks) - covered:
        raise BundleError(f"tasks {info.tasks} need a model each, got {sorted(models)}")
    for folder, model in models.items():
        if type(model) is not MODEL_CLASSES[folder]:
            raise BundleError(f"{folder}/ holds a {MODEL_CLASSES[folder].__name__}, got {type(model).__name__}")
        _check_model(model, info, Path(folder))
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
        _write_info(work, info)
        work.chmod(0o755)
        _put_in_place(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Bundle.load(target)


def rewrite_card(path: str | Path, card: str) -> Bundle:
    """Give a bundle another model card (scores are measured after the bundle exists); its fingerprint changes.

    Raises:
        BundleError: there is no intact bundle at `path`.
    """
    bundle = Bundle.load(path)
    (bundle.path / CARD_FILE).write_text(card, encoding="utf-8")
    _write_info(bundle.path, bundle.info)
    return Bundle.load(path)


def _write_info(folder: Path, info: BundleInfo) -> None:
    hashes = {name: _sha256(folder / name) for name in sorted(_present(folder) - {INFO_FILE})}
    final = info.model_copy(update={"files": hashes, "format_version": FORMAT_VERSION})
    text = json.dumps(final.model_dump(mode="json"), ensure_ascii=False, indent=2)
    (folder / INFO_FILE).write_text(text + "\n", encoding="utf-8")


def _put_in_place(work: Path, target: Path) -> None:
    if not target.exists():
        work.rename(target)
        return
    aside = target.with_name(f".{target.name}.old-{os.getpid()}")
    target.rename(aside)
    work.rename(target)
    shutil.rmtree(aside)


def _parse_info(raw: bytes, origin: Path) -> BundleInfo:
    try:
        tree: Any = json.loads(raw)
    except ValueError as error:
        raise BundleError(f"{origin} is not JSON: {error}") from error
    found = tree.get("format_version") if isinstance(tree, dict) else None
    if found != FORMAT_VERSION:
        raise BundleError(f"{origin}: format_version is {found!r}, this version reads {FORMAT_VERSION}")
    try:
        info = BundleInfo.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{origin}: {where} = {first.get('input')!r}: {first['msg']}") from error
    return info


def _check_files(folder: Path, info: BundleInfo, verify: bool) -> None:
    root = folder.resolve()
    for name, expected in info.files.items():
        relative, full = PurePosixPath(name), root / name
        outside = relative.is_absolute() or ".." in relative.parts or not full.resolve().is_relative_to(root)
        if outside or "\\" in name:
            raise BundleError(f"{folder / INFO_FILE}: file {name!r} lies outside the bundle")
        if not full.is_file():
            raise BundleError(f"{folder / name} is missing, {INFO_FILE} lists it")
        if verify and (found := _sha256(full)) != expected:
            raise BundleError(f"{folder / name} is damaged or changed: sha256 {found}, {INFO_FILE} says {expected}")
    extra = sorted(_present(folder) - set(info.files) - {INFO_FILE})
    if extra:
        raise BundleError(f"{folder / extra[0]} is not listed in {INFO_FILE}: the bundle was changed after it was made")
    needed = {f"{name}/{WEIGHTS_FILE}" for name in (("kie",) if (folder / "kie").is_dir() else info.tasks)}
    if absent := sorted(needed - set(info.files)):
        raise BundleError(f"{folder} has no {absent[0]}, its tasks are {info.tasks}")


def _present(folder: Path) -> set[str]:
    """Relative paths of all files but dot files, which desktops and version control put anywhere."""
    files = (item.relative_to(folder) for item in folder.rglob("*") if not item.is_dir())
    return {item.as_posix() for item in files if not any(part.startswith(".") for part in item.parts)}


def _check_model(model: KieModel, info: BundleInfo, origin: Path) -> None:
    config = model.config
    if info.max_tokens > config.max_position_embeddings and config.use_1d_positions:
        raise BundleError(
            f"{origin}: max_tokens is {info.max_tokens}, the model has {config.max_position_embeddings} positions"
        )
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


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
