"""Checkpoints of other systems become bundles: PaddleOCR's trained directories, Hugging Face's and Microsoft's."""

from kie_ray.importing.options import ImportOptions
from kie_ray.importing.run import ImportResult, import_model

__all__ = ["ImportOptions", "ImportResult", "import_model"]
