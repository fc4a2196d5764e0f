"""Which class holds the model of a folder: by task and by `model_type` of its config.json."""

from __future__ import annotations

import importlib

from kie_ray.errors import ConfigError
from kie_ray.models.kie_model import KieModel

FAMILIES = {"layoutlm": ("layoutlm", "LayoutLM"), "layoutlmv2": ("layoutlmv2", "LayoutLMv2")}
"""`model_type` of a configuration, the module of its task models and the stem of their names."""

TASK_CLASSES = {"kie": "ForKie", "ser": "ForSer", "re": "ForRe", "mlm": "ForMaskedLm"}
"""Folder of a model in a bundle (`mlm`: of a pre-trained encoder), and how the class names of its task end."""


def model_class(folder: str, model_type: str) -> type[KieModel]:
    """The class of the model in `folder` (kie, ser, re or mlm) of the family `model_type`.

    Raises:
        ConfigError: there is no such folder or family.
    """
    if folder not in TASK_CLASSES:
        raise ConfigError(f"no model folder {folder!r}, it must be one of {', '.join(TASK_CLASSES)}")
    if model_type not in FAMILIES:
        raise ConfigError(f"model_type {model_type!r} is no known family, it must be one of {', '.join(FAMILIES)}")
    module, stem = FAMILIES[model_type]
    found: type[KieModel] = getattr(importlib.import_module(f"kie_ray.models.{module}"), stem + TASK_CLASSES[folder])
    return found
