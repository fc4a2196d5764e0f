"""RoIAlign against its published definition, written out slowly here, ONNX Runtime's operator, and numbers by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kie_ray.models.roi_align import roi_align


def interpolate(plane: Tensor, y: float, x: float) -> float:
    """Bilinear value of a plane [H, W] at a point, by the rules at the border of Mask R-CNN's operator."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = min(math.floor(y), height - 1), min(math.floor(x), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = y - top, x - left
    upper = plane[top, left] * (1 - along) + plane[top, right] * along
    lower = plane[bottom, left] * (1 - along) + plane[bottom, right] * along
    return float(upper * (1 - down) + lower * down)


def slow_roi_align(
    features: Tensor, boxes: Tensor, output_size: tuple[int, int], scale: float, ratio: int = 2, aligned: bool = False
) -> Tensor:
    """The definition, one point after the other."""
    rows, columns = output_size
    result = torch.zeros((*boxes.shape[:2], features.shape[1], rows, columns), dtype=features.dtype)
    shift = 0.5 if aligned else 0.0
    for page in range(boxes.shape[0]):
        for number, box in enumerate(boxes[page].tolist()):
            x0, y0, x1, y1 = (edge * scale - shift for edge in box)
            width, height = x1 - x0, y1 - y0
            if not aligned:
                width, height = max(width, 1.0), max(height, 1.0)
            for channel in range(features.shape[1]):
                for row in range(rows):
                    for column in range(columns):
                        points = [
                            (
                                y0 + (row + (i + 0.5) / ratio) * height / rows,
                                x0 + (column + (j + 0.5) / ratio) * width / columns,
                            )
                            for i in range(ratio)
                            for j in range(ratio)
                        ]
                        values = [interpolate(features[page, channel], y, x) for y, x in points]
                        result[page, number, channel, row, column] = sum(values) / len(values)
    return result


def random_boxes(seed: int, pages: int, count: int, size: float) -> Tensor:
    """Boxes inside of a page of that size, across its border and beyond it; some empty."""
    generator = torch.Generator().manual_seed(seed)
    corner = (torch.rand((pages, count, 2), generator=generator, dtype=torch.float64) * 1.6 - 0.3) * size
    extent = torch.rand((pages, count, 2), generator=generator, dtype=torch.float64) * size
    extent[:, ::4, 0] = 0
    extent[:, ::8, 1] = 0
    return torch.cat([corner, corner + extent], dim=-1)


def ramp(height: int = 8, width: int = 8) -> Tensor:
    """Two channels, [1, 2, height, width]: the column's number, the row's number."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y])[None].double()


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(
    ("output_size", "ratio", "map_size"), [((3, 3), 2, (14, 14)), ((1, 2), 3, (5, 7)), ((2, 1), 1, (1, 1))]
)
def test_equals_the_definition(
    output_size: tuple[int, int], ratio: int, map_size: tuple[int, int], aligned: bool
) -> None:
    features = torch.randn((2, 2, *map_size), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    boxes = random_boxes(1, pages=2, count=16, size=16.0 * max(map_size))
    ours = roi_align(features, boxes, output_size, 1 / 16, ratio, aligned)
    theirs = slow_roi_align(features, boxes, output_size, 1 / 16, ratio, aligned)
    assert theirs.abs().sum() > 1
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("aligned", [False, True])
def test_equals_onnx_runtime(aligned: bool) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx builds the operator's graph")
    runtime: Any = pytest.importorskip("onnxruntime")
    helper = onnx.helper
    shapes = {"features": [2, 8, 14, 14], "boxes": [None, 4], "page": [None], "pooled": [None, 8, 3, 3]}
    kinds = dict.fromkeys(shapes, onnx.TensorProto.FLOAT) | {"page": onnx.TensorProto.INT64}
    values = {name: helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in shapes.items()}
    node = helper.make_node(
        "RoiAlign",
        ["features", "boxes", "page"],
        ["pooled"],
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        mode="avg",
        output_height=3,
        output_width=3,
        sampling_ratio=2,
        spatial_scale=14 / 224,
    )
    graph = helper.make_graph([node], "g", [values[name] for name in ("features", "boxes", "page")], [values["pooled"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=9)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    features = torch.randn((2, 8, 14, 14), generator=torch.Generator().manual_seed(2))
    boxes = random_boxes(3, pages=2, count=40, size=224.0).float()
    feeds = {
        "features": features.numpy(),
        "boxes": boxes.flatten(0, 1).numpy(),
        "page": np.repeat(np.arange(2), 40).astype(np.int64),
    }
    (theirs,) = session.run(None, feeds)
    ours = roi_align(features, boxes, (3, 3), 14 / 224, aligned=aligned)
    torch.testing.assert_close(ours.flatten(0, 1), torch.from_numpy(theirs), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("box", "aligned", "expected"),
    [
        # points at 0.5 and 1.5 along both axes
        ([0.0, 0.0, 2.0, 2.0], False, (1.0, 1.0)),
        # half a cell up and to the left: points at 0 and 1
        ([0.0, 0.0, 2.0, 2.0], True, (0.5, 0.5)),
        # a box without extent counts as one cell: points at 2.25 and 2.75, 4.25 and 4.75
        ([2.0, 4.0, 2.0, 4.0], False, (2.5, 4.5)),
        # and stays a point where boxes are aligned
        ([2.0, 4.0, 2.0, 4.0], True, (1.5, 3.5)),
        # 0.5 and 1.5 cells beyond the last one (7): the first takes the edge's value, the second is outside
        ([7.0, 0.0, 9.0, 2.0], False, (3.5, 0.5)),
        # -0.5 is clamped to 0, beside 0.5
        ([-1.0, 2.0, 1.0, 4.0], False, (0.25, 3.0)),
        # wholly outside
        ([20.0, 20.0, 30.0, 30.0], False, (0.0, 0.0)),
        ([-9.0, -9.0, -5.0, -5.0], False, (0.0, 0.0)),
    ],
)
def test_by_hand(box: list[float], aligned: bool, expected: tuple[float, float]) -> None:
    """One bin of four points on the ramp, whose interpolated value is the point's place."""
    pooled = roi_align(ramp(), torch.tensor([[box]]), (1, 1), 1.0, aligned=aligned)
    assert pooled.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_bins_stand_in_rows_and_columns() -> None:
    """Three columns over cells 1 to 7 have their centres at 2, 4 and 6; two rows over 2 to 6 at 3 and 5."""
    pooled = roi_align(ramp(), torch.tensor([[[16.0, 32.0, 112.0, 96.0]]]), (2, 3), 1 / 16)
    assert pooled.shape == (1, 1, 2, 2, 3)
    assert pooled[0, 0, 0].tolist() == [[2.0, 4.0, 6.0]] * 2
    assert pooled[0, 0, 1].tolist() == [[3.0] * 3, [5.0] * 3]


