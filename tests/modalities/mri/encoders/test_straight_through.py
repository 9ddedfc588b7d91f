"""Lines with a straight-through gradient: exact budgets, no exploration, every line's derivative as it is."""

import pytest
import torch

from cidesign.constraints.kspace import LineBudget
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.mri.encoders.straight_through import StraightThroughEncoder
from cidesign.testing import encoders

RULE = LineBudget(12, 5, 2)


def _encoder(dtype: torch.dtype = torch.float32) -> StraightThroughEncoder:
    weight = torch.randn(12, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)
    maps = torch.ones(1, 12, 10, dtype=torch.complex128 if dtype == torch.float64 else torch.complex64)
    return StraightThroughEncoder(weight, RULE, maps, 0.01)


@pytest.mark.parametrize("law", encoders.LAWS, ids=lambda law: law.__name__)
def test_laws(law: encoders.Law) -> None:
    law(_encoder, (2, 12, 10))


def test_a_step_sees_the_lines_that_would_be_built() -> None:
    encoder = _encoder()
    built = CartesianEncoder(encoder.weight.detach(), RULE, encoder.coil_maps, 0.01)
    for seed in range(20):
        encoder.explore(0.1, torch.Generator().manual_seed(seed))
        lines = encoder.choice().detach()
        assert torch.equal(lines, built.choice())
        assert int(lines.sum()) == 5
    assert encoder.pattern(10, "test", "").design_digest == built.pattern(10, "test", "").design_digest


def test_scores_get_the_derivative_of_their_line() -> None:
    encoder = _encoder()
    slopes = torch.arange(12.0) - 4
    (encoder.choice() * slopes).sum().backward()
    assert encoder.weight.grad is not None
    assert torch.equal(encoder.weight.grad, slopes)


def test_the_published_distance_pulls_the_teachers_lines_in() -> None:
    """2 (m_s - m_t) / H: down where the student alone measures, up where the teacher alone does."""
    student = _encoder()
    teacher = CartesianEncoder(-student.weight.detach(), LineBudget(12, 7, 2), student.coil_maps, 0.01)
    student.encoder_loss(teacher, published=True).backward()
    assert student.weight.grad is not None
    wanted = 2 * (student.choice() - teacher.choice()).detach() / 12
    torch.testing.assert_close(student.weight.grad, wanted)
    assert {-1, 0, 1} == set((6 * wanted).round().int().tolist())
