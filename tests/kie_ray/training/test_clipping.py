"""Gradient clipping against plain loops and torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from kie_ray.errors import ConfigError
from kie_ray.training.clipping import ClipRule, clip_gradients

SHAPES = [(4, 3), (7,), (2, 2, 2), (1,), (5, 5)]


def parameters(scale: float = 6.0) -> list[nn.Parameter]:
    """Gradients of very different lengths, one all zero; and a parameter without gradient."""
    generator = torch.Generator().manual_seed(0)
    result = [nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    for index, parameter in enumerate(result):
        parameter.grad = torch.randn(parameter.shape, generator=generator) * scale / 3**index
    result[3].grad = torch.zeros(1)
    return [*result, nn.Parameter(torch.zeros(3))]


def gradients(clipped: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in clipped if parameter.grad is not None]


def norms(values: list[Tensor]) -> list[float]:
    return [math.sqrt(sum(x * x for x in value.flatten().tolist())) for value in values]


@pytest.mark.parametrize("norm", [0.01, 1.0, 10.0])
def test_tensor_rule_equals_a_plain_loop(norm: float) -> None:
    """Paddle's clip_by_norm: a gradient whose norm exceeds `norm` is multiplied by norm / its norm."""
    before, after = parameters(), parameters()
    clip_gradients(after, norm, "tensor")
    shortened = 0
    for old, new, length in zip(gradients(before), gradients(after), norms(gradients(before)), strict=True):
        shortened += length > norm
        torch.testing.assert_close(new, old * (norm / length) if length > norm else old)
    assert shortened == sum(length > norm for length in norms(gradients(before))) > 0
    assert max(norms(gradients(after))) == pytest.approx(norm)
    assert after[-1].grad is None


def test_tensor_rule_leaves_short_gradients_alone() -> None:
    before, after = parameters(), parameters()
    limit = 1.0001 * norms(gradients(before))[1]
    clip_gradients(after, limit, "tensor")
    assert not torch.equal(before[0].grad, after[0].grad)
    assert all(torch.equal(old, new) for old, new in zip(gradients(before)[1:], gradients(after)[1:], strict=True))


@pytest.mark.parametrize("norm", [0.01, 1.0, 1e6])
def test_global_rule_equals_torch(norm: float) -> None:
    ours, theirs = parameters(), parameters()
    expected = nn.utils.clip_grad_norm_(theirs, norm)
    assert torch.equal(clip_gradients(ours, norm, "global"), expected)
    assert all(torch.equal(a, b) for a, b in zip(gradients(ours), gradients(theirs), strict=True))


@pytest.mark.parametrize("rule", ["global", "tensor"])
@pytest.mark.parametrize("norm", [0, 1.0])
def test_the_norm_before_clipping_comes_back(rule: ClipRule, norm: float) -> None:
    expected = math.sqrt(sum(length**2 for length in norms(gradients(parameters()))))
    assert clip_gradients(iter(parameters()), norm, rule).item() == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["global", "tensor"])
def test_norm_0_clips_nothing(rule: ClipRule) -> None:
    before, after = parameters(), parameters()
    clip_gradients(after, 0, rule)
    assert all(torch.equal(old, new) for old, new in zip(gradients(before), gradients(after), strict=True))


@pytest.mark.parametrize("rule", ["global", "tensor"])
def test_nothing_to_clip(rule: ClipRule) -> None:
    assert clip_gradients([], 1.0, rule).item() == 0.0
    assert clip_gradients([nn.Parameter(torch.zeros(3))], 1.0, rule).item() == 0.0
    zero = nn.Parameter(torch.zeros(3))
    zero.grad = torch.zeros(3)
    clip_gradients([zero], 1.0, rule)
    assert torch.equal(zero.grad, torch.zeros(3))


@pytest.mark.parametrize("rule", ["global", "tensor"])
@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_gradient_that_is_not_finite_shows_in_the_norm(rule: ClipRule, bad: float) -> None:
    broken = parameters()
    broken[1].grad[2] = bad
    assert not clip_gradients(broken, 1.0, rule).isfinite()


def test_the_two_rules_differ() -> None:
    one, all_together = parameters(), parameters()
    clip_gradients(one, 1.0, "tensor")
    clip_gradients(all_together, 1.0, "global")
    assert norms(gradients(all_together))[1] < norms(gradients(one))[1] == pytest.approx(1.0)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match=r"'each'.*'global' and 'tensor'"):
        clip_gradients(parameters(), 1.0, "each")  # type: ignore[arg-type]
    for norm in (-1.0, math.nan):
        with pytest.raises(ConfigError, match=str(norm)):
            clip_gradients(parameters(), norm, "global")
