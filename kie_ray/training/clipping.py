"""Gradient clipping: all gradients as one vector (the usual rule), or each tensor on its own (PaddleOCR's)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from kie_ray.errors import ConfigError

ClipRule = Literal["global", "tensor"]


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], norm: float, rule: ClipRule) -> Tensor:
    """Shorten gradients in place to at most `norm`, without waiting for the device.

    Args:
        parameters: those without gradient are skipped. All gradients live on one device.
        norm: the largest L2 norm that stays; 0 clips nothing.
        rule: "global" scales all gradients by one factor, as `torch.nn.utils.clip_grad_norm_`; "tensor" scales each
            gradient that is longer than `norm` by itself, as Paddle's `ClipGradByNorm`.

    Returns:
        Float []: the norm of all gradients together, before clipping. A gradient that is not finite makes it so.

    Raises:
        ConfigError: negative `norm`, unknown `rule`.
    """
    if rule not in ("global", "tensor"):
        raise ConfigError(f"unknown rule of gradient clipping {rule!r}; known are 'global' and 'tensor'")
    if not norm >= 0:
        raise ConfigError(f"gradients cannot be clipped to norm {norm}; it must be positive, or 0 for no clipping")
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norms = torch.stack(torch._foreach_norm(gradients))
    total = torch.linalg.vector_norm(norms)
    if norm:
        if rule == "global":
            # torch's formula to the last digit, its 1e-6 included
            torch._foreach_mul_(gradients, (norm / (total + 1e-6)).clamp(max=1.0))
        else:
            torch._foreach_mul_(gradients, (norm / norms).clamp(max=1.0).unbind())
    return total
