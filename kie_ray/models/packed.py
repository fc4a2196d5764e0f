"""Faster inference on a CPU: the same network with its weights stored as oneDNN's kernels read them.

torch's float32 layers hand plain matrices to the kernels, which bring them into their own layout at every call and
leave GELU, ReLU, normalisation and the sum with the shortcut to further passes over memory. Packed once, with those
steps joined to the product (they are the operators that `torch.compile` generates), a layer takes about four fifths
of the time. Results differ by rounding only.

A packed model is for inference alone: its weights have left the state dict, it can neither be trained nor saved nor
moved to another device or dtype.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import GELUActivation

from kie_ray.encoding.page_image import IMAGE_SIZE
from kie_ray.models.layers import LayoutLMv2Intermediate, LayoutLMv2Output, LayoutLMv2SelfAttention
from kie_ray.models.resnext_fpn import Bottleneck, ConvNorm, ResNext

_OPERATORS = ("_linear_pointwise", "_convolution_pointwise", "_reorder_linear_weight")


def can_pack() -> bool:
    """An x86 processor (others are untried), and a torch with oneDNN and the operators."""
    known = platform.machine().lower() in ("x86_64", "amd64") and torch.backends.mkldnn.is_available()
    return known and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)


@torch.no_grad()
def pack(model: nn.Module) -> None:
    """Pack the transformer layers and the visual backbone of a model, in place; nothing where `can_pack` says no.

    Args:
        model: in eval mode, float32, on the CPU.

    Raises:
        ValueError: the model is in another state.
    """
    first = next(model.parameters(), None)
    if model.training or first is None or first.dtype != torch.float32 or first.device.type != "cpu":
        raise ValueError("only a float32 model in eval mode on the CPU can be packed")
    if not can_pack():
        return
    _pack_children(model)


def _pack_children(parent: nn.Module) -> None:
    # By name: named_children() would hold every child, its weights with it, until the last one is packed.
    for name in [name for name, _ in parent.named_children()]:
        packed = _PACKED.get(type(getattr(parent, name)))
        if packed is None:
            _pack_children(getattr(parent, name))
        else:
            setattr(parent, name, packed(getattr(parent, name)))
            _release_freed_memory()


class PackedLinear(nn.Module):
    """x W^T + b, then an activation.

    Args:
        weight: float [out, in].
        bias: float [out] or None.
        activation: "none" or "gelu" (the exact one).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: str = "none") -> None:
        super().__init__()
        # A plain attribute: a tensor in oneDNN's layout can be neither saved nor copied as a buffer would be.
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
        self.bias = None if bias is None else bias.detach()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Float [..., in] -> [..., out]."""
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, self.activation, [], "none")


class PackedSelfAttention(nn.Module):
    """`LayoutLMv2SelfAttention` with one product for queries, keys and values."""

    def __init__(self, layer: LayoutLMv2SelfAttention) -> None:
        super().__init__()
        self.heads = layer.heads
        if layer.fast_qkv:
            query, value = layer.q_bias.flatten(), layer.v_bias.flatten()
            self.qkv = PackedLinear(layer.qkv_linear.weight, torch.cat([query, torch.zeros_like(query), value]))
        else:
            parts = (layer.query, layer.key, layer.value)
            weight, bias = (torch.cat([getattr(part, name) for part in parts]) for name in ("weight", "bias"))
            self.qkv = PackedLinear(weight, bias)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """As `LayoutLMv2SelfAttention.forward`."""
        query, key, value = self.qkv(hidden).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return mixed.transpose(1, 2).flatten(2)


class PackedOutput(nn.Module):
    """`LayoutLMv2Output` without dropout."""

    def __init__(self, layer: LayoutLMv2Output) -> None:
        super().__init__()
        self.dense = PackedLinear(layer.dense.weight, layer.dense.bias)
        self.LayerNorm = layer.LayerNorm

    def forward(self, inner: Tensor, residual: Tensor) -> Tensor:
        """As `LayoutLMv2Output.forward`."""
        return self.LayerNorm(self.dense(inner).add_(residual))


class PackedIntermediate(nn.Module):
    """`LayoutLMv2Intermediate`, an exact GELU joined to the product."""

    def __init__(self, layer: LayoutLMv2Intermediate) -> None:
        super().__init__()
        exact = isinstance(layer.activation, GELUActivation)
        self.dense = PackedLinear(layer.dense.weight, layer.dense.bias, "gelu" if exact else "none")
        self.activation = nn.Identity() if exact else layer.activation

    def forward(self, hidden: Tensor) -> Tensor:
        """As `LayoutLMv2Intermediate.forward`."""
        return self.activation(self.dense(hidden))


class PackedConv(nn.Module):
    """`ConvNorm` with the normalisation folded into the weights, then an activation.

    Args:
        side: height and width of the maps that it is laid out for; others work, slower.
        activation: "none" or "relu".
    """

    def __init__(self, conv: ConvNorm, side: int, activation: str = "relu") -> None:
        super().__init__()
        norm = conv.norm
        scale = norm.weight * (norm.running_var + norm.EPS).rsqrt()
        weight = (conv.weight * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        self.geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.packed = torch.ops.aten.mkldnn_reorder_conv2d_weight(
            weight.to_mkldnn(), *self.geometry, [1, conv.in_channels, side, side]
        )
        self.bias = norm.bias - norm.running_mean * scale
        self.activation = activation

    def forward(self, maps: Tensor) -> Tensor:
        """As `ConvNorm.forward`."""
        return torch.ops.mkldnn._convolution_pointwise(
            maps, self.packed, self.bias, *self.geometry, self.activation, [], ""
        )

    def added(self, maps: Tensor, shortcut: Tensor) -> Tensor:
        """ReLU of the convolution plus `shortcut`, which has the shape of the result."""
        return torch.ops.mkldnn._convolution_pointwise.binary(
            maps, shortcut, self.packed, self.bias, *self.geometry, "add", 1.0, "relu", [], ""
        )


class PackedBottleneck(nn.Module):
    """`Bottleneck`, the sum with the shortcut joined to the last convolution."""

    def __init__(self, block: Bottleneck, side: int) -> None:
        super().__init__()
        self.conv1 = PackedConv(block.conv1, side)
        self.conv2 = PackedConv(block.conv2, side)
        self.conv3 = PackedConv(block.conv3, side // block.conv2.stride[0], "none")
        self.shortcut = None if block.shortcut is None else PackedConv(block.shortcut, side, "none")

    def forward(self, maps: Tensor) -> Tensor:
        """As `Bottleneck.forward`."""
        inner = self.conv2(self.conv1(maps))
        return self.conv3.added(inner, maps if self.shortcut is None else self.shortcut(maps))


class PackedResNext(nn.Module):
    """`ResNext` for pages of 224 x 224, its maps in channels-last layout."""

    def __init__(self, network: ResNext) -> None:
        super().__init__()
        side = IMAGE_SIZE
        self.stem = PackedConv(network.stem.conv1, side)
        side //= 4
        for stage in (network.res2, network.res3, network.res4, network.res5):
            for number, block in enumerate(stage):
                assert isinstance(block, Bottleneck)
                stage[number] = PackedBottleneck(block, side)  # at once, so that the weights are never there twice
                side //= block.conv2.stride[0]
                _release_freed_memory()
        self.stages = nn.ModuleList([network.res2, network.res3, network.res4, network.res5])

    def forward(self, images: Tensor) -> list[Tensor]:
        """As `ResNext.forward`."""
        maps = self.stem(images.contiguous(memory_format=torch.channels_last))
        maps = F.max_pool2d(maps, kernel_size=3, stride=2, padding=1)
        outputs = []
        for stage in self.stages:
            maps = stage(maps)
            outputs.append(maps)
        return outputs


def _release_freed_memory() -> None:
    """Give freed memory back to the system; glibc would keep 200 MB of it while a real-size backbone is packed."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


_PACKED: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    LayoutLMv2SelfAttention: PackedSelfAttention,
    LayoutLMv2Output: PackedOutput,
    LayoutLMv2Intermediate: PackedIntermediate,
    ResNext: PackedResNext,
}
