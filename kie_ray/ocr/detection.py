"""Text detection: one page in, the quadrilaterals of its text lines out.

PP-OCR's DB detector (Liao et al. 2020, Differentiable Binarization) with RapidOCR's post-processing. Our own part is
the way a page gets its size: RapidOCR limits the short side to at least 736 pixels, which is slower and finds fewer
lines of a form than a limit of the long side.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from rapidocr.ch_ppocr_det import TextDetector
from rapidocr.ch_ppocr_det.utils import DBPostProcess

from kie_ray.ocr.pixels import Pixels, normalise, resize
from kie_ray.ocr.sessions import OnnxModel

_STRIDE = 32
_MIN_SIDE = 64
_MAX_ASPECT = 8.0
_LONGEST = 8
_MAX_CANDIDATES = 20_000


class Detector:
    """Finds text lines with a DB model.

    `long_side`: pixels. It counts for pages up to an aspect of 1:2; a longer strip (a receipt) is scaled as a stack of
    such pages would be, up to 8 times `long_side`.
    """

    def __init__(
        self, model: OnnxModel, long_side: int, threshold: float, box_threshold: float, unclip_ratio: float
    ) -> None:
        self._model = model
        self._long_side = long_side
        self._boxes_of = DBPostProcess(
            thresh=threshold,
            box_thresh=box_threshold,
            max_candidates=_MAX_CANDIDATES,
            unclip_ratio=unclip_ratio,
            use_dilation=True,
            score_mode="fast",
        )

    def __call__(self, pixels: Pixels) -> NDArray[np.float32]:
        """`pixels`: uint8 [height, width, 3] RGB. Returns float32 [lines, 4, 2]: corners x, y in pixels of the page,
        clockwise from the top left, sorted top to bottom and left to right within a row."""
        page, top, left = pad_thin_page(pixels)
        height, width = page.shape[:2]
        scaled_width, scaled_height = detection_size(width, height, self._long_side)
        probabilities = self._model(normalise(resize(page, scaled_width, scaled_height))[None])
        boxes, _ = self._boxes_of(probabilities, (height, width))
        if not len(boxes):
            return np.zeros((0, 4, 2), dtype=np.float32)
        quads: NDArray[np.float32] = TextDetector.sorted_boxes(boxes).astype(np.float32)
        quads -= np.array([left, top], dtype=np.float32)
        limit = np.array([pixels.shape[1], pixels.shape[0]], dtype=np.float32)
        inside = (quads.max(axis=1) > 0).all(axis=1) & (quads.min(axis=1) < limit).all(axis=1)
        return np.clip(quads[inside], 0, limit)


def detection_size(width: int, height: int, long_side: int) -> tuple[int, int]:
    """The size, multiples of 32, to which a page is scaled for detection; see `Detector` for the rule."""
    longer, shorter = max(width, height), min(width, height)
    scale = min(1.0, long_side / min(longer, 2 * shorter), _LONGEST * long_side / longer)
    sides = (max(_STRIDE, round(side * scale / _STRIDE) * _STRIDE) for side in (width, height))
    new_width, new_height = sides
    return new_width, new_height


def pad_thin_page(pixels: Pixels) -> tuple[Pixels, int, int]:
    """Frame a page that is too small or too thin for the detector in its own background colour.

    Returns the page with both sides at least 64 pixels and an aspect of at most 8, and the width of the frame at the
    top and at the left, pixels.
    """
    height, width = pixels.shape[:2]
    missing_height = max(_MIN_SIDE, int(width / _MAX_ASPECT)) - height
    missing_width = max(_MIN_SIDE, int(height / _MAX_ASPECT)) - width
    if missing_height <= 0 and missing_width <= 0:
        return pixels, 0, 0
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = [int(value) for value in np.median(border, axis=0)]
    rows, columns = max(missing_height, 0), max(missing_width, 0)
    top, left = rows // 2, columns // 2
    framed = cv2.copyMakeBorder(pixels, top, rows - top, left, columns - left, cv2.BORDER_CONSTANT, value=colour)
    return cast(Pixels, framed), top, left
