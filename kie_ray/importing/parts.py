"""The models of an import: read, told apart by their heads, with their labels numbered as ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kie_ray.encoding.labels import LabelSet
from kie_ray.errors import ConfigError
from kie_ray.importing.labels import (
    PADDLE_CLASSES,
    LabelRows,
    arrange_classifier,
    arrange_entities,
    configured_names,
    label_rows,
    names_of,
)
from kie_ray.importing.sources import digest
from kie_ray.models import from_huggingface, from_paddle
from kie_ray.models.checkpoint_tensors import as_encoder
from kie_ray.models.from_huggingface import HuggingFaceImport
from kie_ray.models.from_paddle import PaddleImport
from kie_ray.models.kie_model import KieModel


@dataclass(frozen=True)
class Part:
    """One checkpoint.

    `folder`: ser, re, kie (both heads) or mlm (the bare encoder). `source`: as the user named it. `weights`: sha256 of
    each weights file. `used`: how many of its tensors found a place; `skipped`: names of the others. `notes`: what was
    assumed.
    """

    model: KieModel
    folder: str
    source: str
    directory: Path
    architecture: str
    weights: dict[str, str]
    used: int
    skipped: list[str]
    notes: list[str]

    @property
    def title(self) -> str:
        return {"ser": "SER", "re": "RE", "kie": "SER and RE", "mlm": "encoder"}[self.folder]

    @property
    def vocab_size(self) -> int:
        return int(self.model.config.vocab_size)

    @property
    def parameters(self) -> int:
        return sum(value.numel() for value in self.model.parameters())


def read_paddle(source: str, directory: Path, wanted: str) -> Part:
    """PaddleNLP's saved directory.

    Args:
        wanted: ser, re or mlm: what the directory was given for.

    Raises:
        ConfigError: it cannot be read, or holds another kind of model.
    """
    found = from_paddle.load_paddle(directory)
    part = _part(found, source, directory, [directory / from_paddle.WEIGHTS_FILE])
    if part.folder != wanted:
        raise ConfigError(f"{source} holds {_KINDS[part.folder]}, it was named as {_KINDS[wanted]}")
    if not any((directory / name).is_file() for name in (from_paddle.CONFIG_FILE, from_paddle.LEGACY_CONFIG_FILE)):
        part.notes.append("no configuration beside the weights: PaddleNLP's settings of the base size are taken")
    return part


def read_huggingface(source: str, directory: Path) -> Part:
    """Hugging Face's or layoutlmft's saved directory. Raises ConfigError where it cannot be read."""
    found = from_huggingface.load_huggingface(directory)
    return _part(found, source, directory, from_huggingface.weights_files(directory))


def number_labels(part: Part, entries: Sequence[str], paddle: bool) -> LabelRows | None:
    """Put the SER head's rows into our order; None for a part without SER head.

    Args:
        entries: what the user says the labels are, see `names_of`; empty: what the configuration says, and of
            PaddleOCR's models (`paddle`) of 7 labels its own class list.

    Raises:
        ConfigError: nothing says what the labels are, or their number or scheme does not fit.
    """
    if not part.model.has_ser:
        return None
    count = len(part.model.classifier.bias)
    names = list(entries) or configured_names(part.directory)
    if not names and paddle and count == LabelSet.from_classes(PADDLE_CLASSES).num_labels:
        names = list(PADDLE_CLASSES)
        part.notes.append(f"labels taken from PaddleOCR's class list {', '.join(names)}: the checkpoint names none")
    if not names:
        raise ConfigError(
            f"{part.source} does not name its {count} labels: give --labels, a class list or the BIO labels in the "
            "order of their ids"
        )
    try:
        order = label_rows(names_of(names, count))
    except ConfigError as error:
        raise ConfigError(f"{part.source}: {error}") from error
    absent = [name for name, row in zip(order.labels.names, order.rows, strict=True) if row is None]
    if absent:
        part.notes.append(f"the checkpoint has no {', '.join(absent)}: never predicted")
    if order.changed:
        arrange_classifier(part.model, order)
    return order


def number_entities(parts: Sequence[Part], names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Names of the rows of the RE head's label embedding, put into the order of the class list where they are the same.

    Training takes over an RE head whose labels stand in the order of its class list.

    Args:
        names: what the rows mean in the checkpoint.
        classes: entity classes of the bundle.

    Raises:
        ConfigError: the RE head has another number of rows.
    """
    wanted = list(classes) if set(classes) == set(names) else list(names)
    for part in parts:
        if not part.model.has_re:
            continue
        rows = part.model.config.num_entity_labels
        if rows != len(names):
            raise ConfigError(
                f"{part.source}: the RE head has {rows} entity labels, not {len(names)} ({', '.join(names)}): name "
                "them in their order with --entity-labels"
            )
        if wanted != list(names):
            arrange_entities(part.model, names, wanted)
            part.notes.append(f"rows of the entity embedding were {', '.join(names)}, they are now {', '.join(wanted)}")
    return wanted


_KINDS = {"ser": "a SER model", "re": "an RE model", "kie": "a SER and RE model", "mlm": "an encoder without heads"}


def _part(found: PaddleImport | HuggingFaceImport, source: str, directory: Path, weights: Sequence[Path]) -> Part:
    model: Any = found.model
    ser, re_head = getattr(model, "has_ser", False), getattr(model, "has_re", False)
    folder = "kie" if ser and re_head else "ser" if ser else "re" if re_head else "mlm"
    whole = as_encoder(model) if folder == "mlm" else model
    notes = ["the masked-token head has random weights: the checkpoint has none"] if whole is not model else []
    hashes = {file.name: digest(file) for file in weights}
    return Part(whole, folder, source, directory, _architecture(whole), hashes, found.used, found.skipped, notes)


def _architecture(model: KieModel) -> str:
    config: Any = model.config
    if config.model_type == "layoutlm":
        return "LayoutLM with image branch" if model.uses_image else "LayoutLM"
    name = "LayoutXLM" if config.has_visual_segment_embedding else "LayoutLMv2"
    return name if model.uses_image else f"VI-{name}"