def test_each_map_has_its_own_boxes() -> None:
    maps = torch.tensor([1.0, 10.0])[:, None, None, None].expand(2, 1, 4, 4)
    pooled = roi_align(maps, torch.tensor([[[0.0, 0.0, 3.0, 3.0]], [[1.0, 1.0, 2.0, 2.0]]]), (2, 2), 1.0)
    assert pooled[0].unique().tolist() == [1.0]
    assert pooled[1].unique().tolist() == [10.0]


@pytest.mark.parametrize(("pages", "count"), [(2, 0), (0, 3)])
def test_without_boxes_or_maps(pages: int, count: int) -> None:
    features = torch.zeros((pages, 5, 14, 14), requires_grad=True)
    pooled = roi_align(features, torch.zeros((pages, count, 4)), (3, 3), 1 / 16)
    assert pooled.shape == (pages, count, 5, 3, 3)
    pooled.sum().backward()
    assert features.grad is not None


def test_gradients() -> None:
    """No sampling point of these boxes lies on a cell, where the slope changes."""
    features = torch.randn((2, 2, 5, 6), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    boxes = torch.tensor(
        [
            [[3.1, 5.3, 50.7, 41.9], [10.3, 20.9, 33.1, 70.7]],
            [[-7.3, -3.1, 22.9, 30.3], [60.1, 50.3, 99.7, 90.1]],
        ],
        dtype=torch.float64,
    )
    inputs = (features.requires_grad_(), boxes.requires_grad_())
    assert torch.autograd.gradcheck(lambda maps, where: roi_align(maps, where, (3, 2), 1 / 16), inputs)


def test_half_precision_keeps_the_coordinates() -> None:
    """bfloat16 has 8 binary digits: 223.0 would become 223.0 but 201.7 would become 202.0, off by 0.02 cells."""
    features = torch.randn((1, 3, 14, 14), generator=torch.Generator().manual_seed(5))
    boxes = torch.tensor([[[100.3, 97.7, 201.7, 203.1]]])
    pooled = roi_align(features.bfloat16(), boxes, (3, 3), 1 / 16)
    assert pooled.dtype == torch.bfloat16
    exact = roi_align(features.bfloat16().float(), boxes, (3, 3), 1 / 16)
    torch.testing.assert_close(pooled.float(), exact, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("maps", "boxes", "output_size", "ratio", "message"),
    [
        ((2, 3, 14, 14), (1, 5, 4), (3, 3), 2, r"boxes \[1, 5, 4\]"),
        ((2, 3, 14, 14), (2, 5, 5), (3, 3), 2, r"boxes \[2, 5, 5\]"),
        ((2, 3, 14, 14), (10, 4), (3, 3), 2, r"boxes \[10, 4\]"),
        ((3, 14, 14), (3, 5, 4), (3, 3), 2, r"features are \[3, 14, 14\]"),
        ((2, 3, 14, 14), (2, 5, 4), (3, 0), 2, r"output_size \(3, 0\)"),
        ((2, 3, 14, 14), (2, 5, 4), (3, 3), 0, "sampling_ratio 0"),
    ],
)
def test_arguments_that_do_not_fit(
    maps: tuple[int, ...], boxes: tuple[int, ...], output_size: tuple[int, int], ratio: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        roi_align(torch.zeros(maps), torch.zeros(boxes), output_size, 1 / 16, ratio)
