"""BIO label ids derived from a class list, numbered as PaddleOCR numbers them (`load_vqa_bio_label_maps`)."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kie_ray.errors import ConfigError
from kie_ray.records import OTHER

OTHER_NAMES = frozenset({"OTHER", "OTHERS", "IGNORE"})
"""Labels, upper-cased, that mean "no entity"."""


def canonical_label(label: str) -> str:
    """Upper-case a label; `other`, `others`, `ignore` in any case and the empty string become `OTHER`."""
    name = label.strip().upper()
    return OTHER if not name or name in OTHER_NAMES else name


@dataclass(frozen=True)
class LabelSet:
    """Entity classes and their token labels.

    `entities`: upper-case classes without OTHER, in file order. Token label ids: O = 0, then B-X = 2k+1, I-X = 2k+2 for
    the k-th entity class. Class ids: OTHER = 0, then k+1.
    """

    entities: tuple[str, ...]

    @classmethod
    def from_classes(cls, classes: Sequence[str]) -> LabelSet:
        """Build from a class list in file order; OTHER, OTHERS, IGNORE and blank entries are dropped.

        Raises:
            ConfigError: a class stands twice, or no class is left.
        """
        kept = [name for name in map(canonical_label, classes) if name != OTHER]
        twice = sorted({name for name in kept if kept.count(name) > 1})
        if twice:
            raise ConfigError(f"class list names {', '.join(twice)} more than once (case does not count)")
        if not kept:
            raise ConfigError(f"class list {list(classes)!r} holds no entity class besides OTHER")
        return cls(tuple(kept))

    @classmethod
    def from_file(cls, path: str | Path) -> LabelSet:
        """Read a class list, one class a line (PaddleOCR's `class_list_xfun.txt`)."""
        file = Path(path)
        if not file.is_file():
            raise ConfigError(f"class list {file} does not exist")
        return cls.from_classes(file.read_text(encoding="utf-8-sig").splitlines())

    @classmethod
    def from_names(cls, names: Sequence[str]) -> LabelSet:
        """Build from BIO names in id order, as `names` gives them (what a bundle stores).

        Raises:
            ConfigError: the names are not O, B-X, I-X, B-Y, I-Y, ...
        """
        found = cls.from_classes([name[2:] for name in names if name.startswith("B-")])
        if list(names) != list(found.names):
            raise ConfigError(f"label names {list(names)!r} should be {list(found.names)!r}")
        return found

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """OTHER first, then the entity classes: class id -> name."""
        return (OTHER, *self.entities)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Token label id -> BIO name."""
        return ("O", *(f"{mark}-{name}" for name in self.entities for mark in "BI"))

    @property
    def num_labels(self) -> int:
        """Number of token labels, 2m+1 for m entity classes."""
        return len(self.names)

    @property
    def num_classes(self) -> int:
        """Number of line classes including OTHER, m+1."""
        return len(self.classes)

    @cached_property
    def _class_ids(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.classes)}

    @cached_property
    def _name_ids(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def class_id(self, label: str) -> int:
        """Class id of a line label in any case.

        Raises:
            ConfigError: the label is in no class; names the nearest one.
        """
        found = self._class_ids.get(canonical_label(label))
        if found is None:
            near = difflib.get_close_matches(canonical_label(label), self.classes, n=1, cutoff=0.0)[0]
            raise ConfigError(f"label {label!r} is not in the class list {list(self.classes)}; nearest is {near!r}")
        return found

    def id_of(self, name: str) -> int:
        """Token label id of a BIO name such as `B-QUESTION`."""
        found = self._name_ids.get(name.upper())
        if found is None:
            near = difflib.get_close_matches(name.upper(), self.names, n=1, cutoff=0.0)[0]
            raise ConfigError(f"token label {name!r} is unknown; nearest is {near!r}")
        return found

    def begin_id(self, label: str) -> int:
        """Id of B-<label>, 0 for OTHER."""
        index = self.class_id(label)
        return 2 * index - 1 if index else 0

    def inside_id(self, label: str) -> int:
        """Id of I-<label>, 0 for OTHER."""
        return 2 * self.class_id(label)

    def class_of(self, token_label: int) -> str:
        """Class of a token label id: B-X and I-X give X, O gives OTHER."""
        return self.classes[(token_label + 1) // 2]
