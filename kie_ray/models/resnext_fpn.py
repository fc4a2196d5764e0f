"""LayoutLMv2's view of the page: ResNeXt with a feature pyramid, as in detectron2, in plain PyTorch.

ResNeXt-101 32x8d (Xie et al. 2017) with frozen batch normalisation and a feature pyramid network (Lin et al. 2017);
parameter names are detectron2's, which Hugging Face and PaddleNLP share. Of the pyramid only its finest level p2 is
used by the published models: `fpn_output3` to `fpn_output5` are in every checkpoint and are kept, but not computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kie_ray.errors import ConfigError

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Bottleneck blocks of the four stages by depth."""

PIXEL_MEAN = (103.53, 116.28, 123.675)  # BGR, 0..255
PIXEL_STD = (57.375, 57.12, 58.395)


@dataclass(frozen=True)
class BackboneSize:
    """Sizes of the network; the defaults are the published ones. Raises ConfigError for a depth not in `BLOCKS`."""

    depth: int = 101
    groups: int = 32
    width_per_group: int = 8
    stem_channels: int = 64
    res2_channels: int = 256
    fpn_channels: int = 256

    def __post_init__(self) -> None:
        if self.depth not in BLOCKS:
            raise ConfigError(f"MODEL.RESNETS.DEPTH is {self.depth}, it must be one of {sorted(BLOCKS)}")

    @classmethod
    def from_detectron2(cls, fields: Mapping[str, Any] | None) -> BackboneSize:
        """From a configuration's `detectron2_config_args`; what it does not name takes the published value.

        Raises:
            ConfigError: it asks for a network that is not this one.
        """
        given = dict(fields or {})
        if given.get("MODEL.RESNETS.STRIDE_IN_1X1", False):
            raise ConfigError("detectron2_config_args: MODEL.RESNETS.STRIDE_IN_1X1 must be false")
        names = {field: given[name] for field, name in _DETECTRON2_NAMES.items() if name in given}
        return cls(**names)

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, Sequence[int]]) -> BackboneSize:
        """From the shapes of a checkpoint's tensors, names from `bottom_up.` or `fpn_` on, where nothing else tells.

        Raises:
            ConfigError: a tensor is missing, or no known depth has so many blocks.
        """
        try:
            middle = shapes["bottom_up.res2.0.conv2.weight"]
            stem, res2 = shapes["bottom_up.stem.conv1.weight"], shapes["bottom_up.res2.0.conv3.weight"]
            fpn = shapes["fpn_lateral2.weight"]
        except KeyError as error:
            raise ConfigError(f"the checkpoint has no tensor {error.args[0]} of the visual backbone") from None
        blocks = tuple(sum(f"bottom_up.res{s}.{b}.conv1.weight" in shapes for b in range(64)) for s in range(2, 6))
        depth = next((depth for depth, counts in BLOCKS.items() if counts == blocks), 0)
        if not depth:
            raise ConfigError(f"the checkpoint's visual backbone has {blocks} blocks, known are {BLOCKS}")
        return cls(depth, middle[0] // middle[1], middle[1], stem[0], res2[0], fpn[0])

    def to_detectron2(self) -> dict[str, Any]:
        """As `detectron2_config_args` of a configuration."""
        return {name: getattr(self, field) for field, name in _DETECTRON2_NAMES.items()}


_DETECTRON2_NAMES = {
    "depth": "MODEL.RESNETS.DEPTH",
    "groups": "MODEL.RESNETS.NUM_GROUPS",
    "width_per_group": "MODEL.RESNETS.WIDTH_PER_GROUP",
    "stem_channels": "MODEL.RESNETS.STEM_OUT_CHANNELS",
    "res2_channels": "MODEL.RESNETS.RES2_OUT_CHANNELS",
    "fpn_channels": "MODEL.FPN.OUT_CHANNELS",
}


class FrozenBatchNorm(nn.Module):
    """Batch normalisation with constant statistics and a constant affine part."""

    EPS = 1e-5

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels) - self.EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """Float [P, C, H, W], the same shape."""
        return F.batch_norm(maps, self.running_mean, self.running_var, self.weight, self.bias, False, eps=self.EPS)


class ConvNorm(nn.Conv2d):
    """Convolution without bias, then frozen batch normalisation."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inside, outside, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.norm = FrozenBatchNorm(outside)

    def forward(self, maps: Tensor) -> Tensor:
        """Float [P, inside, H, W] -> [P, outside, H / stride, W / stride]."""
        return self.norm(super().forward(maps))


class Bottleneck(nn.Module):
    """1x1, grouped 3x3 (it carries the stride) and 1x1 convolution beside a shortcut."""

    def __init__(self, inside: int, middle: int, outside: int, stride: int, groups: int) -> None:
        super().__init__()
        self.shortcut = ConvNorm(inside, outside, 1, stride) if inside != outside else None
        self.conv1 = ConvNorm(inside, middle, 1)
        self.conv2 = ConvNorm(middle, middle, 3, stride, groups)
        self.conv3 = ConvNorm(middle, outside, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Float [P, inside, H, W] -> [P, outside, H / stride, W / stride]."""
        inner = self.conv3(self.conv2(self.conv1(maps).relu_()).relu_())
        return inner.add_(maps if self.shortcut is None else self.shortcut(maps)).relu_()


