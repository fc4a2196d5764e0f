"""PaddleNLP's recorded SER models; with and without visual backbone they are recorded alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from kie_ray.models.from_paddle import PaddleImport, from_arrays, load_paddle, make_config
from kie_ray.models.layoutlmv2 import LayoutLMv2ForSer

CASES = ("main", "with_id0", "seq512")
SOURCES = ("saved_paddlenlp252", "saved_paddlenlp281", "weights.npz")


def load(folder: Path, source: str) -> PaddleImport:
    if source != "weights.npz":
        return load_paddle(folder / source)
    fields: dict[str, Any] = json.loads((folder / "meta_252.json").read_text())["config"]
    with np.load(folder / source) as arrays:
        return from_arrays(dict(arrays), make_config(fields, "LayoutXLMForTokenClassification"), LayoutLMv2ForSer)
