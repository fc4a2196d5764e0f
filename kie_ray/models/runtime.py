"""Which system computes a bundle's models: torch, or ONNX Runtime where the bundle carries ONNX files."""

from __future__ import annotations

from typing import Literal

from kie_ray.errors import ConfigError
from kie_ray.models.bundle import Bundle

Runtime = Literal["auto", "torch", "onnx"]
"""auto: ONNX Runtime for float32 on the CPU where the bundle carries ONNX files, torch elsewhere."""

ONNX_DIR = "onnx"
SER_FILE = "ser.onnx"
RE_FILE = "re.onnx"
RE_ENCODER_FILE = "re_encoder.onnx"
IMAGE_FILE = "image.onnx"
RE_IMAGE_FILE = "re_image.onnx"


def carries_onnx(bundle: Bundle) -> bool:
    """Whether the bundle has ONNX files (`jobs/export.py` writes them)."""
    return (bundle.path / ONNX_DIR).is_dir()


def choose_runtime(
    bundle: Bundle, runtime: Runtime, *, device: str = "cpu", dtype: str = "float32"
) -> Literal["torch", "onnx"]:
    """What `runtime` means for this bundle.

    Args:
        device: kind of device, such as cpu or cuda.
        dtype: such as float32.

    Raises:
        ConfigError: onnx is asked for, and the bundle carries no ONNX files, or device or dtype are not theirs.
    """
    if runtime == "torch":
        return "torch"
    fits = device == "cpu" and dtype == "float32"
    if runtime == "auto":
        return "onnx" if fits and carries_onnx(bundle) else "torch"
    if not carries_onnx(bundle):
        raise ConfigError(
            f"runtime onnx: bundle {bundle.path} carries no ONNX files; "
            f"`python jobs/export.py --model {bundle.path} --output DIR` writes a bundle that does"
        )
    if not fits:
        raise ConfigError(
            f"runtime onnx computes in float32 on the CPU, not {dtype} on {device}: set device cpu and dtype float32, "
            "or runtime torch"
        )
    return "onnx"
