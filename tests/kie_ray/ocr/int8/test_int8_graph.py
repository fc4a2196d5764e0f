"""A small network of PP-OCR's kinds of nodes, in float and in int8."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kie_ray.errors import ConfigError
from kie_ray.ocr.int8.graph import WEIGHT_MAX, quantise, simplify

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'kie-ray[export]')")
import onnxruntime  # noqa: E402

CHANNELS, CLASSES = 8, 12


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stem, depthwise convolution, squeeze and excitation, a residual pair around GELU, a product over classes."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    weights: list[Any] = []

    def weight(name: str, *shape: int, scale: float = 1.0) -> str:
        size = float(np.sqrt(np.prod(shape[1:]))) if len(shape) > 1 else 1.0
        values = rng.normal(0.1, scale, shape) / size
        weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def conv(name: str, x: str, outputs: int, inputs: int, kernel: int, group: int = 1) -> Any:
        pads = [kernel // 2] * 4
        inner = [x, weight(f"{name}.w", outputs, inputs // group, kernel, kernel), weight(f"{name}.b", outputs)]
        return helper.make_node("Conv", inner, [f"{name}.out"], name=name, pads=pads, group=group)

    root = numpy_helper.from_array(np.float32(np.sqrt(2)), "root")
    one, half = (numpy_helper.from_array(np.float32(value), name) for name, value in (("one", 1.0), ("half", 0.5)))
    axes = numpy_helper.from_array(np.array([2], dtype=np.int64), "axes")
    nodes = [
        conv("stem", "x", CHANNELS, 3, 3),
        helper.make_node("Relu", ["stem.out"], ["stem.relu"], name="stem.relu"),
        conv("depthwise", "stem.relu", CHANNELS, CHANNELS, 3, group=CHANNELS),
        helper.make_node("GlobalAveragePool", ["depthwise.out"], ["pooled"], name="pool"),
        conv("squeeze", "pooled", 2, CHANNELS, 1),
        helper.make_node("Relu", ["squeeze.out"], ["squeeze.relu"], name="squeeze.relu"),
        conv("excite", "squeeze.relu", CHANNELS, 2, 1),
        helper.make_node("HardSigmoid", ["excite.out"], ["gate"], name="gate"),
        helper.make_node("Mul", ["depthwise.out", "gate"], ["gated"], name="gated"),
        conv("expand", "gated", 2 * CHANNELS, CHANNELS, 1),
        helper.make_node("Div", ["expand.out", "root"], ["g0"], name="g0"),
        helper.make_node("Erf", ["g0"], ["g1"], name="g1"),
        helper.make_node("Add", ["g1", "one"], ["g2"], name="g2"),
        helper.make_node("Mul", ["expand.out", "g2"], ["g3"], name="g3"),
        helper.make_node("Mul", ["g3", "half"], ["g4"], name="g4"),
        conv("project", "g4", CHANNELS, 2 * CHANNELS, 1),
        helper.make_node("Add", ["gated", "project.out"], ["sum"], name="sum"),
        helper.make_node("ReduceMax", ["sum"], ["rows"], name="rows", axes=[2], keepdims=0),
        helper.make_node("Transpose", ["rows"], ["steps"], name="steps", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["steps", weight("head.w", CHANNELS, CLASSES)], ["y"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "w", CLASSES])],
        [*weights, root, one, half, axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    helper.set_model_props(model, {"character": "a\nb"})
    file = tmp_path_factory.mktemp("onnx") / "small.onnx"
    onnx.save(model, str(file))
    return file


def images(seed: int, count: int = 6) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, (2, 3, 16, 24 + 8 * index)).astype(np.float32) for index in range(count)]


def run(model: Any, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output: NDArray[np.float32] = session.run(None, {"x": batch})[0]
    return output


def kinds_at_run_time(model: Any, place: Path) -> list[str]:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(place / "loaded.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


def test_simplified_computes_the_same_and_keeps_the_characters(source: Path) -> None:
    simple = simplify(source)
    batch = images(2)[0]
    np.testing.assert_allclose(run(simple, batch), run(onnx.load(str(source)), batch), rtol=1e-4, atol=1e-5)
    assert "Gelu" in [node.op_type for node in simple.graph.node]
    assert {item.key: item.value for item in simple.metadata_props}["character"] == "a\nb"


def test_close_to_float_on_inputs_that_it_was_not_calibrated_on(source: Path) -> None:
    simple = simplify(source)
    small = quantise(simple, images(1), head="head")
    for batch in images(2):
        wanted, found = run(simple, batch), run(small, batch)
        assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.03 * wanted.std()
        assert not np.array_equal(found, wanted)


def test_runs_as_integer_convolutions_and_products(source: Path, tmp_path: Path) -> None:
    simple = simplify(source)
    kinds = kinds_at_run_time(quantise(simple, images(1), head="head"), tmp_path)
    assert kinds.count("QLinearConv") == 4
    assert kinds.count("Conv") + kinds.count("FusedConv") == 2, "squeeze and excitation stay float"
    assert "MatMulIntegerToFloat" in kinds
    kinds = kinds_at_run_time(quantise(simple, images(1), keep=("stem", "project")), tmp_path)
    assert kinds.count("QLinearConv") == 2
    assert "MatMulIntegerToFloat" not in kinds


def test_an_image_alone_and_in_company_gives_the_same(source: Path) -> None:
    small = quantise(simplify(source), images(1), head="head")
    batch = images(2)[0]
    batch[1] *= 40.0
    np.testing.assert_array_equal(run(small, batch)[:1], run(small, batch[:1]))


def test_weights_leave_the_eighth_bit_alone(source: Path) -> None:
    from onnx import numpy_helper

    small = quantise(simplify(source), images(1), head="head")
    stored = [numpy_helper.to_array(item) for item in small.graph.initializer if item.name.endswith(".stored")]
    weights = [values for values in stored if values.dtype == np.int8]
    assert len(weights) == 5
    assert max(int(np.abs(values.astype(int)).max()) for values in weights) == WEIGHT_MAX


def test_what_rounding_adds_on_average_is_taken_off(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simple = simplify(source)
    batch = np.concatenate([image[:, :, :, :24] for image in images(2)])
    wanted = run(simple, batch).mean((0, 1))

    def drift() -> float:
        return float(np.abs(run(quantise(simple, images(1)), batch).mean((0, 1)) - wanted).mean())

    corrected = drift()
    from kie_ray.ocr.int8 import graph

    real = graph.observe

    def without_means(*args: Any, **rest: Any) -> Any:
        return {
            name: type(seen)(seen.samples, seen.low, seen.high, np.zeros_like(seen.means))
            for name, seen in real(*args, **rest).items()
        }

    monkeypatch.setattr(graph, "observe", without_means)
    assert corrected < 0.7 * drift()


def test_without_onnx_it_says_what_to_install(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"kie-ray\[export\]"):
        simplify(source)


def test_unknown_names_are_refused(source: Path) -> None:
    with pytest.raises(ValueError, match=r"\['nowhere'\]"):
        quantise(simplify(source), images(1), keep=("nowhere",))
