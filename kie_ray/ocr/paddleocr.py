"""PaddleOCR 3.7 as the OCR engine: PP-OCR models of local directories, or those that PaddleOCR downloads.

PaddleOCR's own pipeline detects, crops and recognises, page after page; the models' normalisation, the candidates that
a detector considers and the recogniser's padding are what the models' inference.yml says. Ours are the size at which a
page is searched (`Detector` has the rule) and the frame of thin pages, so that the same settings mean the same for this
engine and for `rapidocr`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kie_ray.errors import Category, ConfigError, DocumentError, ErrorItem, Stage
from kie_ray.ocr.detection import detection_size, pad_thin_page
from kie_ray.ocr.engine import OcrSettings
from kie_ray.ocr.lines import finished_lines
from kie_ray.ocr.paddleocr_models import PaddleModel, chosen_models
from kie_ray.ocr.rapidocr import DETECTION, model_file
from kie_ray.ocr.sessions import OnnxModel, available_threads, gpu_assigned
from kie_ray.records import Line, PageImage

MAX_SIDE = 32_767
"""Pixels: PaddleOCR keeps corners as 16-bit integers."""

_CACHE = "PADDLE_PDX_CACHE_HOME"


class PaddleOcrEngine:
    """Runs `paddleocr.PaddleOCR` without its page preprocessing.

    PaddleOCR is imported when the first engine is built. With a directory for every model it looks nothing up on the
    network and leaves no cache in the home directory. Deterministic on one device.

    A detector looks at the first `max_candidates` dark shapes of a page only, 1000 in PaddleOCR's own models: a
    directory's inference.yml may say more.

    `device`: "cpu" or "cuda", where the models run.

    Raises:
        ConfigError: a model or the device is not available, or PaddleOCR refuses a model.
    """

    name = "paddleocr"

    def __init__(self, settings: OcrSettings) -> None:
        models = chosen_models(settings)
        self.device = _device(settings)
        self._pipeline = _pipeline(settings, models, self.device)
        self._long_side = settings.detection_long_side
        self._min_score = settings.min_score
        self._split_pairs = settings.split_pairs

    def read_lines(self, images: Sequence[PageImage]) -> list[list[Line]]:
        """Lines top to bottom, left to right within a row, `id` = index on the page. A box in which nothing is read
        stays as a line with text "" and score 0. See `OcrEngine.read_lines`.

        Raises:
            DocumentError: stage OCR, TOO_LARGE (a side of a page is longer than 32767 pixels).
        """
        for image in images:
            _check_size(image)
        return [self._lines(image) for image in images]

    def _lines(self, image: PageImage) -> list[Line]:
        page, top, left = pad_thin_page(image.pixels)
        height, width = page.shape[:2]
        (found,) = self._pipeline.predict(
            np.ascontiguousarray(page[:, :, ::-1]),
            text_det_limit_side_len=max(detection_size(width, height, self._long_side)),
        )
        quads: NDArray[np.float32] = np.array(found["rec_polys"], dtype=np.float32).reshape(-1, 4, 2)
        quads -= np.array([left, top], dtype=np.float32)
        limit = np.array([image.pixels.shape[1], image.pixels.shape[0]], dtype=np.float32)
        inside = (quads.max(axis=1) > 0).all(axis=1) & (quads.min(axis=1) < limit).all(axis=1)
        results = [
            (str(text), float(score)) for text, score in zip(found["rec_texts"], found["rec_scores"], strict=True)
        ]
        kept = [result for result, on_page in zip(results, inside, strict=True) if on_page]
        return finished_lines(np.clip(quads[inside], 0, limit), kept, self._min_score, self._split_pairs)


def _check_size(image: PageImage) -> None:
    height, width = image.pixels.shape[:2]
    if max(height, width) > MAX_SIDE:
        message = (
            f"page {image.index} of {image.source} is {width} x {height} pixels, PaddleOCR takes {MAX_SIDE} a side: "
            "read it with --ocr rapidocr, or at a lower pdf_dpi"
        )
        raise DocumentError(ErrorItem.of(Stage.OCR, Category.TOO_LARGE, message, page=image.index))


def _pipeline(settings: OcrSettings, models: Sequence[PaddleModel], device: str) -> Any:
    options: dict[str, Any] = {
        "paddlex_config": {
            "pipeline_name": "OCR",
            "text_type": "general",
            "SubModules": {
                # PaddleX would shrink every page to 4000 pixels, whatever limit the call sets.
                "TextDetection": {"module_name": "text_detection", "max_side_limit": MAX_SIDE},
                "TextRecognition": {"module_name": "text_recognition"},
                "TextLineOrientation": {"module_name": "textline_orientation"},
            },
        },
        "use_doc_orientation_classify": False,
        "use_doc_unwarping": False,
        "use_textline_orientation": settings.orientation_classifier,
        "text_det_limit_type": "max",
        "text_det_limit_side_len": settings.detection_long_side,
        "text_det_thresh": settings.detection_threshold,
        # PaddleX takes a threshold of exactly 0 for one that is not set.
        "text_det_box_thresh": max(settings.box_threshold, 1e-9),
        "text_det_unclip_ratio": settings.unclip_ratio,
        "text_recognition_batch_size": settings.recognition_batch,
        "text_rec_score_thresh": 0.0,
        "device": "cpu" if device == "cpu" else "gpu:0",
        "engine": settings.paddleocr.engine,
    }
    part = {"detection": "text_detection", "recognition": "text_recognition", "orientation": "textline_orientation"}
    for model in models:
        options[f"{part[model.kind]}_model_name"] = model.name
        options[f"{part[model.kind]}_model_dir"] = model.folder
    threads = settings.threads or available_threads()
    if settings.paddleocr.engine == "onnxruntime":
        options["engine_config"] = {
            "intra_op_num_threads": threads,
            "inter_op_num_threads": 1,
            "enable_cpu_mem_arena": True,
            "log_severity_level": 4,
        }
    else:
        # oneDNN of paddlepaddle 3.3 fails on these models.
        options |= {"cpu_threads": threads, "enable_mkldnn": False}
    logger = logging.getLogger("paddlex")
    with _own_cache(all(model.folder for model in models)):
        from paddleocr import PaddleOCR
    try:
        logger.setLevel(logging.CRITICAL)
        return PaddleOCR(**options)
    except Exception as error:
        raise ConfigError(_refusal(models, settings.paddleocr.engine, error)) from error
    finally:
        logger.setLevel(logging.WARNING)


@contextlib.contextmanager
def _own_cache(local: bool) -> Iterator[None]:
    """Keep PaddleX from making ~/.paddlex while it is imported, where it has nothing to download into it."""
    if not local or _CACHE in os.environ or "paddlex" in sys.modules:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="paddlex-") as folder:
        os.environ[_CACHE] = folder
        try:
            yield
        finally:
            del os.environ[_CACHE]


def _device(settings: OcrSettings) -> str:
    if settings.paddleocr.engine == "onnxruntime":
        # PaddleX does not tell whether the CUDA provider has started; a session of our own does.
        return "cpu" if settings.device == "cpu" else OnnxModel(model_file(DETECTION), settings.device, 1).device
    if importlib.util.find_spec("paddle") is None:
        raise ConfigError(
            "ocr.paddleocr.engine = 'paddle' needs the package paddlepaddle (pip install 'kie-ray[paddle]'); "
            "'onnxruntime' runs without it"
        )
    if settings.device == "cpu" or (settings.device == "auto" and not gpu_assigned()):
        return "cpu"
    paddle = importlib.import_module("paddle")
    if paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0:
        return "cuda"
    if settings.device == "cuda":
        raise ConfigError(
            f"ocr.device = 'cuda': paddlepaddle {paddle.__version__} sees no GPU; "
            "install paddlepaddle-gpu in its place or set ocr.device to 'cpu'"
        )
    return "cpu"


def _refusal(models: Sequence[PaddleModel], engine: str, error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = " ".join(f"{type(cause).__name__}: {cause}".split())[:300]
    missing = [model for model in models if model.folder is None]
    if not missing:
        named = ", ".join(f"{model.name} in {model.folder}" for model in models)
        return f"PaddleOCR cannot load {named} with the engine {engine!r}: {reason}"
    names = " and ".join(model.name for model in missing)
    keys = " and ".join(f"ocr.paddleocr.{model.kind}_dir" for model in missing)
    return f"PaddleOCR cannot get {names} ({reason}): allow its download, or set {keys} to local directories of models"
