"""Learning rate over steps: pure functions of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from kie_ray.training.config import PhaseConfig, ScheduleName

Schedule = Callable[[int, int, int, float, float], float]
"""(step, steps, warmup_steps, peak, final) -> learning rate. `step` is 0-based; 0 <= step < steps."""


def linear(step: int, steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """Warm-up to `peak` (the first step already learns), then a line to `final`, met one step after the last."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak + (final - peak) * _progress(step, steps, warmup_steps)


def cosine(step: int, steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """As `linear`, but down half a cosine wave (SGDR without restarts, Loshchilov and Hutter 2017)."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return final + (peak - final) * (1 + math.cos(math.pi * _progress(step, steps, warmup_steps))) / 2


def paddle_linear(step: int, steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """PaddleOCR's `Linear`: warm-up from 0, then a line of `steps` steps whose clock starts where warm-up ends.

    The run therefore stops `warmup_steps` short of `final` (ppocr/optimizer/learning_rate.py: PolynomialDecay of power
    1 over all steps inside LinearWarmup).
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    return final + (peak - final) * (1 - (step - warmup_steps) / steps)


def paddle_constant(step: int, steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """PaddleOCR's `Const`: warm-up from 0, then `peak` to the end; `final` plays no part."""
    return peak * step / warmup_steps if step < warmup_steps else peak


SCHEDULES: dict[ScheduleName, Schedule] = {
    "linear": linear,
    "cosine": cosine,
    "paddle_linear": paddle_linear,
    "constant": paddle_constant,
}


def learning_rate(phase: PhaseConfig, step: int) -> float:
    """The rate of a phase counted in steps at `step`, 0-based within the phase."""
    schedule = SCHEDULES[phase.schedule]
    return schedule(step, phase.steps, phase.warmup_steps, phase.learning_rate, phase.final_learning_rate)


def phase_at(phases: Sequence[PhaseConfig], step: int) -> tuple[PhaseConfig, int]:
    """The phase that global `step` falls in, and the step within it. Raises IndexError beyond the last phase."""
    for phase in phases:
        if step < phase.steps:
            return phase, step
        step -= phase.steps
    raise IndexError(f"the phases end {step} steps earlier")


def _progress(step: int, steps: int, warmup_steps: int) -> float:
    """How much of the time after warm-up is over, in [0, 1)."""
    return (step - warmup_steps) / (steps - warmup_steps)
