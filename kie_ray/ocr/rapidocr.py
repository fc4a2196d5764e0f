"""The default OCR engine: RapidOCR's PP-OCRv6 models and post-processing, detection and recognition driven apart.

The weights come inside RapidOCR's wheel; nothing is downloaded. RapidOCR's own loop is not used because it batches the
lines of one page only, by count and not by width, and picks a slow and less sensitive size for detection.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rapidocr
from numpy.typing import NDArray

from kie_ray.errors import ConfigError
from kie_ray.ocr.detection import Detector
from kie_ray.ocr.engine import OcrSettings, computes_in_int8
from kie_ray.ocr.int8 import int8_file
from kie_ray.ocr.lines import finished_lines
from kie_ray.ocr.pixels import Pixels, normalise, resize
from kie_ray.ocr.recognition import HEIGHT, Recogniser, crop_lines, line_width
from kie_ray.ocr.sessions import OnnxModel
from kie_ray.records import Line, PageImage

DETECTION, RECOGNITION = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
_CLASSIFIER, _CLASSIFIER_WIDTH, _CLASSIFIER_SCORE = "ch_ppocr_mobile_v2.0_cls_mobile.onnx", 192, 0.9


class RapidOcrEngine:
    """Detects page by page, then recognises the lines of all pages of a call in batches of similar width.

    `device`: "cpu" or "cuda", where the models run. Deterministic on one device.

    Raises:
        ConfigError: the device is not available, or the installed RapidOCR does not ship the models.
    """

    name = "rapidocr"

    def __init__(self, settings: OcrSettings) -> None:
        logging.getLogger("RapidOCR").setLevel(logging.WARNING)
        detection = _model(DETECTION, settings)
        self.device = detection.device
        self._detect = build_detector(detection, settings)
        self._recognise = _recogniser(settings)
        self._classifier = _model(_CLASSIFIER, settings) if settings.orientation_classifier else None
        self._min_score = settings.min_score
        self._split_pairs = settings.split_pairs

    def read_lines(self, images: Sequence[PageImage]) -> list[list[Line]]:
        """Lines top to bottom, left to right within a row, `id` = index on the page. A box in which nothing is read
        stays as a line with text "" and score 0. See `OcrEngine.read_lines`."""
        quads: list[NDArray[np.float32]] = []
        crops: list[Pixels] = []
        for image in images:
            found = self._detect(image.pixels)
            quads.append(found)
            crops += crop_lines(image.pixels, found)
        if self._classifier is not None:
            crops = [_upright(crop, self._classifier) for crop in crops]
        results = iter(self._recognise(crops))
        return [
            finished_lines(page, [next(results) for _ in page], self._min_score, self._split_pairs) for page in quads
        ]


def build_detector(model: OnnxModel, settings: OcrSettings) -> Detector:
    """A detector with this loaded model that finds lines as the settings say."""
    return Detector(
        model,
        settings.detection_long_side,
        settings.detection_threshold,
        settings.box_threshold,
        settings.unclip_ratio,
    )


def model_file(name: str) -> Path:
    """A model inside the installed RapidOCR package.

    Raises:
        ConfigError: this RapidOCR does not ship it.
    """
    file = Path(rapidocr.__file__).parent / "models" / name
    if not file.is_file():
        raise ConfigError(f"the installed rapidocr has no {name} in {file.parent}; kie_ray needs rapidocr 3.10")
    return file


def _model(name: str, settings: OcrSettings) -> OnnxModel:
    return OnnxModel(model_file(name), settings.device, settings.threads)


def _recogniser(settings: OcrSettings) -> Recogniser:
    sizes = settings.recognition_batch, settings.recognition_min_width, settings.recognition_width_step
    if not computes_in_int8(settings):
        return Recogniser(_model(RECOGNITION, settings), *sizes)
    exact = _model(RECOGNITION, settings) if settings.recheck_score else None
    small = OnnxModel(int8_file(RECOGNITION), "cpu", settings.threads)
    return Recogniser(small, *sizes, exact=exact, doubt=settings.recheck_score)


def _upright(crop: Pixels, classifier: OnnxModel) -> Pixels:
    width = min(_CLASSIFIER_WIDTH, line_width(crop))
    batch = np.zeros((1, 3, HEIGHT, _CLASSIFIER_WIDTH), dtype=np.float32)
    batch[0, :, :, :width] = normalise(resize(crop, width, HEIGHT))
    turned = float(classifier(batch)[0, 1]) > _CLASSIFIER_SCORE
    return np.ascontiguousarray(crop[::-1, ::-1]) if turned else crop
