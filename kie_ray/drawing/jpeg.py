"""Page pictures for HTML pages: small enough to load, and no larger than JPEG can hold."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_MAX_HEIGHT = 12_000  # JPEG ends at 65 535
_QUALITY = 82


def shrunk(pixels: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Uint8 [H, W, 3], at most `width` pixels wide; smaller pictures stay as they are."""
    scale = min(width / pixels.shape[1], _MAX_HEIGHT / pixels.shape[0])
    if scale >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """RGB uint8 [H, W, 3] as a JPEG file. Raises ValueError for a size that JPEG cannot hold."""
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} pixels cannot be stored as JPEG")
    return encoded.tobytes()
