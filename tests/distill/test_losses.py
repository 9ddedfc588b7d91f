"""The loss terms against their definitions with full N x N matrices."""

import pytest
import torch

from cidesign.distill.losses import decoder_loss, encoder_loss, gram_distance


def _operators(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(5, 40, generator=generator, dtype=torch.float64),
        torch.randn(8, 40, generator=generator, dtype=torch.float64),
    )


def test_gram_distance_is_the_full_one() -> None:
    a, b = _operators(1)
    wanted = (a.T @ a - b.T @ b).square().sum()
    assert float(gram_distance(a, b)) == pytest.approx(float(wanted), rel=1e-12)


def test_encoder_loss_is_the_full_one_and_scale_free() -> None:
    a, b = _operators(2)
    gram_a, gram_b = a.T @ a, b.T @ b
    wanted = (gram_a / gram_a.norm() - gram_b / gram_b.norm()).square().sum()
    assert float(encoder_loss(a, b)) == pytest.approx(float(wanted), rel=1e-9)
    assert float(encoder_loss(3 * a, 0.2 * b)) == pytest.approx(float(wanted), rel=1e-9)
    assert float(encoder_loss(a, 2 * a)) == pytest.approx(0, abs=1e-9)


def test_encoder_loss_sees_what_is_built() -> None:
    """Rotating the rows leaves the Gram alone, quantising the rotated rows does not."""
    a, _ = _operators(3)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    assert float(encoder_loss(rotation @ a, a)) == pytest.approx(0, abs=1e-9)
    assert float(encoder_loss(torch.sign(rotation @ a), torch.sign(a))) > 0.1


def test_decoder_loss_is_relative() -> None:
    teacher = torch.full((2, 3, 2, 2), 2.0)
    assert float(decoder_loss(teacher + 0.5, teacher)) == pytest.approx(0.25 / 4)
    assert float(decoder_loss(3 * (teacher + 0.5), 3 * teacher)) == pytest.approx(0.25 / 4)
