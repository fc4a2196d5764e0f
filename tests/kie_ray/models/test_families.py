"""Every folder of every family has its class, and anything else is told."""

from __future__ import annotations

import pytest

from kie_ray.errors import ConfigError
from kie_ray.models.families import FAMILIES, TASK_CLASSES, model_class
from kie_ray.models.task_models import MaskedLmModel

HEADS = {"kie": (True, True), "ser": (True, False), "re": (False, True), "mlm": (False, False)}


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("folder", TASK_CLASSES)
def test_every_family_has_every_task(folder: str, model_type: str) -> None:
    kind = model_class(folder, model_type)
    assert (kind.has_ser, kind.has_re) == HEADS[folder]
    assert issubclass(kind, MaskedLmModel) is (folder == "mlm")
    assert kind.config_class.model_type == kind.base_model_prefix == model_type


def test_what_is_not_there() -> None:
    with pytest.raises(ConfigError, match="'bert' is no known family, it must be one of layoutlm, layoutlmv2"):
        model_class("ser", "bert")
    with pytest.raises(ConfigError, match="no model folder 'vqa', it must be one of kie, ser, re, mlm"):
        model_class("vqa", "layoutlm")
