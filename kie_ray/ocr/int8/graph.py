"""Rewrites a convolutional ONNX network so that its convolutions compute in int8.

Activations: uint8, one scale a tensor (Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference), fixed beforehand, so that a line's text does not depend on the lines beside it.
Weights: int8, one scale an output channel, 7 of the 8 bits: x86 CPUs without VNNI add two products in 16 bits, which
would overflow otherwise. What rounding the weights adds to a channel on average is taken off its bias (Nagel et al.
2019, Data-Free Quantization Through Weight Equalization and Bias Correction); without it twice as many lines are read
otherwise. The nodes between the convolutions stay float; ONNX Runtime fuses the pairs of quantisers around a
convolution into an integer one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kie_ray.errors import ConfigError
from kie_ray.ocr.int8.ranges import Function, Observed, best_scale, gelu, observe, relu

WEIGHT_MAX = 63
_GELU_FLOOR = -6.0
_POOLS = {"GlobalAveragePool", "ReduceMean"}
_OPSET = 17
"""Quantisation by channel needs 13, LayerNormalization as one node 17."""


def simplify(source: Path) -> Any:
    """The model of `source` (onnx.ModelProto) with batch norms folded and GELU and LayerNorm as single nodes.

    Raises:
        ConfigError: the package onnx is not installed.
    """
    import onnxruntime

    try:
        import onnx
    except ImportError as error:
        raise ConfigError("making int8 models needs the package onnx: pip install 'kie-ray[export]'") from error

    model = onnx.load(str(source))
    metadata = {item.key: item.value for item in model.metadata_props}
    newer = onnx.version_converter.convert_version(model, _OPSET)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as place:
        options.optimized_model_filepath = str(Path(place) / "simple.onnx")
        onnxruntime.InferenceSession(
            newer.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            # These would hide a convolution or a product from `quantise`; loading the result applies them again.
            disabled_optimizers=["ConvActivationFusion", "MatmulTransposeFusion", "SkipLayerNormFusion"],
        )
        simple = onnx.load(options.optimized_model_filepath)
    onnx.helper.set_model_props(simple, metadata)
    return simple


def quantise(model: Any, inputs: Iterable[NDArray[np.float32]], keep: Sequence[str] = (), head: str = "") -> Any:
    """`model` (from `simplify`) with its convolutions, and the product `head`, in int8.

    `inputs`: calibration inputs of the network. `keep`: names of convolutions that stay float; those behind a global
    pooling (squeeze and excitation: hardly any work) always do. `head`: a MatMul by constant weights; its sums stay
    float. Raises ValueError when a name in `keep` or `head` is not there.
    """
    import onnx

    names = {node.name for node in model.graph.node}
    if missing := sorted({*keep, *([head] if head else [])} - names):
        raise ValueError(f"the network has no nodes {missing}")
    pooled = _behind_pooling(model.graph)
    chosen = [
        node
        for node in model.graph.node
        if (node.op_type == "Conv" and node.name not in keep and node.input[0] not in pooled) or node.name == head
    ]
    tensors = dict.fromkeys(name for node in chosen for name in (node.input[0], node.output[0]))
    seen = observe(model, [*tensors], inputs)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Rewriter(result.graph, seen).rewrite({node.name for node in chosen})
    onnx.checker.check_model(result)
    return result


def _behind_pooling(graph: Any) -> set[str]:
    """Tensors [N, C, 1, 1] between a global pooling and where they scale the others."""
    small: set[str] = set()
    for node in graph.node:
        follows = node.op_type in {"Conv", "Relu"} and node.input[0] in small
        if node.op_type in _POOLS or follows:
            small.update(node.output)
    return small


class _Rewriter:
    """Writes the new nodes and constants of a graph in place."""

    def __init__(self, graph: Any, seen: dict[str, Observed]) -> None:
        from onnx import numpy_helper

        self._graph = graph
        self._seen = seen
        self._weights = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        self._constants = list(graph.initializer)
        self._scales: dict[str, tuple[float, int]] = {}
        self._stored: set[str] = set()
        self._nodes: list[Any] = []

    def rewrite(self, chosen: set[str]) -> None:
        readers: dict[str, list[Any]] = {}
        for node in self._graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        for node in list(self._graph.node):
            if node.name not in chosen:
                self._nodes.append(node)
            elif node.op_type == "Conv":
                self._convolution(node, readers)
            else:
                self._product(node)
        del self._graph.node[:], self._graph.value_info[:]
        self._graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input}
        del self._graph.initializer[:]
        self._graph.initializer.extend(item for item in self._constants if item.name in used)

    def _convolution(self, node: Any, readers: dict[str, list[Any]]) -> None:
        source, target = node.input[0], node.output[0]
        weights = self._weights[node.input[1]]
        scales, stored = _stored_weights(weights.reshape(len(weights), -1))
        inputs = [self._quantised(source), self._constant(node.input[1], stored.reshape(weights.shape), scales, axis=0)]
        rounding = (stored * scales[:, None]).reshape(weights.shape) - weights
        bias = self._weights[node.input[2]] if len(node.input) > 2 else np.zeros(len(weights))
        bias = bias - _drift(rounding, self._seen[source].means)
        steps = self._scales[source][0] * scales.astype(np.float64)
        whole = np.clip(np.rint(bias / steps), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        inputs.append(self._constant(f"{target}.bias", whole, steps.astype(np.float32), axis=0))
        self._add("Conv", inputs, f"{target}.exact", node.name, node.attribute)
        after, floor = _function_behind(readers.get(target, []))
        self._scales[target] = best_scale(self._seen[target], after, floor)
        self._round(f"{target}.exact", target, target)

    def _product(self, node: Any) -> None:
        scales, stored = _stored_weights(self._weights[node.input[1]].T)
        inputs = [self._quantised(node.input[0]), self._constant(node.input[1], stored.T, scales, axis=1)]
        self._add("MatMul", inputs, node.output[0], node.name)

    def _quantised(self, name: str) -> str:
        """The tensor `name` rounded to its levels, written once however many nodes read it."""
        rounded = f"{name}.rounded"
        if rounded not in self._stored:
            self._stored.add(rounded)
            self._scales.setdefault(name, best_scale(self._seen[name]))
            self._round(name, rounded, name)
        return rounded

    def _round(self, source: str, target: str, name: str) -> None:
        scale, zero = self._scales[name]
        constants = [f"{target}.scale", f"{target}.zero"]
        self._store(constants[0], np.float32(scale))
        self._store(constants[1], np.uint8(zero))
        self._add("QuantizeLinear", [source, *constants], f"{target}.uint8", f"{target}/quantise")
        self._add("DequantizeLinear", [f"{target}.uint8", *constants], target, f"{target}/dequantise")

    def _constant(self, name: str, values: NDArray[Any], scales: NDArray[np.float32], axis: int) -> str:
        inputs = [f"{name}.{part}" for part in ("stored", "scales", "zeros")]
        for item, array in zip(inputs, (values, scales, np.zeros(len(scales), dtype=values.dtype)), strict=True):
            self._store(item, array)
        self._add("DequantizeLinear", inputs, f"{name}.float", f"{name}/dequantise", axis=axis)
        return f"{name}.float"

    def _store(self, name: str, values: Any) -> None:
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)), name))

    def _add(
        self, kind: str, inputs: list[str], output: str, name: str, more: Iterable[Any] = (), **attributes: Any
    ) -> None:
        from onnx import helper

        node = helper.make_node(kind, inputs, [output], name=name, **attributes)
        node.attribute.extend(more)
        self._nodes.append(node)


def _stored_weights(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Of weights [outputs, inputs]: float32 [outputs] scales, int8 values of the same shape."""
    scales = np.maximum(np.abs(rows).max(1), 1e-8).astype(np.float32) / np.float32(WEIGHT_MAX)
    return scales, np.clip(np.rint(rows / scales[:, None]), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)


def _drift(rounding: NDArray[np.float32], means: NDArray[np.float64]) -> NDArray[np.float64]:
    """What errors of weights [outputs, inputs, h, w] add to each output on average. `means`: of the inputs.

    Depthwise weights are [channels, 1, h, w].
    """
    sums = rounding.sum((2, 3), dtype=np.float64)
    depthwise = sums.shape[1] == 1 and len(means) > 1
    result: NDArray[np.float64] = sums[:, 0] * means if depthwise else sums @ means
    return result


def _function_behind(readers: Sequence[Any]) -> tuple[Function | None, float | None]:
    """The activation function that alone reads a tensor, and the smallest value of its input worth keeping."""
    kinds = {"Gelu": (gelu, _GELU_FLOOR), "Relu": (relu, 0.0)}
    return kinds.get(readers[0].op_type, (None, None)) if len(readers) == 1 else (None, None)
