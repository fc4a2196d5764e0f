"""ONNX models of OCR on the device that the settings ask for."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from kie_ray.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]

_log = logging.getLogger(__name__)
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxModel:
    """An ONNX model with one input and one output.

    `device`: "cpu" or "cuda", where it really runs. `metadata`: the model's own key-value pairs.

    Raises:
        ConfigError: `device` is "cuda" and ONNX Runtime cannot use one.
    """

    def __init__(self, file: Path, device: Device = "auto", threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_threads()
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = True
        options.log_severity_level = 4
        # Several models share the same few cores: threads that spin between two inferences take them from the next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = _open(file, options, device)
        self.device = "cuda" if self._session.get_providers()[0] == _CUDA else "cpu"
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._session.run(None, {self._input: batch})[0]
        return output


def available_threads() -> int:
    """OMP_NUM_THREADS where it is set (Ray sets it to the CPUs of an actor), else the cores this process may use."""
    setting = os.environ.get("OMP_NUM_THREADS", "")
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_assigned() -> bool:
    """Whether CUDA_VISIBLE_DEVICES leaves this process a GPU; unset means that it is free to look for one."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() not in {"", "-1", "NoDevFiles"}


def cuda_wanted(device: Device) -> bool:
    """Whether models with this setting are to run on a GPU: it is asked for, or one is assigned and can be used."""
    offered = _CUDA in onnxruntime.get_available_providers()
    return device == "cuda" or (device == "auto" and offered and gpu_assigned())


def _open(file: Path, options: onnxruntime.SessionOptions, device: Device) -> onnxruntime.InferenceSession:
    if device == "cuda" and _CUDA not in onnxruntime.get_available_providers():
        raise ConfigError(
            f"ocr.device = 'cuda': onnxruntime {onnxruntime.__version__} has no {_CUDA}; "
            "install onnxruntime-gpu in its place or set ocr.device to 'cpu'"
        )
    if cuda_wanted(device):
        # HEURISTIC, not EXHAUSTIVE: every page has another shape, and an exhaustive search would run for each.
        cuda: dict[str, Any] = {"cudnn_conv_algo_search": "HEURISTIC"}
        reason = "the provider did not start"
        try:
            session = onnxruntime.InferenceSession(str(file), options, providers=[(_CUDA, cuda), _CPU])
            if session.get_providers()[0] == _CUDA:
                return session
        except RuntimeError as error:
            reason = " ".join(str(error).split())
        if device == "cuda":
            raise ConfigError(f"ocr.device = 'cuda', but onnxruntime cannot use a GPU here: {reason}")
        _log.warning("onnxruntime offers CUDA but cannot use a GPU here, %s runs on the CPU: %s", file.name, reason)
    return onnxruntime.InferenceSession(str(file), options, providers=[_CPU])
