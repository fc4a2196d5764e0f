"""Learning rate over steps."""

from __future__ import annotations

from kie_ray.training.config import PhaseConfig


def learning_rate(phase: PhaseConfig, step: int) -> float:
    """Linear warm-up from 0, then linear decay to `final_learning_rate` at the phase's last step.

    `step` is 0-based within the phase.
    """
    if step < phase.warmup_steps:
        return phase.learning_rate * (step + 1) / phase.warmup_steps
    span = max(1, phase.steps - phase.warmup_steps)
    done = min(1.0, (step - phase.warmup_steps) / span)
    return phase.learning_rate + (phase.final_learning_rate - phase.learning_rate) * done


def phase_at(phases: list[PhaseConfig], step: int) -> tuple[PhaseConfig, int]:
    """The phase that global `step` falls in, and the step within it."""
    for phase in phases:
        if step < phase.steps:
            return phase, step
        step -= phase.steps
    raise IndexError(f"the phases end {step} steps earlier")
