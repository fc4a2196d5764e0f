"""Page image in, text lines out. One protocol, one file an engine."""

from kie_ray.ocr.engine import OcrEngine, OcrSettings, build_engine

__all__ = ["OcrEngine", "OcrSettings", "build_engine"]
