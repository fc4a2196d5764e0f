"""`bundle.json`, the description in every model bundle, and the check that a bundle's files are those it lists."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, ValidationError

from kie_ray.config import Settings, shown
from kie_ray.encoding.page_image import ImageKind
from kie_ray.errors import ConfigError

FORMAT_VERSION = 1
INFO_FILE = "bundle.json"
CARD_FILE = "README.md"
TOKENIZER_DIR = "tokenizer"
WEIGHTS_FILE = "model.safetensors"
Task = Literal["ser", "re"]


class BundleError(ConfigError):
    """A bundle is missing, damaged or of another kind; the message names the file, the expected and the found."""


class BundleInfo(Settings):
    """The contents of `bundle.json`.

    `labels`: the class list in its order, including OTHER. `entity_labels`: names of the rows of the RE head's label
    embedding. `relation_pairs`: (key label, value label) that may be linked. `reading_order`: see
    `kie_ray.encoding.reading_order`. `special_tokens`: see `kie_ray.encoding.tokenizer`. `image`: how a page becomes
    the models' image, see `kie_ray.encoding.page_image`. `ser_rule`: mean of the token probabilities or PaddleOCR's
    vote. `re_rule`: see `kie_ray.decoding.re.select_links`. `files`: sha256 in hexadecimal by relative path, filled in
    by `save_bundle`.
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
    image: ImageKind = "none"
    ser_rule: Literal["mean", "vote"] = "mean"
    re_rule: Literal["best", "first", "all"] = "best"
    re_threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    files: dict[str, str] = Field(default_factory=dict)


def default_bundle_path() -> Path:
    """Directory of the model that comes with the package. Raises BundleError when this installation has none."""
    path = Path(__file__).resolve().parents[1] / "bundles" / "default"
    if not (path / INFO_FILE).is_file():
        raise BundleError("this installation has no bundled model; name a bundle directory")
    return path


def write_info(folder: Path, info: BundleInfo) -> None:
    """Write `info` with the sha256 of every file that is in `folder`."""
    hashes = {name: _sha256(folder / name) for name in sorted(present_files(folder) - {INFO_FILE})}
    final = info.model_copy(update={"files": hashes, "format_version": FORMAT_VERSION})
    text = json.dumps(final.model_dump(mode="json"), ensure_ascii=False, indent=2)
    (folder / INFO_FILE).write_text(text + "\n", encoding="utf-8")


def parse_info(raw: bytes, origin: Path) -> BundleInfo:
    """The checked contents of a `bundle.json`. Raises BundleError, which names `origin` and what is wrong."""
    try:
        tree: Any = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{origin} is not JSON: {error}") from error
    found = tree.get("format_version") if isinstance(tree, dict) else None
    if found != FORMAT_VERSION:
        raise BundleError(f"{origin}: format_version is {shown(found)}, this version reads {FORMAT_VERSION}")
    try:
        info = BundleInfo.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{origin}: {where} = {shown(first.get('input'))}: {first['msg']}") from error
    return info


def check_files(folder: Path, info: BundleInfo, verify: bool) -> None:
    """Raise BundleError where a file is missing, not listed, outside the bundle or (with `verify`) changed."""
    for name, expected in info.files.items():
        try:
            full = _inside(folder, name)
            if not full.is_file():
                raise BundleError(f"{folder / name} is missing, {INFO_FILE} lists it")
            if verify and (found := _sha256(full)) != expected:
                says = f"sha256 {found}, {INFO_FILE} says {shown(expected)}"
                raise BundleError(f"{folder / name} is damaged or changed: {says}")
        except (OSError, UnicodeError) as error:  # no permission; or a name that no file can have
            raise BundleError(
                f"{folder / INFO_FILE}: file {shown(name)} cannot be read: {type(error).__name__}"
            ) from error
    extra = sorted(present_files(folder) - set(info.files) - {INFO_FILE})
    if extra:
        raise BundleError(f"{folder / extra[0]} is not listed in {INFO_FILE}: the bundle was changed after it was made")
    needed = {f"{name}/{WEIGHTS_FILE}" for name in (("kie",) if (folder / "kie").is_dir() else info.tasks)}
    if absent := sorted(needed - set(info.files)):
        raise BundleError(f"{folder} has no {absent[0]}, its tasks are {info.tasks}")


def _inside(folder: Path, name: str) -> Path:
    root, relative = folder.resolve(), PurePosixPath(name)
    full = root / name
    impossible = "\\" in name or "\0" in name or relative.is_absolute() or ".." in relative.parts
    if impossible or not full.resolve().is_relative_to(root):
        raise BundleError(f"{folder / INFO_FILE}: file {shown(name)} lies outside the bundle")
    return full


def present_files(folder: Path) -> set[str]:
    """Relative paths of all files but dot files, which desktops and version control put anywhere."""
    files = (item.relative_to(folder) for item in folder.rglob("*") if not item.is_dir())
    return {item.as_posix() for item in files if not any(part.startswith(".") for part in item.parts)}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