class Stem(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, channels, 7, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Float [P, 3, H, W] -> [P, channels, H / 4, W / 4]."""
        return F.max_pool2d(self.conv1(images).relu_(), kernel_size=3, stride=2, padding=1)


class ResNext(nn.Module):
    """Stem and four stages; every stage doubles the channels and all but the first halve the map."""

    def __init__(self, size: BackboneSize) -> None:
        super().__init__()
        self.stem = Stem(size.stem_channels)
        stages, inside, outside = [], size.stem_channels, size.res2_channels
        for number, blocks in enumerate(BLOCKS[size.depth]):
            middle = size.groups * size.width_per_group << number
            first = Bottleneck(inside, middle, outside, 2 if number else 1, size.groups)
            rest = [Bottleneck(outside, middle, outside, 1, size.groups) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(first, *rest))
            inside, outside = outside, 2 * outside
        self.res2, self.res3, self.res4, self.res5 = stages

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Float [P, 3, H, W] -> outputs of the stages, from [P, res2, H / 4, W / 4] to [P, 8 res2, H / 32, W / 32]."""
        res2 = self.res2(self.stem(images))
        res3 = self.res3(res2)
        res4 = self.res4(res3)
        return res2, res3, res4, self.res5(res4)


class ResNextFpn(nn.Module):
    """ResNeXt and the feature pyramid over it, down to the finest level p2."""

    def __init__(self, size: BackboneSize) -> None:
        super().__init__()
        self.bottom_up = ResNext(size)
        inside, width = size.res2_channels, size.fpn_channels
        self.fpn_lateral2, self.fpn_output2 = _level(inside, width)
        self.fpn_lateral3, self.fpn_output3 = _level(2 * inside, width)
        self.fpn_lateral4, self.fpn_output4 = _level(4 * inside, width)
        self.fpn_lateral5, self.fpn_output5 = _level(8 * inside, width)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised pixels, float [P, 3, H, W] -> p2, float [P, fpn_channels, H / 4, W / 4]."""
        return self.fpn_output2(self._merged(images))

    def pooled(self, images: Tensor, rows: int, columns: int) -> Tensor:
        """`adaptive_avg_pool2d(p2, (rows, columns))`, float [P, fpn_channels, rows, columns], for a fifth of its cost.

        Averaging and the last 3x3 convolution are both linear: the map is averaged once for each of the nine taps of
        the kernel, and the convolution becomes a product on rows x columns places in place of all places of p2.
        """
        merged = self._merged(images)
        height, width = merged.shape[-2:]
        padded = F.pad(merged, (1, 1, 1, 1))
        shifted = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
        taps = torch.stack([F.adaptive_avg_pool2d(maps, (rows, columns)) for maps in shifted], dim=2)
        output = self.fpn_output2
        assert output.bias is not None
        return torch.einsum("pctyx,oct->poyx", taps, output.weight.flatten(2)) + output.bias[:, None, None]

    def _merged(self, images: Tensor) -> Tensor:
        """Sum of all levels at the resolution of the finest."""
        res2, res3, res4, res5 = self.bottom_up(images)
        merged = self.fpn_lateral4(res4).add_(_twice(self.fpn_lateral5(res5)))
        merged = self.fpn_lateral3(res3).add_(_twice(merged))
        return self.fpn_lateral2(res2).add_(_twice(merged))


def _level(inside: int, width: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Lateral and output convolution of one level of the pyramid."""
    return nn.Conv2d(inside, width, 1), nn.Conv2d(width, width, 3, padding=1)


def _twice(maps: Tensor) -> Tensor:
    """Nearest neighbour: float [P, C, H, W] -> [P, C, 2 H, 2 W]."""
    return F.interpolate(maps, scale_factor=2.0, mode="nearest")


class VisualBackbone(nn.Module):
    """Pixels to one vector for every cell of a grid over the page.

    As published the stem, the first stage (res2) and all batch normalisation stay frozen in training. The three output
    convolutions that are never computed are frozen too: DDP would wait for their gradients.

    Args:
        size: sizes of the network.
        rows, columns: the grid, 7 x 7 in the published models.
    """

    def __init__(self, size: BackboneSize, rows: int, columns: int) -> None:
        super().__init__()
        self.backbone = ResNextFpn(size)
        self.rows, self.columns = rows, columns

    def frozen_parts(self) -> tuple[nn.Module, ...]:
        """What has no gradient in training."""
        network = self.backbone
        unused = (network.fpn_output3, network.fpn_output4, network.fpn_output5)
        return (network.bottom_up.stem, network.bottom_up.res2, *unused)

    def forward(self, images: Tensor) -> Tensor:
        """Features of the grid's cells, row by row.

        Args:
            images: float [P, 3, 224, 224], BGR 0..255 (other multiples of 32 work too).

        Returns:
            Float [P, rows * columns, fpn_channels].
        """
        pixels = normalised(images).to(self.backbone.fpn_output2.weight.dtype)
        return self.backbone.pooled(pixels, self.rows, self.columns).flatten(2).transpose(1, 2)


def normalised(images: Tensor) -> Tensor:
    """BGR 0..255, float [P, 3, H, W] -> the same with the backbone's mean and deviation taken out."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    return (images - mean) / std
