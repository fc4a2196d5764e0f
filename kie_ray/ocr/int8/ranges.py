"""What a network's activations look like over calibration inputs, and the uint8 scales that fit them best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Function = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_CLIPS = np.linspace(1.0, 0.1, 10)
_LEVELS = 255


@dataclass(frozen=True)
class Observed:
    """One tensor over all calibration inputs.

    `samples`: float32 [values], drawn at random, as many an input. `low`, `high`: extremes of all values, 0 included.
    `means`: float64 [channels] over all places of axis 1; empty for tensors that are not [N, C, H, W].
    """

    samples: NDArray[np.float32]
    low: float
    high: float
    means: NDArray[np.float64]


def observe(
    model: Any, names: Sequence[str], inputs: Iterable[NDArray[np.float32]], samples: int = 20_000, seed: int = 0
) -> dict[str, Observed]:
    """Run the float ONNX `model` (one input) over `inputs` and look at the tensors `names`.

    `samples`: values of a tensor that are kept of each input.
    """
    import onnx
    import onnxruntime

    entry = model.graph.input[0].name
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    inner = [name for name in names if name != entry]
    present = {output.name for output in model.graph.output}
    extended.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in inner if name not in present
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # sums in one order: the same files each time
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(extended.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    extremes = {name: [0.0, 0.0] for name in names}
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    counts = dict.fromkeys(names, 0)
    for batch in inputs:
        values = dict(zip(inner, session.run(inner, {entry: batch}), strict=True)) | {entry: batch}
        for name in names:
            value = values[name]
            flat = value.ravel()
            drawn[name].append(flat[rng.integers(0, flat.size, samples)] if flat.size > samples else flat)
            low, high = extremes[name]
            extremes[name] = [min(low, float(flat.min())), max(high, float(flat.max()))]
            if value.ndim == 4:
                sums[name] = sums[name] + value.sum((0, 2, 3), dtype=np.float64)
                counts[name] += value.size // value.shape[1]
    return {
        name: Observed(
            np.concatenate(drawn[name]),
            extremes[name][0],
            extremes[name][1],
            sums[name] / counts[name] if counts[name] else np.zeros(0),
        )
        for name in names
    }


def best_scale(seen: Observed, after: Function | None = None, floor: float | None = None) -> tuple[float, int]:
    """Scale and zero point (0..255) of uint8 whose mean squared error over the samples is smallest.

    The error counts behind `after`, the function that alone reads the tensor: values that GELU makes zero need no
    levels. `floor`: smallest value worth keeping. Tried are clips of both ends by tenths.
    """
    function = after or (lambda values: values)
    exact = function(seen.samples)
    low = seen.low if floor is None else max(seen.low, floor)
    best: tuple[float, float, int] | None = None
    for lower in low * _CLIPS if low < 0 else (0.0,):
        for upper in seen.high * _CLIPS if seen.high > 0 else (0.0,):
            scale = float(upper - lower) / _LEVELS
            if scale <= 0:
                continue
            zero = round(float(-lower) / scale)
            stored = np.clip(np.rint(seen.samples / scale) + zero, 0, _LEVELS)
            error = float(np.square(function(((stored - zero) * scale).astype(np.float32)) - exact).mean())
            if best is None or error < best[0]:
                best = (error, scale, zero)
    return (best[1], best[2]) if best else (1.0, 0)


def gelu(values: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    result: NDArray[np.float32] = torch.nn.functional.gelu(torch.from_numpy(values)).numpy()
    return result


def relu(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(values, 0)
