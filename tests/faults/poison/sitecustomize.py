"""Documents that kill the process which works on them, in every Python process that has this folder on its path.

`KIE_RAY_TEST_POISON` names a folder of switches. While a file of this name is there:
    ocr_poison     OCR of a page whose document's name starts with `ocr_poison` dies by SIGSEGV
    model_poison   so do the models with `model_poison`
    slow           OCR and models take a tenth of a second a page, so that there is time to kill something
What was begun stands in the files `ocr.log` and `models.log` there, a line a page: the process id.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

SWITCHES = Path(os.environ.get("KIE_RAY_TEST_POISON", "/nonexistent"))


def die_of(kind: str, pages: Sequence[Any]) -> None:
    names = [page.source.rpartition("/")[2] for page in pages]
    if any(name.startswith(kind) for name in names) and (SWITCHES / kind).exists():
        ctypes.string_at(0)


def write_down(name: str, pages: Sequence[Any]) -> None:
    if SWITCHES.is_dir():
        with (SWITCHES / name).open("a", encoding="ascii") as log:
            log.write(f"{os.getpid()}\n" * len(pages))


def in_ocr(pages: Sequence[Any]) -> None:
    write_down("ocr.log", pages)
    die_of("ocr_poison", pages)
    dawdle(pages)


def in_models(pages: Sequence[Any]) -> None:
    write_down("models.log", pages)
    die_of("model_poison", pages)
    dawdle(pages)


def dawdle(pages: Sequence[Any]) -> None:
    if (SWITCHES / "slow").exists():
        time.sleep(0.1 * len(pages))


POISONED: dict[str, tuple[str, str, Callable[[Sequence[Any]], None]]] = {
    "kie_ray.ocr.annotations": ("AnnotationEngine", "read_lines", in_ocr),
    "kie_ray.annotator": ("Annotator", "annotate", in_models),
}


class Poisoner(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the modules above as they are, with one method each that looks at its pages first."""

    def __init__(self) -> None:
        self._real: dict[str, importlib.abc.Loader] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in POISONED or name in self._real:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            self._real[name], spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        self._real[module.__name__].exec_module(module)
        kind, method, look = POISONED[module.__name__]
        real = getattr(getattr(module, kind), method)

        def looked_at(self: Any, pages: Sequence[Any], *more: Any) -> Any:
            look(pages)
            return real(self, pages, *more)

        setattr(getattr(module, kind), method, looked_at)


sys.meta_path.insert(0, Poisoner())
