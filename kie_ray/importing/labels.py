"""A checkpoint's own numbering of token labels, and the rows of its classifier in ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kie_ray.encoding.labels import LabelSet, canonical_label
from kie_ray.errors import ConfigError
from kie_ray.models.kie_model import KieModel
from kie_ray.records import OTHER

PADDLE_CLASSES = ("OTHER", "QUESTION", "ANSWER", "HEADER")
"""PaddleOCR's `class_list_xfun.txt`, the class list of every KIE model that it publishes."""

NEVER = -1e4
"""Bias of a label that a checkpoint does not have: its probability is 0 in float32, and the value fits float16."""

_BIO = re.compile(r"([BI])[-_](.+)")


@dataclass(frozen=True)
class LabelRows:
    """`rows`: for every label id of `labels` the row of the checkpoint's classifier, None where it has none."""

    labels: LabelSet
    rows: tuple[int | None, ...]

    @property
    def changed(self) -> bool:
        """The checkpoint numbers its labels otherwise."""
        return self.rows != tuple(range(len(self.rows)))


def label_rows(names: Sequence[str]) -> LabelRows:
    """Match a checkpoint's BIO names, by id and in any case, with the numbering that follows from the class list.

    The classes keep the order of their first label; exactly QUESTION, ANSWER and HEADER take PaddleOCR's order, so that
    training on its class list goes on with this head. A class may lack its B- or its I- label.

    Raises:
        ConfigError: a label is neither O nor B-X nor I-X, stands twice, or no label means "no entity".
    """
    found: dict[str, int] = {}
    for index, raw in enumerate(names):
        name = raw.strip().upper()
        match = _BIO.fullmatch(name)
        if match is not None and canonical_label(match[2]) != OTHER:
            name = f"{match[1]}-{match[2]}"
        elif match is None and canonical_label(name) == OTHER:
            name = "O"
        elif name != "O":
            raise ConfigError(
                f"label {raw!r} (id {index}) is neither O nor B-CLASS nor I-CLASS; schemes other than BIO (IOBES, one "
                "label a class) cannot be imported"
            )
        if name in found:
            raise ConfigError(f"label {raw!r} stands twice, with the ids {found[name]} and {index}")
        found[name] = index
    if "O" not in found:
        raise ConfigError(f"no label of {list(names)!r} means 'no entity': one of them must be O")
    classes = list(dict.fromkeys(name[2:] for name in found if name != "O"))
    if set(classes) == set(PADDLE_CLASSES[1:]):
        classes = list(PADDLE_CLASSES[1:])
    labels = LabelSet.from_classes(classes)
    return LabelRows(labels, tuple(found.get(name) for name in labels.names))


def wanted_names(text: str) -> list[str]:
    """`--labels`: a file with one label or class a line, or a list with commas.

    Raises:
        ConfigError: it names no label, or the file is no UTF-8 text.
    """
    try:
        file = Path(text).is_file()
    except OSError:  # a list longer than any file name
        file = False
    try:
        lines = Path(text).read_text(encoding="utf-8-sig").splitlines() if file else text.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--labels {text} cannot be read: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names or (len(names) == 1 and not file):
        raise ConfigError(f"--labels {text!r} is neither a file nor a list of labels with commas between them")
    return names


def names_of(entries: Sequence[str], count: int) -> list[str]:
    """BIO names by id: the entries themselves, or those that PaddleOCR derives from a class list.

    Args:
        entries: BIO names, or classes (with or without OTHER).
        count: labels that the checkpoint's classifier has.

    Raises:
        ConfigError: the entries make another number of labels.
    """
    bio = any(name.strip().upper() == "O" or _BIO.fullmatch(name.strip().upper()) for name in entries)
    names = list(entries) if bio else list(LabelSet.from_classes(entries).names)
    if len(names) != count:
        kind = "labels" if bio else f"classes make {len(names)} labels"
        raise ConfigError(
            f"{len(entries)} {kind}, the checkpoint has {count}; give its BIO labels in the order of their ids, or its "
            "class list (a class makes two labels, and O is one)"
        )
    return names


def configured_names(directory: str | Path) -> list[str]:
    """`id2label` of a `config.json` by id; empty where there is none or it only numbers the labels (LABEL_0, ...)."""
    path = Path(directory) / "config.json"
    tree: Any = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    mapping = tree.get("id2label")
    if not isinstance(mapping, Mapping):
        return []
    try:
        names = {int(key): str(value) for key, value in mapping.items()}
    except ValueError as error:
        raise ConfigError(f"{path}: id2label should map numbers to names: {error}") from error
    numbered = all(re.fullmatch(r"LABEL_\d+", name) for name in names.values())
    return [] if numbered or sorted(names) != list(range(len(names))) else [names[index] for index in range(len(names))]


@torch.no_grad()
def arrange_classifier(model: KieModel, order: LabelRows) -> None:
    """Put the rows of a SER head into the order of our label ids, in place."""
    head: Any = model.classifier
    weight = head.weight.new_zeros((len(order.rows), head.weight.shape[1]))
    bias = head.bias.new_full((len(order.rows),), NEVER)
    for ours, theirs in enumerate(order.rows):
        if theirs is not None:
            weight[ours], bias[ours] = head.weight[theirs], head.bias[theirs]
    head.weight, head.bias = nn.Parameter(weight), nn.Parameter(bias)
    head.out_features = model.config.num_labels = len(order.rows)


@torch.no_grad()
def arrange_entities(model: KieModel, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Put the rows of an RE head's label embedding, named `names`, into the order `wanted`, in place."""
    table: Any = model.extractor.entity_emb
    table.weight = nn.Parameter(table.weight[[list(names).index(name) for name in wanted]].clone())
