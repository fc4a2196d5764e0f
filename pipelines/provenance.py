"""Where a row comes from: versions, model and configuration, in every row and in run.json."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Any

from kie_ray.models.bundle import Bundle
from kie_ray.schemas import SCHEMA_VERSION
from pipelines.config import ExtractConfig

_VERSIONED = (
    "kie-ray",
    "ray",
    "torch",
    "transformers",
    "rapidocr",
    "paddleocr",
    "onnxruntime",
    "pypdfium2",
    "pyarrow",
)


def provenance(config: ExtractConfig, bundle: Bundle, fingerprint: str) -> dict[str, Any]:
    """The `provenance` column."""
    return {
        "kie_ray": versions()["kie_ray"],
        "schema_version": SCHEMA_VERSION,
        "fingerprint": fingerprint,
        "bundle": f"{bundle.info.name}:{bundle.fingerprint[:16]}",
        "ocr": config.ocr.engine,
    }


def versions() -> dict[str, str]:
    """Versions of what can change a result."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in (
        "kie-ray",
        "ray",
        "torch",
        "transformers",
        "rapidocr",
        "paddleocr",
        "onnxruntime",
        "pypdfium2",
        "pyarrow",
    ):
        try:
            found[name.replace("-", "_")] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name.replace("-", "_")] = "not installed as a package"
    return found
