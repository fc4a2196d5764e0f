"""Buckets against values recorded from the reference, and the fused bias against its definition."""

from __future__ import annotations

import pytest
import torch

from kie_ray.models.relative_bias import attention_mask_bias, bucket_table, sequence_bias, spatial_bias

ALONG = {0: 0, 1: 17, 7: 23, 8: 24, 12: 25, 16: 26, 32: 28, 64: 30, 127: 31, 511: 31, -1: 1, -8: 8, -16: 10, -64: 14}
ALONG |= {-127: 15}
PLANE = {1: 33, 15: 47, 16: 48, 32: 52, 64: 56, 128: 60, 255: 63, 1000: 63, -16: 16, -128: 28, -255: 31}


@pytest.mark.parametrize(("bins", "reach", "golden"), [(32, 128, ALONG), (64, 256, PLANE)])
def test_golden_buckets(bins: int, reach: int, golden: dict[int, int]) -> None:
    table = bucket_table(1000, bins, reach)
    assert table.shape == (2001,)
    assert {distance: int(table[distance + 1000]) for distance in golden} == golden
    assert sorted(set(table.tolist())) == [bucket for bucket in range(bins) if bucket != bins // 2]


def test_spatial_bias_is_the_sum_of_two_one_hot_layers() -> None:
    torch.manual_seed(0)
    x, y = torch.randint(0, 1024, (2, 9)), torch.randint(0, 1024, (2, 9))
    weight_x, weight_y = torch.randn(3, 64, requires_grad=True), torch.randn(3, 64, requires_grad=True)
    table = bucket_table(1023, 64, 256)
    expected = torch.empty(2, 3, 9, 9)
    for row, query, key in torch.cartesian_prod(*map(torch.arange, (2, 9, 9))).tolist():
        by_x = weight_x[:, table[x[row, key] - x[row, query] + 1023]]
        by_y = weight_y[:, table[y[row, key] - y[row, query] + 1023]]
        expected[row, :, query, key] = by_x + by_y
    bias = spatial_bias(weight_x, weight_y, x, y, 256, 1023)
    torch.testing.assert_close(bias, expected)
    out = torch.randn_like(bias)
    ours = torch.autograd.grad(bias, [weight_x, weight_y], out)
    theirs = torch.autograd.grad(expected, [weight_x, weight_y], out)
    torch.testing.assert_close(ours, theirs)


def test_sequence_bias_looks_from_query_to_key() -> None:
    weight = torch.arange(32.0)[None]
    bias = sequence_bias(weight, torch.arange(3), 128)
    assert bias.tolist() == [[[[0, 17, 18], [1, 0, 17], [2, 1, 0]]]]


def test_padding_stays_finite_and_wins_over_any_bias() -> None:
    mask = torch.tensor([[1, 0], [0, 0]])
    fused = attention_mask_bias(mask, torch.full((2, 1, 2, 2), -1e30), torch.float32)
    assert fused is not None
    assert torch.isfinite(fused).all()
    assert fused[0, 0, :, 0].tolist() == pytest.approx([-1e30, -1e30])
    assert (fused[0, 0, :, 1] == torch.finfo(torch.float32).min).all()
    assert torch.softmax(fused, -1).isfinite().all()
    assert attention_mask_bias(None, None, torch.float32) is None
