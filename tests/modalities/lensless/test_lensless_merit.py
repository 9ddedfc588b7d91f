"""What is said of a mask alone, on shadows whose values are known."""

import pytest
import torch

from cidesign.modalities.lensless import merit
from cidesign.modalities.lensless.encoders.designed import MeasuredEncoder
from cidesign.modalities.lensless.merit import lensless_bound, side_lobe, transfer_condition
from cidesign.physics.base import ImagePrior
from cidesign.physics.linear_bound import Bound
from cidesign.physics.noise import PixelNoise
from cidesign.testing.encoders import dense

IMAGE = (6, 8)


def camera(psf: torch.Tensor, noise: PixelNoise | None = None) -> MeasuredEncoder:
    return MeasuredEncoder(psf.double(), torch.ones(*IMAGE, dtype=torch.float64), noise)


def prior(bands: int) -> ImagePrior:
    variance = 0.1 / (1.0 + torch.arange(IMAGE[0])[:, None] + torch.arange(IMAGE[1])).double() ** 2
    return ImagePrior(
        torch.full((bands,), 0.5, dtype=torch.float64), torch.eye(bands).double(), variance.expand(bands, -1, -1)
    )


def test_one_point_is_flat_and_has_no_side_lobes() -> None:
    psf = torch.zeros(1, 11, 15)
    psf[0, 4, 9] = 3.0
    assert transfer_condition(camera(psf)) == pytest.approx(1.0)
    assert side_lobe(camera(psf)) < 1e-6


def test_two_points_have_the_condition_of_a_cosine() -> None:
    """|1 + a exp(2 pi i f)|^2 = 1 + a^2 + 2 a cos: from (1 + a)^2, over the harmonic mean off the zero frequency."""
    psf = torch.zeros(1, 11, 15)
    psf[0, 4, 6], psf[0, 4, 7] = 1.0, 0.5
    power = 1.25 + torch.cos(2 * torch.pi * torch.arange(IMAGE[1]).double() / IMAGE[1])
    whole = power.expand(IMAGE[0], -1).flatten()[1:]
    wanted = (whole.max() * (1 / whole).mean()).sqrt()
    assert transfer_condition(camera(psf)) == pytest.approx(float(wanted))


def test_the_worst_channel_counts() -> None:
    psf = torch.zeros(2, 11, 15)
    psf[0, 4, 9], psf[1, 4, 6], psf[1, 4, 7] = 1.0, 1.0, 0.9
    assert transfer_condition(camera(psf)) == pytest.approx(transfer_condition(camera(psf[1:])))
    assert transfer_condition(camera(psf)) > 2


def test_a_repeated_shadow_has_a_side_lobe_as_high_as_its_part() -> None:
    psf = torch.zeros(1, 40, 44)
    psf[0, 3, 5], psf[0, 20, 31] = 2.0, 1.0
    # 2 * 1 over 2^2 + 1^2; taking the mean off moves it by the parts in a thousand.
    assert side_lobe(camera(psf)) == pytest.approx(0.4, abs=5e-3)


def test_the_bound_is_that_of_matrices() -> None:
    """tr(C - C A^T (A C A^T + S)^-1 A C) / N with the noise of the mean image."""
    psf = torch.rand(2, 11, 15, generator=torch.Generator().manual_seed(1))
    encoder = camera(psf, PixelNoise(1e3, 2.0, 1.0))
    known = prior(2)
    found = lensless_bound(encoder, known)
    assert isinstance(found, Bound)
    matrix = dense(encoder, (2, *IMAGE))
    down, across = (merit.dct_matrix(count).double() for count in IMAGE)
    unit = torch.eye(matrix.shape[1], dtype=torch.float64).reshape(-1, 2, *IMAGE)
    root = (down.T @ (known.variance.sqrt() * unit) @ across).flatten(1)
    covariance = root.T @ root
    y = encoder.A(known.mean[None, :, None, None].expand(1, -1, *IMAGE))
    assert encoder.noise is not None
    noise = torch.diag(encoder.noise.variance(y).flatten())
    gain = covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T + noise)
    wanted = torch.trace(covariance - gain @ matrix @ covariance) / len(covariance)
    assert found.mean_square == pytest.approx(float(wanted), rel=1e-4)


def test_more_light_can_only_help() -> None:
    psf = torch.rand(1, 11, 15, generator=torch.Generator().manual_seed(1))
    errors = []
    for light in (1e2, 1e4, 1e6):
        found = lensless_bound(camera(psf, PixelNoise(light, 2.0, 1.0)), prior(1))
        assert isinstance(found, Bound)
        errors.append(found.mean_square)
    assert errors == sorted(errors, reverse=True)
