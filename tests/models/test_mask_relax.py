"""Masks that can be made: no corner contacts, feasible ones untouched, cells of any size, and the gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cidesign.constraints.aperture import Cells, MinimumFeature, corner_contacts
from cidesign.models.mask_relax import cells_shape, enlarge, feasible, project
from cidesign.pattern import ApertureMask


def _rule(cell: int = 1, contacts: bool = False, area_um2: float = 0.0) -> MinimumFeature:
    return MinimumFeature(cell, cell, contacts, 10.0, "test", area_um2=area_um2)


@st.composite
def _weights(draw: st.DrawFn) -> torch.Tensor:
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    # Few values: many ties and many checkerboards.
    values = draw(st.lists(st.sampled_from([0.0, 0.1, 0.49, 0.5, 0.51, 0.9, 1.0]), min_size=81, max_size=81))
    return torch.tensor(values[: height * width]).reshape(height, width)


def _contacts(cells: torch.Tensor) -> int:
    levels = cells.numpy().astype(np.uint8)
    return len(corner_contacts(Cells(levels, np.arange(levels.shape[0] + 1), np.arange(levels.shape[1] + 1))))


@settings(max_examples=300, deadline=None)
@given(weight=_weights())
def test_no_corner_contact_is_left(weight: torch.Tensor) -> None:
    cells = feasible(_rule(), weight)
    assert set(cells.unique().tolist()) <= {0.0, 1.0}
    assert cells.dtype == weight.dtype
    assert _contacts(cells) == 0


@settings(max_examples=300, deadline=None)
@given(weight=_weights())
def test_feasible_masks_stay_as_they_are(weight: torch.Tensor) -> None:
    rounded = (weight >= 0.5).to(weight.dtype)
    cells = feasible(_rule(), weight)
    if _contacts(rounded) == 0:
        assert torch.equal(cells, rounded)
    assert torch.equal(feasible(_rule(), cells), cells)
    assert torch.equal(feasible(_rule(), weight), cells)  # and twice the same


@settings(max_examples=100, deadline=None)
@given(weight=_weights())
def test_where_contacts_are_allowed_the_mask_is_rounded(weight: torch.Tensor) -> None:
    assert torch.equal(feasible(_rule(contacts=True), weight), (weight >= 0.5).to(weight.dtype))


def test_the_least_certain_cell_gives_way() -> None:
    weight = torch.tensor([[0.9, 0.1], [0.2, 0.6]])
    assert feasible(_rule(), weight).tolist() == [[1, 0], [0, 0]]
    weight = torch.tensor([[0.9, 0.1], [0.45, 0.8]])
    assert feasible(_rule(), weight).tolist() == [[1, 0], [1, 1]]


def test_a_checkerboard_ends() -> None:
    """Every block is a contact and every cell equally sure."""
    board = (torch.arange(12)[:, None] + torch.arange(13)) % 2
    cells = feasible(_rule(), board.float())
    assert _contacts(cells) == 0
    assert 0 < float(cells.mean()) <= 1


@settings(max_examples=200, deadline=None)
@given(
    cell=st.integers(1, 4), more=st.tuples(st.integers(0, 9), st.integers(0, 9)), seed=st.integers(0, 10**6),
    contacts=st.booleans(),
)  # fmt: skip
def test_every_projected_mask_passes_its_check(cell: int, more: tuple[int, int], seed: int, contacts: bool) -> None:
    rule = _rule(cell, contacts)
    height, width = 2 * cell + more[0], 2 * cell + more[1]
    weight = torch.rand(cells_shape(rule, height, width), generator=torch.Generator().manual_seed(seed))
    mask = project(rule, weight, height, width)
    assert tuple(mask.shape) == (height, width)
    found = ApertureMask(mask.numpy().astype(np.uint8), 10.0, "test", "")
    if contacts and cell > 1:  # where corners touch, the neck between them is a width of its own
        assert {violation.name for violation in rule.check(found)} <= {"smallest feature", "smallest gap"}
    else:
        assert rule.check(found) == []


@pytest.mark.parametrize("seed", range(5))
def test_an_area_rule_makes_the_cells_larger(seed: int) -> None:
    """900 um2 with a pitch of 10 um are 9 code pixels: cells of 3 x 3."""
    rule = _rule(1, area_um2=900.0)
    assert rule.cell_px == 3
    weight = torch.rand(cells_shape(rule, 13, 14), generator=torch.Generator().manual_seed(seed))
    mask = project(rule, weight, 13, 14)
    assert rule.check(ApertureMask(mask.numpy().astype(np.uint8), 10.0, "test", "")) == []


def test_cells_are_squares_and_the_last_take_the_rest() -> None:
    rule = _rule(2)
    cells = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert cells_shape(rule, 5, 4) == (2, 2)
    assert enlarge(rule, cells, 5, 4).tolist() == [
        [1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4], [3, 3, 4, 4],
    ]  # fmt: skip
    assert torch.equal(enlarge(_rule(1), cells, 2, 2), cells)


def test_gradient_is_the_sum_over_a_cell_and_never_pushes_outside() -> None:
    rule = _rule(2)
    weight = torch.tensor([[1.2, -0.1], [0.3, 0.6]]).requires_grad_()
    mask = project(rule, weight, 5, 4)
    (-mask.sum()).backward()  # asks every weight to grow
    assert weight.grad is not None
    assert weight.grad.tolist() == [[0, -4], [-6, -6]]
    weight.grad = None
    project(rule, weight, 5, 4).sum().backward()
    assert weight.grad.tolist() == [[4, 0], [6, 6]]
