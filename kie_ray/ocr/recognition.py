"""Text recognition: crops of lines in, texts and scores out, in batches of lines of similar width.

PP-OCR's recogniser sees lines 48 pixels high, padded to the widest line of the batch, and it reads worse the more a
line is padded: plain batches of 16 or 32 lines of a form cost character errors. So here every line is padded to its own
width rounded up by a few pixels, and a batch holds lines of one such width: what is read does not depend on which other
lines or pages are in the batch. PP-OCR also pads every line to at least 320 pixels; most lines of a form are shorter
than that and are read as well with less, for two thirds of the computation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode
from rapidocr.utils.process_img import get_rotate_crop_image

from kie_ray.ocr.pixels import Pixels, normalise, resize
from kie_ray.ocr.sessions import OnnxModel

HEIGHT = 48
MAX_WIDTH = 4096
"""Wider lines (aspect over 85) are squeezed to this width: attention costs the square of it."""

_TALL = 1.5
"""Crops this many times as high as wide hold a line that runs downwards (PP-OCR)."""


class Recogniser:
    """Reads crops of lines with a CTC model.

    `batch`: lines a batch at most. `min_width`: every line is padded to it. `step`: wider lines are padded to a
    multiple of it. Pixels at the height of 48. `exact`: a slower model of the same characters that reads lines again
    whose score is below `doubt`; what it reads counts.
    """

    def __init__(
        self,
        model: OnnxModel,
        batch: int,
        min_width: int,
        step: int,
        exact: OnnxModel | None = None,
        doubt: float = 0.0,
    ) -> None:
        self._model = model
        self._exact = exact
        self._doubt = doubt
        self._min_width = min_width
        self._batch = batch
        self._step = step
        self._decoder = CTCLabelDecode(character=model.metadata["character"].splitlines())

    def __call__(self, crops: Sequence[Pixels]) -> list[tuple[str, float]]:
        """Text and mean character probability (0 for an empty text) of each crop, uint8 [height, width, 3] RGB."""
        results = self._read(crops, self._model)
        if self._exact is not None:
            doubtful = [index for index, (_, score) in enumerate(results) if score < self._doubt]
            again = self._read([crops[index] for index in doubtful], self._exact)
            for index, result in zip(doubtful, again, strict=True):
                results[index] = result
        return results

    def _read(self, crops: Sequence[Pixels], model: OnnxModel) -> list[tuple[str, float]]:
        results = [("", 0.0)] * len(crops)
        for batch, group in recognition_inputs(crops, self._batch, self._min_width, self._step):
            for index, result in zip(group, self._decode(model(batch)), strict=True):
                results[index] = result
        return results

    def _decode(self, probabilities: NDArray[np.float32]) -> list[tuple[str, float]]:
        best = probabilities.argmax(axis=2)
        scores = np.take_along_axis(probabilities, best[:, :, None], axis=2)[:, :, 0]
        decoded, _ = self._decoder.decode(best, scores, remove_duplicate=True)
        return [(text, float(score) if text.strip() else 0.0) for text, score in decoded]


def recognition_inputs(
    crops: Sequence[Pixels], batch: int, min_width: int, step: int
) -> Iterator[tuple[NDArray[np.float32], list[int]]]:
    """Float32 [lines, 3, 48, width] batches as the network sees them, each with the indices of its crops."""
    widths = [line_width(crop) for crop in crops]
    for width, group in group_by_width(widths, batch, min_width, step):
        values = np.zeros((len(group), 3, HEIGHT, width), dtype=np.float32)
        for row, index in enumerate(group):
            values[row, :, :, : widths[index]] = normalise(resize(crops[index], widths[index], HEIGHT))
        yield values, group


def line_width(crop: Pixels) -> int:
    """Width of a crop at the recogniser's height, pixels."""
    height, width = crop.shape[:2]
    return min(MAX_WIDTH, max(1, math.ceil(HEIGHT * width / height)))


def group_by_width(widths: Sequence[int], batch: int, min_width: int, step: int) -> list[tuple[int, list[int]]]:
    """Padded widths, narrowest first, and at most `batch` indices of lines that are padded to each.

    A line is padded to `min_width` or the next multiple of `step`, whatever the other lines are.
    """
    groups: list[tuple[int, list[int]]] = []
    for index in sorted(range(len(widths)), key=lambda i: (widths[i], i)):
        width = max(min_width, math.ceil(widths[index] / step) * step)
        if not groups or len(groups[-1][1]) == batch or groups[-1][0] != width:
            groups.append((width, []))
        groups[-1][1].append(index)
    return groups


def crop_lines(pixels: Pixels, quads: NDArray[np.float32]) -> list[Pixels]:
    """Cut each quadrilateral (float32 [lines, 4, 2]) upright out of a page; tall ones are turned by a quarter."""
    return [_crop(pixels, quad) for quad in quads]


def _crop(pixels: Pixels, quad: NDArray[np.float32]) -> Pixels:
    if (slices := _upright_box(quad, pixels)) is not None:
        crop = pixels[slices]
        return np.rot90(crop) if crop.shape[0] >= _TALL * crop.shape[1] else crop
    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    if max(sides[0], sides[2]) >= 1 and max(sides[1], sides[3]) >= 1:
        return cast(Pixels, get_rotate_crop_image(pixels, quad))
    # Clipped to less than a pixel at the edge of the page: its hull keeps the line's place.
    (x0, y0), (x1, y1) = np.floor(quad.min(axis=0)).astype(int), np.ceil(quad.max(axis=0)).astype(int)
    height, width = pixels.shape[:2]
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    return pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def _upright_box(quad: NDArray[np.float32], page: Pixels) -> tuple[slice, slice] | None:
    """Rows and columns of a page that are this quadrilateral; None when it is turned, cuts pixels or leaves the page.

    Most lines are upright, and copying them out by interpolation gives the same pixels, slowly.
    """
    (x0, y0), (x1, y1) = quad[0], quad[2]
    upright = np.array_equal(quad, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=quad.dtype))
    inside = 0 <= x0 < x1 <= page.shape[1] and 0 <= y0 < y1 <= page.shape[0]
    if not upright or not inside or not np.array_equal(quad, np.rint(quad)):
        return None
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))
