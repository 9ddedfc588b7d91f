"""Line budgets that hold in every step, and gradients that can rank lines."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cidesign.constraints.kspace import LineBudget
from cidesign.constraints.points import PointBudget
from cidesign.modalities.mri.relax import hard_choice, select, soft_choice
from cidesign.pattern import centre_block


@st.composite
def _problems(draw: st.DrawFn) -> tuple[LineBudget, torch.Tensor]:
    lines = draw(st.integers(1, 40))
    acquired = draw(st.integers(1, lines))
    rule = LineBudget(lines, acquired, draw(st.integers(0, acquired)))
    values = st.floats(-50, 50, width=32) | st.sampled_from([0.0, 1.0])
    return rule, torch.tensor(draw(st.lists(values, min_size=lines, max_size=lines)))


@settings(max_examples=300, deadline=None)
@given(problem=_problems(), noise_seed=st.integers(0, 1000))
def test_the_budget_is_exact_for_any_scores_and_noise(
    problem: tuple[LineBudget, torch.Tensor], noise_seed: int
) -> None:
    rule, scores = problem
    noise = torch.randn(rule.lines, generator=torch.Generator().manual_seed(noise_seed))
    for mask in (
        hard_choice(rule, scores),
        select(rule, scores, 0.1, None),
        select(rule, scores, 0.1, noise),
    ):
        assert set(mask.tolist()) <= {0.0, 1.0}
        assert int(mask.sum()) == rule.acquired
        assert all(mask[line] == 1 for line in centre_block(rule.lines, rule.calibration))


@pytest.mark.parametrize("elliptical", [True, False])
@pytest.mark.parametrize(
    ("shape", "acquired", "region"), [((12, 9), 30, (3, 2)), ((7, 16), 12, (3, 4)), ((5, 5), 9, (0, 0))]
)
def test_points_keep_their_budget_their_region_and_leave_corners_out(
    shape: tuple[int, int], acquired: int, region: tuple[int, int], elliptical: bool
) -> None:
    rule = PointBudget(*shape, acquired, region, elliptical)
    draws = torch.Generator().manual_seed(1)
    always, never = torch.from_numpy(rule.always), torch.from_numpy(rule.never)
    for step in range(20):
        scores = torch.randn(shape, generator=draws) + 3 * never  # corners would be worth most
        noise = torch.randn(shape, generator=draws) if step else None
        for mask in (select(rule, scores, 0.2, noise), soft_choice(rule, scores.double(), 0.2)):
            assert float(mask.sum()) == pytest.approx(acquired, abs=1e-6)
            assert bool((mask[always] == 1).all())
            assert bool((mask[never] == 0).all())
    assert (never.sum() > 0) == elliptical


def test_chances_of_points_know_the_derivative_of_their_threshold() -> None:
    rule = PointBudget(6, 4, 9, (2, 2))
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda one: soft_choice(rule, one, 0.4), scores)


@settings(max_examples=200, deadline=None)
@given(problem=_problems(), temperature=st.floats(0.02, 5))
def test_chances_sum_to_the_budget(problem: tuple[LineBudget, torch.Tensor], temperature: float) -> None:
    rule, scores = problem
    soft = soft_choice(rule, scores.double(), temperature)
    assert float(soft.min()) >= 0
    assert float(soft.max()) <= 1
    assert float(soft.sum()) == pytest.approx(rule.acquired, abs=1e-6)
    assert all(soft[line] == 1 for line in centre_block(rule.lines, rule.calibration))
    order = torch.argsort(scores, stable=True)
    free = [int(line) for line in order if line not in centre_block(rule.lines, rule.calibration)]
    assert all(a <= b + 1e-9 for a, b in zip(soft[free], soft[free[1:]], strict=False))  # higher scores, higher chances


def test_the_highest_scores_are_taken() -> None:
    rule = LineBudget(8, 4, 2)
    scores = torch.tensor([0.1, 5.0, 0.2, -9.0, -9.0, 0.3, 4.0, 0.0])
    assert hard_choice(rule, scores).tolist() == [0, 1, 0, 1, 1, 0, 1, 0]
    assert np.flatnonzero(rule.always).tolist() == [3, 4]


def test_equal_scores_go_to_the_lower_line() -> None:
    assert hard_choice(LineBudget(6, 3, 1), torch.zeros(6)).tolist() == [1, 1, 0, 1, 0, 0]


def test_a_cold_choice_is_the_hard_one() -> None:
    rule, scores = LineBudget(9, 4, 1), torch.randn(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(soft_choice(rule, scores, 1e-4), hard_choice(rule, scores), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("lines", "acquired", "calibration"), [(12, 5, 2), (9, 3, 0), (7, 6, 3), (5, 4, 3)])
def test_gradient_is_that_of_finite_differences(lines: int, acquired: int, calibration: int) -> None:
    rule = LineBudget(lines, acquired, calibration)
    generator = torch.Generator().manual_seed(lines)
    scores = torch.randn(lines, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(lines, generator=generator, dtype=torch.float64)
    (soft_choice(rule, scores, 0.4) * weight).sum().backward()
    assert scores.grad is not None
    step, found = 1e-5, []
    for line in range(lines):
        moved = [scores.detach().clone() for _ in "+-"]
        moved[0][line] += step
        moved[1][line] -= step
        up, down = ((soft_choice(rule, part, 0.4) * weight).sum().item() for part in moved)
        found.append((up - down) / (2 * step))
    np.testing.assert_allclose(scores.grad.numpy(), found, atol=1e-7)


def test_raising_all_scores_changes_nothing() -> None:
    rule = LineBudget(16, 6, 2)
    scores = torch.randn(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = torch.randn(16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gradients = []
    for constant in (0.0, 7.5, -123.0):
        moved = (scores + constant).requires_grad_()
        (soft_choice(rule, moved, 0.2) * weight).sum().backward()
        assert moved.grad is not None
        gradients.append(moved.grad)
        assert torch.equal(hard_choice(rule, moved), hard_choice(rule, scores))
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], atol=1e-9, rtol=1e-9)
    assert gradients[0].sum().item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("acquired", "calibration"), [(8, 8), (8, 3), (3, 3)])
def test_without_a_choice_there_is_no_gradient(acquired: int, calibration: int) -> None:
    scores = torch.randn(8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    soft = soft_choice(LineBudget(8, acquired, calibration), scores, 0.2)
    assert int(soft.sum()) == acquired
    soft.square().sum().backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [0.0] * 8


def _worth(rule: LineBudget, scores: torch.Tensor, energy: torch.Tensor, draws: int) -> torch.Tensor:
    """Mean over the draws of the gradient by the chances, for the loss sum (1 - m)^2 e^2."""
    generator, total = torch.Generator().manual_seed(2), torch.zeros(rule.lines)
    for _ in range(draws):
        noise = 0.4 * torch.logit(torch.rand(rule.lines, generator=generator), eps=1e-6)
        moved = scores.clone().requires_grad_()
        chances = soft_choice(rule, moved, 0.4)
        chances.retain_grad()
        from cidesign.modalities.mri import relax as relax_kspace

        lines = relax_kspace._Choose.apply(chances, hard_choice(rule, scores + noise))
        ((1 - lines) ** 2 * energy).sum().backward()
        assert chances.grad is not None
        total += chances.grad
    return total / draws


def test_the_gradient_is_what_measuring_a_line_is_worth() -> None:
    """On average -e^2 for missing and measured lines alike, so that a good line is not given up; none is overrated."""
    rule = LineBudget(24, 8, 2)
    scores = torch.randn(24, generator=torch.Generator().manual_seed(1))
    energy = torch.rand(24, generator=torch.Generator().manual_seed(3)) + 0.5
    chances = soft_choice(rule, scores, 0.4)
    worth = -_worth(rule, scores, energy, 2000) / energy
    open_lines = chances < 0.85
    assert int(open_lines.sum()) > 15
    np.testing.assert_allclose(worth[open_lines], 1.0, atol=0.1)
    assert float(worth.max()) < 1.1
    assert float(worth.min()) >= 0


def test_noise_lets_lines_take_turns_and_its_absence_fixes_them() -> None:
    rule = LineBudget(16, 5, 1)
    scores = (0.1 * torch.randn(16, generator=torch.Generator().manual_seed(1))).requires_grad_()
    generator = torch.Generator().manual_seed(2)
    drawn = {tuple(select(rule, scores, 0.2, 0.2 * torch.randn(16, generator=generator)).tolist()) for _ in range(30)}
    assert len(drawn) > 10
    assert not select(rule, scores, 0.2, None).requires_grad
    assert torch.equal(select(rule, scores, 0.2, None), hard_choice(rule, scores))
