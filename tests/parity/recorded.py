"""Reading recorded cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

TEXT_INPUTS = ("input_ids", "bbox", "attention_mask", "token_type_ids")
VISUAL_TOKENS = 49


def tensors(file: Path) -> dict[str, Tensor]:
    """The arrays of an .npz."""
    with np.load(file) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def text_inputs(case: dict[str, Tensor]) -> list[Tensor]:
    """The inputs of `encode` but for the image, in their order."""
    return [case[name] for name in TEXT_INPUTS]
