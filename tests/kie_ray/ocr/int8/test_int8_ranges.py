from __future__ import annotations

import numpy as np
import pytest

from kie_ray.ocr.int8.ranges import Observed, best_scale, gelu, relu


def seen(values: np.ndarray) -> Observed:
    samples = values.astype(np.float32)
    return Observed(samples, min(0.0, float(samples.min())), max(0.0, float(samples.max())), np.zeros(0))


def rounded(values: np.ndarray, scale: float, zero: int) -> np.ndarray:
    return (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale


def test_even_values_use_all_levels() -> None:
    values = np.linspace(-1, 3, 1000)
    scale, zero = best_scale(seen(values))
    assert scale == pytest.approx(4 / 255)
    assert zero == 64
    assert np.abs(rounded(values, scale, zero) - values).max() <= scale / 2 + 1e-6


def test_an_outlier_is_clipped_where_that_costs_less() -> None:
    values = np.random.default_rng(0).normal(0, 1, 1_000_000)
    values[0] = 20.0
    scale, zero = best_scale(seen(values))
    everything = (20.0 - values.min()) / 255
    assert scale < 0.7 * everything
    kept = np.square(rounded(values, scale, zero) - values).mean()
    assert kept < np.square(rounded(values, everything, round(-values.min() / everything)) - values).mean()


def test_values_that_the_next_function_removes_get_no_levels() -> None:
    values = np.concatenate([np.linspace(-50, 0, 500), np.linspace(0, 4, 500)])
    scale, zero = best_scale(seen(values), relu, floor=0.0)
    assert (scale, zero) == (pytest.approx(4 / 255), 0)
    scale, zero = best_scale(seen(values), gelu, floor=-6.0)
    assert scale < 8 / 255
    found = gelu(rounded(values, scale, zero).astype(np.float32))
    assert np.abs(found - gelu(values.astype(np.float32))).max() < 0.05


def test_a_tensor_of_zeros_has_a_scale() -> None:
    assert best_scale(seen(np.zeros(10))) == (1.0, 0)
