"""ResNet (He et al. 2015) up to its fourth stage, whose map of a page LayoutLM's image branch reads.

Parameter names are torchvision's, so its published weights load. Normalisation statistics stay those of the
checkpoint, in training as well: pages come a few at a time, and their statistics would be noise.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from kie_ray.errors import ConfigError

RESNET101_BLOCKS = (3, 4, 23)
"""Blocks of stages 2 to 4 of ResNet-101."""

EXPANSION = 4
"""A block's output has this many times the channels of its middle."""

_UNREADABLE = (OSError, ValueError, RuntimeError, AttributeError, EOFError, pickle.UnpicklingError, SafetensorError)

_LEFT_OUT = re.compile(r"^layer4\.|^fc\.|\.num_batches_tracked$")
"""What published checkpoints hold and this network does not."""


class FixedBatchNorm(nn.Module):
    """Batch normalisation by its stored statistics, never by the batch's; scale and shift are trained.

    Without the count of batches that torch's own layer stores and nothing here reads.

    Args:
        channels: C of the maps.
        start: scale of a new layer.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, start: float = 1.0) -> None:
        super().__init__()
        self.start = start
        self.weight = nn.Parameter(torch.full((channels,), start))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, maps: Tensor) -> Tensor:
        return F.batch_norm(maps, self.running_mean, self.running_var, self.weight, self.bias, training=False)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution beside a shortcut; the 3x3 one carries the stride."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = FixedBatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = FixedBatchNorm(width)
        self.conv3 = nn.Conv2d(width, EXPANSION * width, 1, bias=False)
        # Fixed statistics do not tame a random network, so a new block is its shortcut alone (Goyal et al. 2017).
        self.bn3 = FixedBatchNorm(EXPANSION * width, start=0.0)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels != EXPANSION * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, EXPANSION * width, 1, stride, bias=False), FixedBatchNorm(EXPANSION * width)
            )

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = maps if self.downsample is None else self.downsample(maps)
        inner = F.relu(self.bn1(self.conv1(maps)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + shortcut)


class ResNet(nn.Module):
    """Stem and stages 2 to 4.

    Args:
        blocks: blocks of each of the three stages; (3, 4, 23) is ResNet-101, (3, 4, 6) ResNet-50.
    """

    out_channels = 1024
    reduction = 16
    """A side of the image divided by a side of the map."""

    def __init__(self, blocks: Sequence[int] = RESNET101_BLOCKS) -> None:
        super().__init__()
        if len(blocks) != 3 or min(blocks) < 1:
            raise ConfigError(f"blocks {tuple(blocks)}: three numbers of at least 1 are needed, one a stage")
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = FixedBatchNorm(64)
        self.layer1 = _stage(64, 64, blocks[0], stride=1)
        self.layer2 = _stage(256, 128, blocks[1], stride=2)
        self.layer3 = _stage(512, 256, blocks[2], stride=2)

    def forward(self, images: Tensor) -> Tensor:
        """Float [P, 3, H, W], RGB normalised with ImageNet's mean and deviation -> [P, 1024, H/16, W/16]."""
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = F.max_pool2d(maps, 3, stride=2, padding=1)
        return self.layer3(self.layer2(self.layer1(maps)))

    def load_published(self, file: str | Path) -> None:
        """Load a state dict of this depth, named as torchvision's: `.safetensors`, or `.pth` that holds tensors alone.

        The fifth stage, the classifier and counts of batches are left out.

        Raises:
            ConfigError: the file cannot be read, or its tensors are not those of this network.
        """
        path = Path(file)
        try:
            safe = path.suffix == ".safetensors"
            state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
            wanted = {name: value for name, value in state.items() if not _LEFT_OUT.search(name)}
        except _UNREADABLE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(f"{path} is no state dict: {reason}") from error
        try:
            self.load_state_dict(wanted)
        except (RuntimeError, TypeError) as error:
            raise ConfigError(f"{path} does not fit this ResNet: {' '.join(str(error).split())}") from error


def _stage(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels, width, stride)
    return nn.Sequential(first, *(Bottleneck(EXPANSION * width, width, 1) for _ in range(blocks - 1)))
