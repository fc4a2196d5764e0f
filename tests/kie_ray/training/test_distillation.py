"""UDML's terms: golden value, plain loops, exact gradients of both models, sums that add up over workers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kie_ray.training.distillation import LossSum, dml_sum, hidden_l2_sum

TERMS = [dml_sum, hidden_l2_sum]
Term = Callable[[Tensor, Tensor, Tensor], LossSum]


def twins(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(*shape, generator=generator, dtype=torch.float64) * 3 for _ in range(2))
    return first.to(dtype).requires_grad_(), second.to(dtype).requires_grad_()


def some_active() -> Tensor:
    return torch.tensor([[True, True, False, True], [False, True, False, False]])


def plain_dml(student: list[float], teacher: list[float]) -> float:
    """One token, as the documentation of PaddleOCR's loss states it."""
    p = [math.exp(x) / sum(map(math.exp, student)) + 1e-10 for x in student]
    q = [math.exp(x) / sum(map(math.exp, teacher)) + 1e-10 for x in teacher]
    to_teacher = sum(b * (math.log(b + 1e-10) - math.log(a)) for a, b in zip(p, q, strict=True))
    to_student = sum(a * (math.log(a + 1e-10) - math.log(b)) for a, b in zip(p, q, strict=True))
    return (to_teacher + to_student) / 2


def test_dml_golden_value() -> None:
    """As PaddleOCR's DMLLoss gives it."""
    student = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    teacher = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    loss = dml_sum(student, teacher, torch.ones(2, dtype=torch.bool))
    assert loss.divisor.item() == 2
    assert loss.total.item() / 2 == pytest.approx(0.105435, abs=5e-7)


def test_dml_against_a_plain_loop_over_active_tokens() -> None:
    student, teacher = twins(2, 4, 5, dtype=torch.float64)
    active = some_active()
    expected = sum(
        plain_dml(student[row, token].tolist(), teacher[row, token].tolist())
        for row, token in active.nonzero().tolist()
    )
    loss = dml_sum(student, teacher, active)
    assert loss.total.item() == pytest.approx(expected, rel=1e-12)
    assert loss.divisor.item() == 4


def test_hidden_l2_against_a_plain_loop_over_active_tokens() -> None:
    student, teacher = twins(2, 4, 6, dtype=torch.float64)
    active = some_active()
    expected = sum(
        (student[row, token, unit].item() - teacher[row, token, unit].item()) ** 2
        for row, token in active.nonzero().tolist()
        for unit in range(6)
    )
    loss = hidden_l2_sum(student, teacher, active)
    assert loss.total.item() == pytest.approx(expected, rel=1e-12)
    assert loss.divisor.item() == 4 * 6


@pytest.mark.parametrize("term", TERMS)
def test_gradients_of_both_models_are_exact(term: Term) -> None:
    student, teacher = twins(2, 4, 3, dtype=torch.float64)
    active = some_active()
    assert torch.autograd.gradcheck(lambda a, b: term(a, b, active).total, (student, teacher))
    term(student, teacher, active).total.backward()
    for values in (student, teacher):
        assert (values.grad[active].abs() > 1e-6).all()
        assert not values.grad[~active].any()


@pytest.mark.parametrize("term", TERMS)
def test_equal_models_cost_nothing_and_order_does_not_matter(term: Term) -> None:
    student, teacher = twins(2, 4, 5)
    active = some_active()
    assert term(student, student.detach().clone(), active).total.item() == pytest.approx(0.0, abs=1e-6)
    torch.testing.assert_close(term(student, teacher, active).total, term(teacher, student, active).total)


@pytest.mark.parametrize("term", TERMS)
def test_without_active_token_zero_and_differentiable(term: Term) -> None:
    student, teacher = twins(2, 4, 5)
    loss = term(student, teacher, torch.zeros(2, 4, dtype=torch.bool))
    loss.total.backward()
    assert loss.total.item() == 0.0
    assert loss.divisor.item() == 0
    for values in (student, teacher):
        assert torch.equal(values.grad, torch.zeros(2, 4, 5))


@pytest.mark.parametrize("term", TERMS)
def test_inactive_tokens_do_not_even_matter_when_they_are_not_finite(term: Term) -> None:
    student, teacher = twins(2, 4, 5)
    active = some_active()
    clean = term(student, teacher, active).total
    with torch.no_grad():
        student[~active] = math.inf
        teacher[~active] = math.nan
    dirty = term(student, teacher, active).total
    dirty.backward()
    assert torch.equal(clean, dirty)
    assert student.grad.isfinite().all()
    assert teacher.grad.isfinite().all()


def test_dml_of_opposite_certainties_is_finite() -> None:
    student = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    teacher = torch.tensor([[-1e4, 0.0, 1e4]], requires_grad=True)
    loss = dml_sum(student, teacher, torch.ones(1, dtype=torch.bool)).total
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-10), rel=1e-3)
    assert student.grad.isfinite().all()
    assert teacher.grad.isfinite().all()


@pytest.mark.parametrize("term", TERMS)
def test_packed_tokens_a_bool_mask_and_an_attention_mask_agree(term: Term) -> None:
    student, teacher = twins(2, 4, 5)
    active = some_active()
    packed = term(student[active], teacher[active], torch.ones(4, dtype=torch.bool))
    for mask in (active, active.long()):
        loss = term(student, teacher, mask)
        assert torch.equal(loss.total, packed.total)
        assert torch.equal(loss.divisor, packed.divisor)


@pytest.mark.parametrize("term", TERMS)
def test_shares_of_two_workers_add_up_to_the_whole_batch(term: Term) -> None:
    student, teacher = twins(2, 4, 5, dtype=torch.float64)
    active = some_active()
    whole = term(student, teacher, active)
    shares = [term(student[row], teacher[row], active[row]) for row in range(2)]
    torch.testing.assert_close(shares[0].total + shares[1].total, whole.total)
    assert sum(share.divisor.item() for share in shares) == whole.divisor.item()


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(term: Term, dtype: torch.dtype) -> None:
    student, teacher = twins(2, 4, 5, dtype=dtype)
    active = some_active()
    with torch.autocast("cpu", torch.bfloat16):
        loss = term(student, teacher, active).total
    loss.backward()
    exact = term(student.detach().double(), teacher.detach().double(), active).total
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert student.grad.dtype == dtype
    assert student.grad.isfinite().all()
