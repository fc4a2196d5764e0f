"""The protocol of OCR engines, their settings, and the one place that builds an engine from settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from pydantic import Field

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


def build_engine(settings: OcrSettings) -> OcrEngine:
    """The engine that `settings.engine` names, with its models loaded.

    Raises:
        ConfigError: the engine is not available, or a setting that it needs is missing or does not fit this machine.
    """
    if settings.engine == "annotations":
        from kie_ray.ocr.annotations import AnnotationEngine

        if not settings.annotations:
            raise ConfigError("ocr engine 'annotations' needs a label file: set --annotations FILE (ocr.annotations)")
        return AnnotationEngine(settings.annotations)
    if settings.annotations:
        raise ConfigError(
            f"ocr.annotations = {settings.annotations!r} is only read by the engine 'annotations', "
            f"the engine is {settings.engine!r}"
        )
    if settings.engine == "paddleocr":
        raise ConfigError("ocr engine 'paddleocr' is not available yet: use 'rapidocr' or 'annotations'")
    from kie_ray.ocr.rapidocr import RapidOcrEngine

    return RapidOcrEngine(settings)
