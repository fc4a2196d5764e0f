"""Bytes -> page images: JPEG, PNG, TIFF, BMP, WebP and PDF, decoded in a guarded child process."""

from kie_ray.reading.magic import media_type
from kie_ray.reading.reader import Reader

__all__ = ["Reader", "media_type"]
