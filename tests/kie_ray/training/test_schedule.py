"""Golden values of the learning-rate schedules; PaddleOCR's are those of its recipe for SER on XFUND zh."""

from __future__ import annotations

from typing import get_args

import pytest

from kie_ray.training.config import PhaseConfig, ScheduleName
from kie_ray.training.schedule import SCHEDULES, cosine, learning_rate, linear, paddle_constant, paddle_linear, phase_at

PEAK, STEPS, WARMUP = 5e-5, 3800, 38


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.0), (1, 1.316e-6), (37, 4.868e-5), (38, 5e-5), (1900, 2.55e-5), (3799, 5.13e-7)]
)
def test_paddle_linear_golden_values(step: int, rate: float) -> None:
    assert paddle_linear(step, STEPS, WARMUP, PEAK, 0.0) == pytest.approx(rate, rel=5e-4)


def test_paddle_linear_stops_short_of_its_final_rate() -> None:
    """The clock of the decay starts where warm-up ends."""
    assert paddle_linear(STEPS - 1, STEPS, WARMUP, PEAK, 0.0) == pytest.approx(PEAK * (WARMUP + 1) / STEPS, rel=1e-12)
    assert paddle_linear(STEPS - 1, STEPS, 0, PEAK, 0.0) == pytest.approx(PEAK / STEPS, rel=1e-9)
    assert paddle_linear(STEPS // 2, STEPS, 0, 1.0, 0.5) == 0.75


@pytest.mark.parametrize(("step", "rate"), [(0, 0.0), (1, 5e-5 / 750), (375, 2.5e-5), (750, 5e-5), (9749, 5e-5)])
def test_paddle_constant_golden_values(step: int, rate: float) -> None:
    """The RE recipe: 130 epochs of 75 steps, 10 of them warm-up."""
    assert paddle_constant(step, 9750, 750, PEAK, 0.0) == pytest.approx(rate, rel=1e-12)


def test_linear_golden_values() -> None:
    rates = [linear(step, 10, 2, 1.0, 0.2) for step in (0, 1, 2, 6, 9)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.6, 0.3])


def test_cosine_golden_values() -> None:
    rates = [cosine(step, 10, 2, 1.0, 0.2) for step in (0, 1, 2, 4, 6, 8)]
    assert rates == pytest.approx(
        [0.5, 1.0, 1.0, 0.2 + 0.8 * (0.5 + 0.5**0.5 / 2), 0.6, 0.2 + 0.8 * (0.5 - 0.5**0.5 / 2)]
    )


@pytest.mark.parametrize("name", get_args(ScheduleName))
@pytest.mark.parametrize(("steps", "warmup_steps"), [(20, 6), (20, 0), (1, 0), (5, 5), (5, 9)])
def test_every_schedule_rises_to_the_peak_and_falls(name: ScheduleName, steps: int, warmup_steps: int) -> None:
    """Also where warm-up is longer than the phase."""
    rates = [SCHEDULES[name](step, steps, warmup_steps, 1.0, 0.1) for step in range(steps)]
    top = min(warmup_steps, steps - 1)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert all(0 <= rate <= 1 for rate in rates)
    if warmup_steps < steps:
        assert rates[warmup_steps] == 1.0


def test_a_phase_picks_its_schedule_and_starts_its_own_clock() -> None:
    phases = [
        PhaseConfig(name="a", steps=10, mix={"x": 1}, learning_rate=1.0, warmup_steps=2),
        PhaseConfig(name="b", steps=4, mix={"x": 1}, learning_rate=2.0, warmup_steps=2, schedule="paddle_linear"),
        PhaseConfig(name="c", steps=4, mix={"x": 1}, learning_rate=4.0, warmup_steps=2, schedule="constant"),
        PhaseConfig(
            name="d",
            steps=4,
            mix={"x": 1},
            learning_rate=4.0,
            final_learning_rate=2.0,
            warmup_steps=0,
            schedule="cosine",
        ),
    ]
    rates = [learning_rate(*phase_at(phases, step)) for step in (0, 6, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20)]
    assert rates == pytest.approx([0.5, 0.5, 0.0, 1.0, 2.0, 1.5, 0.0, 2.0, 4.0, 4.0, 4.0, 3.0])


def test_there_is_no_phase_beyond_the_last() -> None:
    phases = [PhaseConfig(name="a", steps=3, mix={"x": 1})]
    assert phase_at(phases, 2) == (phases[0], 2)
    with pytest.raises(IndexError):
        phase_at(phases, 3)
