"""kie_ray turns scanned forms into key-value pairs. In a line: `Extractor.load().extract("form.jpg")`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kie_ray.extractor import Extractor

__all__ = ["Extractor"]

# Forms are private: ONNX Runtime keeps a device id and sends telemetry unless this is set before its first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    # Lazy: the guarded decoder child imports this package and must not wait for torch.
    if name == "Extractor":
        from kie_ray.extractor import Extractor

        return Extractor
    raise AttributeError(f"module 'kie_ray' has no attribute {name!r}")
