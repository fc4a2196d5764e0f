"""OCR models in bfloat16 on CPUs that compute in it (AVX-512 BF16, AMX), through OpenVINO.

ONNX Runtime has no bfloat16 convolutions on CPUs; OpenVINO's float32 is no faster than its own.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from kie_ray.errors import ConfigError
from kie_ray.ocr.sessions import available_threads

_METADATA = ("character",)


class OpenVinoModel:
    """The same as `OnnxModel`: an ONNX model with one input and one output, on the CPU, in bfloat16.

    `metadata`: of the model's own key-value pairs the recogniser's characters.

    Raises:
        ConfigError: OpenVINO is not installed, or this CPU has no bfloat16.
    """

    device = "cpu"

    def __init__(self, file: Path, threads: int = 0) -> None:
        core = require_openvino().Core()
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ConfigError(
                f"ocr.dtype = 'bfloat16': this CPU ({core.get_property('CPU', 'FULL_DEVICE_NAME').strip()}) does not "
                "compute in it (AVX-512 BF16 or AMX); set ocr.dtype to 'float32'"
            )
        model = core.read_model(str(file))
        places = {name: ["framework", name] for name in _METADATA}
        self.metadata = {
            name: str(model.get_rt_info(place).value) for name, place in places.items() if model.has_rt_info(place)
        }
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": threads or available_threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # several processes share the cores, and each would take the same ones
        }
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._request.infer({0: batch}, share_inputs=True)[0]
        return output


def require_openvino() -> ModuleType:
    """The module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise ConfigError(
            "ocr.dtype = 'bfloat16' needs OpenVINO: pip install 'kie-ray[openvino]', or set ocr.dtype to 'float32'"
        ) from error
    module: ModuleType = openvino
    return module
