"""Properties of the visual backbone that hold for any weights. Its parity is tested in tests/parity."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kie_ray.errors import ConfigError
from kie_ray.models.resnext_fpn import BackboneSize, ConvNorm, ResNextFpn, VisualBackbone, normalised

SMALL = BackboneSize(depth=50, groups=2, width_per_group=3, stem_channels=4, res2_channels=8, fpn_channels=5)


@pytest.fixture
def pyramid() -> ResNextFpn:
    torch.manual_seed(0)
    return ResNextFpn(SMALL).eval()


@pytest.mark.parametrize("grid", [(7, 7), (3, 5), (1, 1), (16, 16)])
def test_pooling_before_the_last_convolution_is_the_average_of_p2(pyramid: ResNextFpn, grid: tuple[int, int]) -> None:
    pages = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        p2 = pyramid(pages)
        assert p2.shape == (2, 5, 16, 24)
        torch.testing.assert_close(pyramid.pooled(pages, *grid), F.adaptive_avg_pool2d(p2, grid), atol=1e-5, rtol=0)


def test_features_go_row_by_row_over_the_page() -> None:
    """Two pages that differ in one cell: their features differ most in that cell."""
    torch.manual_seed(0)
    backbone = VisualBackbone(SMALL, 7, 7).eval()
    pages = torch.full((2, 3, 224, 224), 255.0)
    pages[1, :, 40:56, 168:184] = 0.0
    with torch.inference_mode():
        white, marked = backbone(pages)
    assert white.shape == (49, 5)
    assert divmod(int((white - marked).abs().sum(-1).argmax()), 7) == (1, 5)


def test_normalisation_is_per_channel_in_bgr() -> None:
    page = torch.tensor([103.53, 116.28 + 57.12, 123.675 - 58.395])[None, :, None, None]
    torch.testing.assert_close(normalised(page).flatten(), torch.tensor([0.0, 1.0, -1.0]))


def test_convolution_with_frozen_normalisation() -> None:
    torch.manual_seed(0)
    ours = ConvNorm(6, 8, 3, stride=2, groups=2)
    for value in (ours.norm.weight, ours.norm.bias, ours.norm.running_mean):
        value.normal_()
    ours.norm.running_var.uniform_(0.5, 2.0)
    theirs = nn.BatchNorm2d(8)
    theirs.load_state_dict(ours.norm.state_dict(), strict=False)
    maps = torch.randn(2, 6, 9, 9)
    expected = theirs.eval()(F.conv2d(maps, ours.weight, stride=2, padding=1, groups=2))
    before = {name: value.clone() for name, value in ours.norm.state_dict().items()}
    torch.testing.assert_close(ours.train()(maps), expected)
    torch.testing.assert_close(ours.eval()(maps), expected)
    assert all(torch.equal(value, ours.norm.state_dict()[name]) for name, value in before.items())
    assert [name for name, _ in ours.named_parameters()] == ["weight"]


def test_sizes_go_through_a_configuration_and_through_shapes() -> None:
    assert BackboneSize.from_detectron2(None) == BackboneSize()
    assert BackboneSize.from_detectron2({"MODEL.RESNETS.STRIDE_IN_1X1": False}) == BackboneSize()
    assert BackboneSize.from_detectron2(SMALL.to_detectron2()) == SMALL
    shapes = {name: tuple(value.shape) for name, value in ResNextFpn(SMALL).state_dict().items()}
    assert BackboneSize.from_shapes(shapes) == SMALL


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"MODEL.RESNETS.DEPTH": 18}, r"MODEL\.RESNETS\.DEPTH is 18, it must be one of \[50, 101, 152\]"),
        ({"MODEL.RESNETS.STRIDE_IN_1X1": True}, "STRIDE_IN_1X1 must be false"),
    ],
)
def test_another_network_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BackboneSize.from_detectron2(fields)


def test_shapes_that_are_no_backbone() -> None:
    shapes = {name: tuple(value.shape) for name, value in ResNextFpn(SMALL).state_dict().items()}
    with pytest.raises(ConfigError, match=r"no tensor fpn_lateral2\.weight"):
        BackboneSize.from_shapes({name: value for name, value in shapes.items() if "fpn" not in name})
    with pytest.raises(ConfigError, match=r"\(3, 4, 6, 2\) blocks"):
        BackboneSize.from_shapes({name: value for name, value in shapes.items() if "res5.2" not in name})
