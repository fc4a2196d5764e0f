"""Pixels as the PP-OCR models want them."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""uint8 [height, width, 3], RGB."""


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """Bilinear, to uint8 [height, width, 3]."""
    return cast(Pixels, cv2.resize(pixels, (width, height)))


def normalise(pixels: Pixels) -> NDArray[np.float32]:
    """To float32 [3, height, width], BGR, in -1..1: the input of all PP-OCR models."""
    planes = np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1)).astype(np.float32)
    planes *= 2.0 / 255.0
    planes -= 1.0
    return planes
