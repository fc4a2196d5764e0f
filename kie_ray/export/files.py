"""Writing ONNX files: tracing with torch, names and sizes in the file's metadata, int8 weights."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from kie_ray.errors import ConfigError

if TYPE_CHECKING:
    import onnx

OPSETS = (18, 23)
"""Smallest and largest opset that may be asked for."""

DEFAULT_OPSET = 23
"""The first one with an operator for attention, which takes the place of a dozen; needs ONNX Runtime 1.23."""


def require_onnx() -> None:
    """Raises ConfigError where the packages that export needs are not installed."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"export needs the package {error.name}: pip install 'kie-ray[export]'") from error


def write_graph(
    graph: nn.Module,
    file: Path,
    inputs: Mapping[str, Tensor],
    dynamic: Mapping[str, Sequence[str]],
    outputs: Sequence[str],
    opset: int,
) -> None:
    """Trace `graph` and write it.

    Args:
        inputs: an example of every input, by name, in the order of `graph.forward`.
        dynamic: names of the leading dimensions that may have any size, by input.
        outputs: names of the outputs.
        opset: of the operators in the file.
    """
    shapes = {name: dict(enumerate(dynamic[name])) for name in inputs}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph.eval(),
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple(shapes.values()),
            opset_version=opset,
            verbose=False,
        )
        assert program is not None
        program.save(str(file))


def write_int8(source: Path, file: Path) -> None:
    """`source` with its matrices of weights in int8, one scale a column; activations are quantised as they come.

    ONNX Runtime's dynamic quantisation. Embeddings, LayerNorm, softmax and the product of queries and keys stay float.
    Weights use 7 of the 8 bits: x86 CPUs without VNNI add two products in 16 bits, which would overflow otherwise.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            source,
            file,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )


def shrink_tables(file: Path) -> None:
    """Store embedding tables whose values float16 holds exactly as float16: half the size, the same results.

    So are those of a bundle that stores its weights in float16. What is read from such a table is cast back.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = _load(file)
    graph = model.graph
    tables = {item.name: item for item in graph.initializer if item.data_type == onnx.TensorProto.FLOAT}
    readers = [node for node in graph.node if any(name in tables for name in node.input)]
    read_otherwise = {name for node in readers for name in node.input if node.op_type != "Gather"}
    halves: dict[str, onnx.TensorProto] = {}
    for name in {node.input[0] for node in readers if node.op_type == "Gather"} - read_otherwise:
        values = numpy_helper.to_array(tables[name])
        half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            halves[name] = numpy_helper.from_array(half, name)
    nodes = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type == "Gather" and node.input[0] in halves:
            read = node.output[0]
            node.output[0] = f"{read}_float16"
            nodes.append(helper.make_node("Cast", [node.output[0]], [read], to=onnx.TensorProto.FLOAT))
    kept = [halves.get(item.name, item) for item in graph.initializer]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def write_metadata(file: Path, metadata: Mapping[str, Any]) -> None:
    """Key-value pairs that travel in the file (`custom_metadata_map` in ONNX Runtime); what is no text becomes JSON."""
    model = _load(file)
    del model.metadata_props[:]
    for key, value in metadata.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        model.metadata_props.add(key=key, value=text)
    import onnx

    onnx.save(model, str(file))


def tensors(file: Path) -> dict[str, list[tuple[str, str, list[str]]]]:
    """Name, type (such as int64) and shape of every input and output; a size that is not fixed is its name."""
    import onnx

    graph = _load(file).graph

    def rows(values: Any) -> list[tuple[str, str, list[str]]]:
        return [
            (
                value.name,
                onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower(),
                [size.dim_param or str(size.dim_value) for size in value.type.tensor_type.shape.dim],
            )
            for value in values
        ]

    return {"input": rows(graph.input), "output": rows(graph.output)}


def _load(file: Path) -> onnx.ModelProto:
    import onnx

    return onnx.load(str(file))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter and the quantiser log what they skip, about torchvision among others, which nothing here uses."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
