"""Calibration inputs of the recogniser: synthetic forms, rendered and scanned, so that no data set is needed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kie_ray.datasets.synthetic.fonts import find_fonts
from kie_ray.datasets.synthetic.generator import generate_page
from kie_ray.datasets.synthetic.render import render
from kie_ray.datasets.synthetic.scan import scan
from kie_ray.ocr.engine import OcrSettings
from kie_ray.ocr.pixels import Pixels
from kie_ray.ocr.rapidocr import DETECTION, build_detector, model_file
from kie_ray.ocr.recognition import crop_lines, recognition_inputs
from kie_ray.ocr.sessions import OnnxModel

PAGES, SEED = 24, 7
_LANGUAGES, _LEVELS = ("zh", "en", "mixed"), ("light", "strong", "none")


def calibration_pages(count: int = PAGES, seed: int = SEED) -> list[Pixels]:
    """Forms in Chinese, English and both, from clean to badly scanned; deterministic.

    Raises ConfigError when the fonts of the extra `synthetic` are missing.
    """
    fonts = find_fonts()
    rng = random.Random(seed)
    pages = []
    for number in range(count):
        page = generate_page(rng, _LANGUAGES[number % len(_LANGUAGES)])
        level = _LEVELS[number // len(_LANGUAGES) % len(_LEVELS)]
        pages.append(np.ascontiguousarray(scan(render(page, fonts), page.page, level, rng)[0]))
    return pages


def line_inputs(pages: list[Pixels], settings: OcrSettings) -> Iterator[NDArray[np.float32]]:
    """Float32 [lines, 3, 48, width]: the lines that the detector finds on `pages`, in the recogniser's batches."""
    detect = build_detector(OnnxModel(model_file(DETECTION), "cpu", settings.threads), settings)
    crops = [crop for page in pages for crop in crop_lines(page, detect(page))]
    for batch, _ in recognition_inputs(
        crops, settings.recognition_batch, settings.recognition_min_width, settings.recognition_width_step
    ):
        yield batch
