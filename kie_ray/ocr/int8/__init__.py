"""PP-OCR's recogniser in int8 for CPUs: the file, and how it was made from that of RapidOCR's wheel.

python -m kie_ray.ocr.int8 [FOLDER]     make the file again
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def int8_file(name: str) -> Path:
    """The int8 version of RapidOCR's model file `name`."""
    return FOLDER / f"{Path(name).stem}_int8.onnx"
