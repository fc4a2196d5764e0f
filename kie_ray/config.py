"""Typed configuration: pydantic models, loaded from YAML, overridden with `key=value`, strict about unknown keys."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from kie_ray.errors import ConfigError

_SHOWN = reprlib.Repr()
_SHOWN.maxlevel = 2
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 200
_MESSAGE = 300


class Settings(BaseModel):
    """Base of every configuration section.

    Unknown keys, infinities and NaN are refused, values are checked on assignment too.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=(), allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


def load_settings(kind: type[S], file: str | Path | None = None, overrides: Sequence[str] = ()) -> S:
    """Read `file` (YAML, optional), apply `overrides` ("a.b=value", value parsed as YAML) and validate.

    Raises:
        ConfigError: one line that names the key or value and, for an unknown key, the nearest known one.
    """
    tree: Any = {}
    if file is not None:
        path = Path(file)
        try:
            if not path.is_file():
                raise ConfigError(f"configuration file {path} does not exist")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"configuration file {path} cannot be read: {_on_one_line(error)}") from error
        tree = _parse(text, str(path)) or {}
        if not isinstance(tree, dict):
            raise ConfigError(f"{path} must hold a mapping of settings, it holds a {type(tree).__name__}")
    for item in overrides:
        _apply_override(tree, item)
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_one_line(kind, error, str(file) if file else "settings")) from error


def _apply_override(tree: dict[str, Any], item: str) -> None:
    key, separator, text = item.partition("=")
    if not separator or not key or not key.isprintable():
        raise ConfigError(f"--set takes key=value, not {shown(item)}")
    value = _parse(text, f"--set {key}={shown(text)}")
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {key}: {parent!r} is a value, not a section")
        node = child
    node[last] = value


def shown(value: object) -> str:
    """`repr` cut to less than a line: a value may be megabytes long, or refer to itself."""
    return _SHOWN.repr(value)[:_MESSAGE]


def _parse(text: str, origin: str) -> Any:
    try:
        return yaml.safe_load(text)
    except Exception as error:  # besides YAMLError its dates and numbers raise ValueError, AttributeError and others
        raise ConfigError(f"{origin} is not valid YAML: {_on_one_line(error)}") from error


def _on_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:_MESSAGE] or type(error).__name__


def _one_line(kind: type[BaseModel], error: ValidationError, origin: str) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    where = ".".join(path)[:_MESSAGE]
    if first["type"] == "extra_forbidden":
        known = _fields_at(kind, path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.0)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{origin}: unknown key {where!r}{hint}"
    return f"{origin}: {where} = {shown(first.get('input'))}: {first['msg']}"


def _fields_at(kind: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        info = kind.model_fields.get(part)
        annotation = info.annotation if info else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        kind = annotation
    return list(kind.model_fields)
