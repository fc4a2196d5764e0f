"""The protocol of OCR engines, their settings, and the one place that builds an engine from settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field, field_validator

from kie_ray.config import Settings
from kie_ray.errors import ConfigError
from kie_ray.records import Line, PageImage


class OcrEngine(Protocol):
    """Reads text lines off page images. Built once a process; not thread-safe."""

    name: str

    def read_lines(self, images: Sequence[PageImage]) -> list[list[Line]]:
        """One list of lines per image, in the order of `images`; a page without text gives an empty list.

        `Line.points` are pixels of the page as given. Several pages in a call give the same lines as one call a page.

        Raises:
            DocumentError: stage OCR, when an engine cannot serve one of the pages; the item names page and source.
        """
        ...


class PaddleOcrSettings(Settings):
    """The models of the engine `paddleocr` and what runs them.

    A directory is local and holds `inference.yml` beside `inference.onnx` (or beside the files of a Paddle model). A
    model without a directory is downloaded by PaddleOCR into its own cache.
    """

    engine: Literal["onnxruntime", "paddle"] = Field(
        default="onnxruntime", description="what runs the models; `paddle` needs the package paddlepaddle"
    )
    detection_model: str | None = Field(
        default=None, description="name; empty: the one in detection_dir, without a directory PP-OCRv6_small_det"
    )
    detection_dir: str | None = Field(default=None, description="local directory; empty: PaddleOCR downloads the model")
    recognition_model: str | None = Field(
        default=None, description="name; empty: the one in recognition_dir, without a directory PP-OCRv6_small_rec"
    )
    recognition_dir: str | None = Field(
        default=None, description="local directory; empty: PaddleOCR downloads the model"
    )
    orientation_model: str | None = Field(
        default=None,
        description="name, for orientation_classifier; empty: the one in orientation_dir, without a directory "
        "PP-LCNet_x1_0_textline_ori",
    )
    orientation_dir: str | None = Field(
        default=None, description="local directory; empty: PaddleOCR downloads the model"
    )

    @field_validator("detection_dir", "recognition_dir", "orientation_dir")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        """Another process may have another working directory."""
        return str(Path(value).expanduser().absolute()) if value else None


class OcrSettings(Settings):
    """Which engine reads the pages and how. The defaults are measured on real forms (`benchmarks/ocr.py`)."""

    engine: Literal["rapidocr", "paddleocr", "annotations"] = "rapidocr"
    annotations: str | None = Field(
        default=None,
        description="label file (image<TAB>json a line) for the engine `annotations`; a local path or a uri",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="auto: the CUDA provider where onnxruntime has one and a GPU is assigned, else the CPU",
    )
    dtype: Literal["auto", "int8", "float32"] = Field(
        default="auto",
        description="engine rapidocr: auto is int8 on CPUs (recognition only: twice its speed at the same character "
        "error rate) and float32 on GPUs",
    )
    recheck_score: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="lines that are read with a lower score in int8 are read again in float32; 0: none",
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="threads within one inference; 0: OMP_NUM_THREADS, else every core this process may use",
    )
    detection_long_side: int = Field(
        default=1280,
        ge=64,
        description="a page whose long side is larger is shrunk to it for detection, pixels; never enlarged",
    )
    detection_threshold: float = Field(default=0.3, gt=0, lt=1, description="probability above which a pixel is text")
    box_threshold: float = Field(default=0.5, ge=0, le=1, description="mean probability that a detected box needs")
    unclip_ratio: float = Field(default=1.6, gt=0, description="how far a detected core is grown to the line's outline")
    recognition_batch: int = Field(
        default=8, ge=1, description="text lines of similar width recognised together, at most"
    )
    recognition_min_width: int = Field(
        default=96,
        ge=32,
        description="width to which shorter lines are padded, pixels at 48 pixels of height; PP-OCR uses 320",
    )
    recognition_width_step: int = Field(
        default=16, ge=1, description="longer lines are padded to a multiple of this, pixels at 48 pixels of height"
    )
    min_score: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="lines recognised with a lower score are left out; 0 keeps all, blank ones too",
    )
    split_pairs: bool = Field(
        default=True, description="a detected line that reads `key: value` becomes two lines, one for each"
    )
    orientation_classifier: bool = Field(
        default=False, description="turn lines that a classifier finds upside down; it also turns some upright ones"
    )
    paddleocr: PaddleOcrSettings = Field(
        default_factory=PaddleOcrSettings, description="models of the engine `paddleocr`; the other engines refuse it"
    )


def check_engine(settings: OcrSettings) -> None:
    """Refuse settings that contradict each other or name missing files, without loading a model.

    Raises:
        ConfigError: one line that names the setting and what would be right.
    """
    if settings.engine == "annotations" and not settings.annotations:
        raise ConfigError("ocr engine 'annotations' needs a label file: set --annotations FILE (ocr.annotations)")
    if settings.annotations and settings.engine != "annotations":
        raise ConfigError(
            f"ocr.annotations = {settings.annotations!r} is only read by the engine 'annotations', "
            f"the engine is {settings.engine!r}"
        )
    if settings.dtype == "int8":
        _check_int8(settings)
    if settings.engine == "paddleocr":
        from kie_ray.ocr.paddleocr_models import chosen_models

        chosen_models(settings)
        return
    for name, default in PaddleOcrSettings().model_dump().items():
        value = getattr(settings.paddleocr, name)
        if value != default:
            raise ConfigError(
                f"ocr.paddleocr.{name} = {value!r} is only read by the engine 'paddleocr', "
                f"the engine is {settings.engine!r}"
            )


def _check_int8(settings: OcrSettings) -> None:
    if settings.engine != "rapidocr":
        raise ConfigError(
            f"ocr.dtype = 'int8' is for the engine 'rapidocr', the engine is {settings.engine!r}; set 'auto'"
        )
    if settings.device == "cuda":
        raise ConfigError("ocr.dtype = 'int8' is for CPUs, ocr.device is 'cuda'; set one of them otherwise")


def computes_in_int8(settings: OcrSettings) -> bool:
    """Whether the engine `rapidocr` takes its recogniser in int8: where that is asked for, or left open on a CPU."""
    from kie_ray.ocr.sessions import cuda_wanted

    return settings.dtype == "int8" or (settings.dtype == "auto" and not cuda_wanted(settings.device))


def build_engine(settings: OcrSettings) -> OcrEngine:
    """The engine that `settings.engine` names, with its models loaded.

    Raises:
        ConfigError: the engine is not available, or a setting that it needs is missing or does not fit this machine.
    """
    check_engine(settings)
    if settings.engine == "annotations":
        from kie_ray.ocr.annotations import AnnotationEngine

        return AnnotationEngine(settings.annotations or "")
    if settings.engine == "paddleocr":
        from kie_ray.ocr.paddleocr import PaddleOcrEngine

        return PaddleOcrEngine(settings)
    from kie_ray.ocr.rapidocr import RapidOcrEngine

    return RapidOcrEngine(settings)
