"""Figures of merit of phase-encode lines, on sets whose values are known."""

import math

import pytest
import torch
from torch import Tensor

from cidesign.constraints.kspace import LineBudget
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder, SharedTimeEncoder
from cidesign.modalities.mri.encoders.fourier import centred_ifft, to_channels
from cidesign.modalities.mri.merit import cartesian_bound, coil_coherence, coils_model, line_merits
from cidesign.physics.base import ImagePrior
from cidesign.physics.linear_bound import Bound, exact_bound, probed_bound

LINES, SAMPLES, NOISE = 8, 6, 0.05


def _encoder(
    chosen: list[int], maps: Tensor | None = None, kind: type[CartesianEncoder] = CartesianEncoder
) -> CartesianEncoder:
    score = torch.zeros(LINES)
    score[chosen] = 1
    maps = torch.ones(1, LINES, SAMPLES, dtype=torch.complex64) if maps is None else maps
    return kind(score, LineBudget(LINES, len(chosen), 0), maps, NOISE).requires_grad_(False)


def _prior() -> ImagePrior:
    down = (torch.arange(LINES) - LINES // 2).abs()[:, None]
    power = 0.5 / (1.0 + down + (torch.arange(SAMPLES) - SAMPLES // 2).abs()) ** 2
    return ImagePrior(torch.zeros(2), torch.eye(2), power.expand(2, -1, -1).clone())


def _maps() -> Tensor:
    return torch.from_numpy(coil_maps(3, LINES, 1)[..., :SAMPLES].copy()).to(torch.complex64)


def test_merits_of_known_line_sets() -> None:
    found = line_merits(_encoder([2, 3, 4, 5]))
    assert list(found) == ["acceleration", "line_density", "spread_coherence", "side_lobe", "column_coherence"]
    assert found["acceleration"] == pytest.approx(2.0)
    # Distances 4 3 2 1 0 1 2 3 in parts from 0, 1.25, 2.5 and 3.75 on.
    assert found["line_density"] == pytest.approx((1.0, 0.5, 0.0, 0.0))
    kernel = [abs(math.sin(math.pi * j / 2) / math.sin(math.pi * j / 8)) / 4 for j in (1, 2, 3)]
    assert found["spread_coherence"] == found["column_coherence"] == pytest.approx(kernel[0])
    assert found["side_lobe"] == pytest.approx(kernel[2])
    comb = line_merits(_encoder([0, 2, 4, 6]))
    assert (comb["spread_coherence"], comb["side_lobe"]) == pytest.approx((1.0, 1.0))
    whole = line_merits(_encoder(list(range(LINES))))
    assert (whole["spread_coherence"], whole["side_lobe"]) == (0, 0)
    assert whole["column_coherence"] == pytest.approx(0, abs=1e-12)


def test_shares_of_the_time_count_as_shares() -> None:
    """A teacher whose lines all have half of the time has the R of one that measures half of them, and no aliasing."""
    encoder = SharedTimeEncoder(
        torch.zeros(LINES), LineBudget(LINES, 4, 0), torch.ones(1, LINES, SAMPLES, dtype=torch.complex64), NOISE
    ).requires_grad_(False)
    found = line_merits(encoder)
    assert found["acceleration"] == pytest.approx(2.0, rel=1e-3)
    assert found["line_density"] == pytest.approx((0.5,) * 4, rel=1e-3)
    assert found["spread_coherence"] == pytest.approx(0, abs=1e-5)


def test_coils_tell_aliased_pixels_apart() -> None:
    """The coherence of the columns, as the samples of unit images have it."""
    encoder = _encoder([0, 2, 4, 6], _maps())
    columns = []
    for pixel in range(LINES * SAMPLES):
        x = torch.zeros(1, 2, LINES * SAMPLES)
        x[0, 0, pixel] = 1
        columns.append(encoder.A(x.reshape(1, 2, LINES, SAMPLES)).flatten())
    matrix = torch.stack(columns, dim=1).to(torch.complex128)
    unit = matrix / torch.linalg.vector_norm(matrix, dim=0)
    products = (unit.mH @ unit).abs().fill_diagonal_(0)
    found = coil_coherence(encoder.choice().double(), encoder.coil_maps)
    assert found == pytest.approx(float(products.max()), abs=1e-5)
    assert found < 0.999
    assert line_merits(encoder)["spread_coherence"] == pytest.approx(1.0)


def test_pixels_that_no_coil_sees_are_left_out() -> None:
    maps = torch.ones(1, LINES, SAMPLES, dtype=torch.complex64)
    maps[:, :5] = 0
    encoder = _encoder([0, 2, 4, 6], maps)
    # Its comb aliases pixels four apart, and no two of three neighbours are.
    assert coil_coherence(encoder.choice().double(), maps) == pytest.approx(0, abs=1e-12)


def test_the_bound_of_one_coil_by_hand() -> None:
    power, s_squared = _prior().variance[0].double(), 2 * NOISE**2
    left = power.clone()
    for line in (2, 4):
        left[line] = power[line] * s_squared / (power[line] + s_squared)
    found = cartesian_bound(_encoder([2, 4]), _prior())
    assert isinstance(found, Bound)
    assert found.mean_square == pytest.approx(float(left.sum()) / (2 * LINES * SAMPLES), rel=1e-6)
    # Two coils that see the same, each with half of the energy, are one coil.
    twice = torch.full((2, LINES, SAMPLES), 0.5**0.5, dtype=torch.complex64)
    coils = cartesian_bound(_encoder([2, 4], twice), _prior())
    assert isinstance(coils, Bound)
    assert coils.mean_square == pytest.approx(found.mean_square, rel=1e-5)


def test_the_bound_of_shares_is_that_of_their_noise() -> None:
    maps = torch.full((2, LINES, SAMPLES), 0.5**0.5, dtype=torch.complex64)
    budget, weight = LineBudget(LINES, 4, 2), torch.linspace(-1, 1, LINES)
    one = SharedTimeEncoder(weight, budget, torch.ones(1, LINES, SAMPLES, dtype=torch.complex64), NOISE)
    two = SharedTimeEncoder(weight, budget, maps, NOISE)
    found = [cartesian_bound(encoder.requires_grad_(False), _prior()) for encoder in (one, two)]
    assert isinstance(found[0], Bound)
    assert isinstance(found[1], Bound)
    assert found[0].mean_square == pytest.approx(found[1].mean_square, rel=1e-5)


def test_the_bound_of_coils_is_what_the_encoder_simulates() -> None:
    """Images of the prior, through the encoder's own noise and the best linear estimate for it."""
    encoder, prior, count = _encoder([1, 3, 4, 6], _maps()), _prior(), 20_000
    draws = torch.Generator().manual_seed(3)
    parts = torch.randn(2, count, LINES, SAMPLES, generator=draws)
    x = to_channels(centred_ifft(torch.complex(parts[0], parts[1]) * (0.5 * prior.variance[0]).sqrt()))
    y = torch.view_as_real(encoder(x, draws)[:, :, [1, 3, 4, 6]]).flatten(1).double()
    unknowns, shape = 2 * LINES * SAMPLES, (2, LINES, SAMPLES)
    units = torch.eye(unknowns).reshape(-1, *shape)
    matrix = torch.view_as_real(encoder.A(units)[:, :, [1, 3, 4, 6]]).flatten(1).T.double()
    model = coils_model(encoder, prior)
    basis = model.transform(units.double()).flatten(1)
    covariance = basis @ torch.diag(model.variance.flatten()) @ basis.T
    gram = matrix @ covariance @ matrix.T + NOISE**2 * torch.eye(len(matrix), dtype=torch.float64)
    estimate = y @ torch.linalg.inv(gram) @ matrix @ covariance
    squares = (estimate - x.flatten(1)).square().mean(dim=1)
    found = cartesian_bound(encoder, prior)
    assert isinstance(found, Bound)
    assert found.standard_error is None
    assert abs(float(squares.mean()) - found.mean_square) < 4 * float(squares.std()) / math.sqrt(count)


def test_probes_of_coils_agree_with_the_closed_form() -> None:
    model = coils_model(_encoder([1, 3, 4, 6], _maps()), _prior())
    wanted, found = exact_bound(model).mean_square, probed_bound(model, probes=200)
    assert isinstance(found, Bound)
    assert found.standard_error is not None
    assert found.standard_error < 0.05 * wanted
    assert abs(found.mean_square - wanted) < 4 * found.standard_error
