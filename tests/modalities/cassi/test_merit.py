"""Figures of merit of coded apertures, on masks whose values are known."""

import math

import pytest
import torch

from cidesign.modalities.cassi import merit
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.merit import mask_bound, mask_merits, mask_model
from cidesign.physics.base import ImagePrior
from cidesign.physics.encoder_metrics import band_correlation, operator_matrix
from cidesign.physics.linear_bound import Bound, exact_bound, probed_bound
from cidesign.physics.merit import NotEvaluated
from cidesign.physics.noise import PixelNoise

BANDS, SIZE = 3, (6, 8)
WHOLE, BETWEEN = Dispersion((0.0, 1.0, 2.0), "columns", 1), Dispersion((0.0, 1.4, 2.7), "rows", -1)
NOISE = PixelNoise(2_000.0, 4.0, float(BANDS))


def _mask(seed: int = 0) -> torch.Tensor:
    return (torch.rand(SIZE, generator=torch.Generator().manual_seed(seed)) < 0.5).float()


def _cubes(count: int = 5) -> torch.Tensor:
    return torch.rand(count, BANDS, *SIZE, generator=torch.Generator().manual_seed(1))


def _prior() -> ImagePrior:
    frequency = torch.arange(SIZE[0])[:, None] + torch.arange(SIZE[1])
    strength = torch.tensor([0.001, 0.01, 0.1])[:, None, None]
    basis = torch.linalg.qr(torch.randn(BANDS, BANDS, generator=torch.Generator().manual_seed(2))).Q
    return ImagePrior(torch.tensor([0.4, 0.5, 0.6]), basis, strength / (1.0 + frequency) ** 2)


def test_voxels_that_share_a_detector_pixel() -> None:
    apart = torch.zeros(SIZE)
    apart[:, ::3] = 1
    found = mask_merits(SdCassiEncoder.fixed(apart, WHOLE), _cubes())
    assert list(found) == ["open_fraction", "column_coherence", "band_correlation"]
    assert found["open_fraction"] == pytest.approx(3 / 8)
    # Three bands in steps of one pixel behind every third column never meet.
    assert found["column_coherence"] == 0
    apart[0, 1] = 1
    assert mask_merits(SdCassiEncoder.fixed(apart, WHOLE), _cubes())["column_coherence"] == pytest.approx(1.0)


def test_band_correlation_is_of_what_the_optics_send_back() -> None:
    encoder, cubes = SdCassiEncoder.fixed(_mask(), WHOLE), _cubes()
    wanted = band_correlation(encoder.A_adjoint(encoder.A(cubes)))
    assert mask_merits(encoder, cubes)["band_correlation"] == pytest.approx(wanted)
    assert 0 < wanted < 1
    many = torch.cat([_cubes()] * 20)
    assert mask_merits(encoder, many)["band_correlation"] == pytest.approx(wanted, abs=0.1)


def test_the_coherence_of_many_unknowns_is_not_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SdCassiEncoder.fixed(_mask(), WHOLE)
    monkeypatch.setattr(merit, "MAX_UNKNOWNS", 143)
    assert mask_merits(encoder, _cubes())["column_coherence"] == NotEvaluated(
        "144 unknowns, each of which would have to be measured; the limit is 143"
    )


@pytest.mark.parametrize("dispersion", [WHOLE, BETWEEN])
def test_the_bound_is_what_the_encoder_simulates(dispersion: Dispersion) -> None:
    """Cubes of the prior, through the encoder's own noise and the best linear estimate for it."""
    encoder, prior = SdCassiEncoder.fixed(_mask(), dispersion, NOISE), _prior()
    found = mask_bound(encoder, prior)
    assert isinstance(found, Bound)
    assert found.standard_error is None
    model = mask_model(encoder, prior)
    draws = torch.Generator().manual_seed(7)
    count = 20_000
    coefficients = model.variance.sqrt() * torch.randn(count, BANDS, *SIZE, generator=draws, dtype=torch.float64)
    mean = prior.mean[None, :, None, None].expand(1, -1, *SIZE)
    x = mean + model.inverse(coefficients).float()
    y = encoder(x, draws).flatten(1).double()
    unknowns = BANDS * SIZE[0] * SIZE[1]
    matrix = operator_matrix(encoder.A, (BANDS, *SIZE), torch.device("cpu")).double()
    basis = model.transform(torch.eye(unknowns, dtype=torch.float64).reshape(-1, BANDS, *SIZE)).flatten(1)
    covariance = basis @ torch.diag(model.variance.flatten()) @ basis.T
    noise = encoder.noise.variance(encoder.A(mean)).flatten().double() if encoder.noise else torch.zeros(1)
    gain = covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T + torch.diag(noise))
    estimate = mean.flatten() + (y - matrix @ mean.flatten().double()) @ gain.T
    squares = (estimate - x.flatten(1)).square().mean(dim=1)
    assert abs(float(squares.mean()) - found.mean_square) < 4 * float(squares.std()) / math.sqrt(count)


def test_probes_of_a_mask_agree_with_the_closed_form() -> None:
    model = mask_model(SdCassiEncoder.fixed(_mask(), BETWEEN, NOISE), _prior())
    wanted, found = exact_bound(model).mean_square, probed_bound(model, probes=200)
    assert isinstance(found, Bound)
    assert found.standard_error is not None
    assert found.standard_error < 0.05 * wanted
    assert abs(found.mean_square - wanted) < 4 * found.standard_error


def test_rows_that_are_closed_are_known_less_well() -> None:
    """What a mask blocks is never known better: with the same noise, opening a pixel adds readings of nothing else."""
    one, two = torch.zeros(SIZE), torch.zeros(SIZE)
    one[:, ::3] = 1
    two[:, ::3] = 1
    two[::2] = 0
    bounds = [mask_bound(SdCassiEncoder.fixed(mask, WHOLE), _prior()) for mask in (one, two)]
    assert isinstance(bounds[0], Bound)
    assert isinstance(bounds[1], Bound)
    assert bounds[0].mean_square < bounds[1].mean_square


def test_optics_in_parts_have_the_mean_of_some_of_them() -> None:
    prior = _prior()
    whole = torch.rand(24, 24, generator=torch.Generator().manual_seed(3))
    encoder = SdCassiEncoder(whole, (24, 24), None, WHOLE, NOISE, SIZE).requires_grad_(False)
    places = encoder.places(None)
    assert len(places) > merit.MOST_PLACES
    found = mask_bound(encoder, prior)
    assert isinstance(found, Bound)
    assert found.standard_error is not None
    assert encoder.place is None
