"""A bundle with ONNX files from a bundle without: write, check against torch, describe, put in place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from kie_ray.encoding.labels import LabelSet
from kie_ray.encoding.page_image import IMAGE_SIZE
from kie_ray.errors import ConfigError
from kie_ray.export.check import Comparison, compare
from kie_ray.export.files import (
    DEFAULT_OPSET,
    OPSETS,
    require_onnx,
    shrink_tables,
    write_graph,
    write_int8,
    write_metadata,
)
from kie_ray.export.graphs import EncoderGraph, ImageGraph, RelationGraph, expressible
from kie_ray.export.readme import describe, without_section
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import CARD_FILE, BundleInfo, write_info
from kie_ray.models.bundle_models import KieModels, load_models
from kie_ray.models.kie_model import KieModel
from kie_ray.models.onnx_models import load_onnx_models
from kie_ray.models.runtime import IMAGE_FILE, ONNX_DIR, RE_ENCODER_FILE, RE_FILE, RE_IMAGE_FILE, SER_FILE

_EXAMPLE_WINDOWS, _EXAMPLE_TOKENS, _EXAMPLE_PAGES = 2, 24, 3


@dataclass(frozen=True)
class ExportSettings:
    """How the files are written.

    `opset`: of their operators. `int8`: weights of the encoders in int8; the RE head stays float. `entities`, `pairs`:
    the fixed sizes of the RE graph's tensors.
    """

    opset: int = DEFAULT_OPSET
    int8: bool = False
    entities: int = 128
    pairs: int = 2048

    def __post_init__(self) -> None:
        if not OPSETS[0] <= self.opset <= OPSETS[1]:
            raise ConfigError(f"opset {self.opset} must be from {OPSETS[0]} to {OPSETS[1]}")
        if self.entities < 2:
            raise ConfigError(f"entities {self.entities} must be at least 2: a pair has a head and a tail")
        if self.pairs < 1:
            raise ConfigError(f"pairs {self.pairs} must be at least 1")


@dataclass(frozen=True)
class ExportReport:
    """What was written and how far it is from torch.

    `float32`: of the float32 files, within the tolerance. `int8`: of the int8 files; None where there are none.
    """

    bundle: Bundle
    files: list[Path]
    float32: Comparison
    int8: Comparison | None


def export_bundle(bundle: Bundle, target: Path, settings: ExportSettings | None = None) -> ExportReport:
    """Write a bundle at `target`: everything of `bundle`, and `onnx/`.

    The float32 files must agree with torch on the sample pages of the package within `check.TOLERANCE`, else nothing is
    left at `target`.

    Raises:
        ConfigError: `target` holds something, a setting is out of range, or the packages for export are missing.
        ExportError: the ONNX files do not compute what torch does.
    """
    settings = settings or ExportSettings()
    require_onnx()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} exists already and is not empty; choose another directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _copy(bundle, work)
        folder = work / ONNX_DIR
        folder.mkdir()
        models = load_models(bundle)
        for model, names in _models(models):
            _write(model, folder, names, bundle.info, settings)
        for file in folder.glob("*.onnx"):
            shrink_tables(file)
        staged = Bundle(work, bundle.info, bundle.fingerprint)
        float32 = compare(staged, models, load_onnx_models(staged))
        float32.require()
        int8 = None
        if settings.int8:
            _quantise(folder, bundle.info)
            int8 = compare(staged, models, load_onnx_models(staged))
        text = describe(folder, settings.opset, settings.int8)
        (folder / CARD_FILE).write_text(text, encoding="utf-8")
        card = work / CARD_FILE
        before = without_section(card.read_text(encoding="utf-8")) if card.is_file() else ""
        card.write_text(f"{before}\n\n{text}".lstrip(), encoding="utf-8")
        write_info(work, bundle.info)
        work.chmod(0o755)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    files = sorted((target / ONNX_DIR).glob("*.onnx"))
    return ExportReport(Bundle.load(target), files, float32, int8)


def _copy(bundle: Bundle, work: Path) -> None:
    for name in bundle.info.files:
        if Path(name).parts[0] != ONNX_DIR:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, work / name)


def _models(models: KieModels) -> list[tuple[KieModel, dict[str, str]]]:
    """Each model once, with the names of its files."""
    names = {"encoder": SER_FILE, "relations": RE_FILE, "image": IMAGE_FILE}
    found = [(models.ser, names)] if models.ser is not None else []
    if models.re is not None and models.re is not models.ser:
        of_both = models.re.has_ser  # one encoder with both heads, in a bundle whose tasks name RE alone
        own = {"encoder": RE_ENCODER_FILE, "relations": RE_FILE, "image": RE_IMAGE_FILE}
        found.append((models.re, names if of_both else own))
    return found


def _write(model: KieModel, folder: Path, names: Mapping[str, str], info: BundleInfo, settings: ExportSettings) -> None:
    shape = (_EXAMPLE_WINDOWS, _EXAMPLE_TOKENS)
    windows = {
        "input_ids": torch.ones(shape, dtype=torch.int64),
        "bbox": torch.ones((*shape, 4), dtype=torch.int64),
        "attention_mask": torch.ones(shape, dtype=torch.int64),
    }
    dynamic: dict[str, tuple[str, ...]] = dict.fromkeys(windows, ("windows", "tokens"))
    if model.uses_image:
        image = torch.zeros(_EXAMPLE_PAGES, 3, IMAGE_SIZE, IMAGE_SIZE)
        file = folder / names["image"]
        write_graph(
            ImageGraph(model), file, {"image": image}, {"image": ("pages",)}, ["image_features"], settings.opset
        )
        write_metadata(file, {"kie_ray": "image", "image": info.image})
        with torch.no_grad():
            windows["image_features"] = model.image_features(image[:_EXAMPLE_WINDOWS])
        dynamic["image_features"] = ("windows",)
    outputs = ["logits", "hidden"] if model.has_ser else ["hidden"]
    file = folder / names["encoder"]
    with expressible(model):
        write_graph(EncoderGraph(model), file, windows, dynamic, outputs, settings.opset)
    write_metadata(file, _encoder_metadata(model.has_ser, info, "float32"))
    if model.has_re:
        file = folder / names["relations"]
        inputs, leading = _relation_inputs(model, settings)
        write_graph(RelationGraph(model.extractor), file, inputs, leading, ["logits", "scores"], settings.opset)
        pairs = [list(pair) for pair in info.relation_pairs]
        write_metadata(
            file, {"kie_ray": "re", "entity_labels": info.entity_labels, "relation_pairs": pairs, "weights": "float32"}
        )


def _relation_inputs(model: KieModel, settings: ExportSettings) -> tuple[dict[str, Tensor], dict[str, tuple[str, ...]]]:
    pages, entities = _EXAMPLE_PAGES, settings.entities
    inputs = {
        "hidden": torch.zeros(pages, _EXAMPLE_TOKENS, model.config.hidden_size),
        "entity_tokens": torch.zeros(pages, entities, dtype=torch.int64),
        "entity_labels": torch.zeros(pages, entities, dtype=torch.int64),
        "pairs": torch.zeros(pages, settings.pairs, 2, dtype=torch.int64),
        "pair_count": torch.ones(pages, dtype=torch.int64),
    }
    if model.extractor.geometry is not None:
        inputs["entity_boxes"] = torch.zeros(pages, entities, 4)
        inputs["entity_order"] = torch.zeros(pages, entities, dtype=torch.int64)
    dynamic: dict[str, tuple[str, ...]] = dict.fromkeys(inputs, ("pages",))
    dynamic["hidden"] = ("pages", "tokens")
    return inputs, dynamic


def _encoder_metadata(has_ser: bool, info: BundleInfo, weights: Literal["float32", "int8"]) -> dict[str, Any]:
    names = {"labels": LabelSet.from_classes(info.labels).names} if has_ser else {}
    return {"kie_ray": "encoder", **names, "max_tokens": info.max_tokens, "weights": weights}


def _quantise(folder: Path, info: BundleInfo) -> None:
    for name in (SER_FILE, RE_ENCODER_FILE):
        file = folder / name
        if file.is_file():
            smaller = file.with_suffix(".int8")
            write_int8(file, smaller)
            write_metadata(smaller, _encoder_metadata(name == SER_FILE, info, "int8"))
            smaller.rename(file)
