"""Shots against exact sums, dense matrices and finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from cidesign.constraints.gradients import GradientRule, refinement
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.modalities.mri.encoders.fourier import centred_fft, centred_ifft, to_complex
from cidesign.modalities.mri.shots.density import density_weights, point_spread, sampled_power
from cidesign.modalities.mri.shots.encoder import FreeShots, ShotsEncoder, Timing, TurnedShots
from cidesign.modalities.mri.shots.estimator import Operator, ShotsNormal, shots_estimator
from cidesign.modalities.mri.shots.settings import settings_for
from cidesign.modalities.mri.shots.shapes import Shape, Shots, arms, spokes
from cidesign.physics.base import ImagePrior
from cidesign.testing import encoders

pytest.importorskip("finufft")
SIDE, SHOTS, NOISE = 12, 3, 0.02
RULE = GradientRule(30.0, 130.0, 10_000, 100.0)
SCAN = Shots(settings_for({"side": SIDE, "shots": SHOTS}, RULE, {}), RULE, "mri-generic-3t", "ab" * 32)


def _timing(shape: Shape) -> Timing:
    settings = SCAN.settings
    return Timing(shape.delay_ns / RULE.raster_ns, settings.samples_per_shot, settings.dwell_ns / RULE.raster_ns)


def _maps(coils: int) -> torch.Tensor:
    return torch.from_numpy(coil_maps(coils, SIDE, 1)) if coils > 1 else torch.ones(1, SIDE, SIDE).cfloat()


def _typed(encoder: ShotsEncoder, dtype: torch.dtype) -> ShotsEncoder:
    maps = encoder.coil_maps.to(torch.promote_types(dtype, torch.complex64))
    encoder.weight.data = encoder.weight.data.to(dtype)
    encoder.coil_maps = maps
    return encoder


def turned(dtype: torch.dtype, coils: int = 1) -> ShotsEncoder:
    """Arms with angles of their own."""
    shape = arms(SCAN)
    angles = torch.tensor([0.3, -0.2, 0.1])
    return _typed(TurnedShots(angles, torch.from_numpy(shape.points), _timing(shape), _maps(coils), NOISE), dtype)


def free(dtype: torch.dtype, coils: int = 1) -> ShotsEncoder:
    """Splines that break the limits before they are projected."""
    shape = spokes(SCAN)
    count = -(-shape.points.shape[1] // 4)
    start = torch.from_numpy(shape.points[:, ::4].copy())[:, :count]
    draws = torch.randn(start.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    refined = torch.from_numpy(refinement(count, 4))
    bounds = SCAN.bounds.coarser(4)
    return _typed(FreeShots(start + 0.8 * draws, refined, bounds, _timing(shape), _maps(coils), NOISE), dtype)


MAKERS = {
    "turned": turned,
    "turned, coils": lambda dtype: turned(dtype, 3),
    "free": free,
    "free, coils": lambda dtype: free(dtype, 2),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("law", encoders.LAWS, ids=lambda law: law.__name__)
def test_laws(law: encoders.Law, name: str) -> None:
    law(MAKERS[name], (2, SIDE, SIDE))


@pytest.mark.parametrize("make", [turned, free])
def test_places_are_those_of_the_design(make: Callable[[torch.dtype], ShotsEncoder]) -> None:
    encoder = make(torch.float64)
    points = encoder.points().detach().numpy()
    delay_ns = round(encoder.timing.before * RULE.raster_ns)
    design = SCAN.design(Shape(points, delay_ns))
    np.testing.assert_allclose(encoder.k().detach().numpy(), design.samples, atol=1e-9)
    assert RULE.check(design) == []


def test_measurement_is_the_sum_over_pixels() -> None:
    encoder = free(torch.float64, 2)
    x = encoders.drawn((1, 2, SIDE, SIDE), 1, torch.float64)
    k = encoder.k().detach()
    at = (np.arange(SIDE) - SIDE // 2) / SIDE
    waves = [np.exp(-2j * np.pi * k[1, 7, axis].item() * at) for axis in (0, 1)]
    weighted = encoder.coil_maps[1].numpy() * to_complex(x)[0].numpy()
    expected = (waves[0] @ weighted @ waves[1]) / SIDE
    assert encoder.A(x)[0, 1, 1, 7].item() == pytest.approx(expected, abs=1e-11)


def test_point_spread_makes_the_matrix_and_its_diagonal_in_kspace() -> None:
    encoder = turned(torch.float64)
    k = encoder.k().detach().flatten(0, 1)
    spread = point_spread(k, encoder.size)
    x = encoders.drawn((1, 2, SIDE, SIDE), 2, torch.float64)
    seen = to_complex(encoder.A_adjoint(encoder.A(x)).detach())[0]
    place = torch.arange(SIDE)
    apart = place[:, None] - place + SIDE
    full = spread[apart[:, None, :, None], apart[None, :, None, :]]
    torch.testing.assert_close(torch.einsum("abcd,cd->ab", full, to_complex(x)[0]), seen, rtol=0, atol=1e-10)
    # (F A^H A F^H)_jj for one sample of k-space.
    unit = torch.zeros(SIDE, SIDE, dtype=torch.complex128)
    unit[2, 9] = 1
    wave = centred_ifft(unit)
    there = centred_fft(torch.einsum("abcd,cd->ab", full, wave))[2, 9]
    found = torch.fft.fftshift(sampled_power(spread))[2, 9]
    torch.testing.assert_close(found, there.real, rtol=1e-9, atol=0)


def test_normal_operator_and_its_slope_are_those_of_the_transforms() -> None:
    encoder = turned(torch.float64, 2)
    k = encoder._flat().detach().requires_grad_()
    weights = torch.rand(len(k), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    left, right = (encoders.drawn((3, 2, SIDE, SIDE), seed, torch.float64) for seed in (3, 4))
    operator, normal = Operator(encoder.coil_maps), ShotsNormal(encoder.coil_maps, k, weights)
    a, b = operator.forward(left, k), operator.forward(right, k)
    product = (a.conj() * weights * b).real.sum()
    (expected,) = torch.autograd.grad(product, k)
    one, other = (to_complex(x).mT for x in (left, right))
    torch.testing.assert_close((one.conj() * normal(other)).real.sum(), product.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(normal.slope([one, one], [other, other]), 2 * expected, rtol=1e-7, atol=1e-9)


def test_density_of_a_full_grid_is_even_and_of_a_doubled_one_half() -> None:
    line = torch.arange(SIDE, dtype=torch.float64) - SIDE // 2
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1).reshape(-1, 2)
    torch.testing.assert_close(density_weights(grid, (SIDE, SIDE)), torch.ones(SIDE**2).double(), rtol=1e-6, atol=0)
    twice = density_weights(torch.cat([grid, grid]), (SIDE, SIDE))
    torch.testing.assert_close(twice, torch.full_like(twice, 0.5), rtol=1e-6, atol=0)


def test_gridding_a_full_grid_is_the_inverse() -> None:
    shape = Shape(np.zeros((SIDE, 3, 2)), 0)
    encoder = TurnedShots(torch.zeros(SIDE), torch.from_numpy(shape.points), Timing(0, SIDE, 0.1), _maps(3), NOISE)
    line = torch.arange(SIDE, dtype=torch.float64) - SIDE // 2
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1)
    encoder._places = lambda: grid  # type: ignore[method-assign]
    x = encoders.drawn((2, 2, SIDE, SIDE), 3, torch.float32)
    torch.testing.assert_close(encoder.gridded(encoder.A(x)), x, rtol=0, atol=2e-4)


def _prior() -> ImagePrior:
    line = torch.arange(SIDE) - SIDE // 2
    power = 4.0 / (1 + line[:, None] ** 2 + line**2) ** 1.5
    return ImagePrior(torch.zeros(2), torch.eye(2), power.double().expand(2, -1, -1).clone())


@pytest.mark.parametrize("coils", [1, 2])
def test_estimate_comes_near_the_exact_one(coils: int) -> None:
    encoder = turned(torch.float64, coils).requires_grad_(False)
    prior = _prior()
    draws = encoders.drawn((40, 2, SIDE, SIDE), 4, torch.float64)
    white = torch.complex(draws[:, 0], draws[:, 1]) / 2**0.5
    truth = centred_ifft(prior.variance[0].sqrt() * white)
    x = torch.stack([truth.real, truth.imag], dim=1)
    y = encoder(x, torch.Generator().manual_seed(1))
    k, power = encoder._flat(), prior.variance[0]
    weights = torch.ones(len(k), dtype=torch.float64)
    quick = encoder.estimator(prior)
    # Noise of even samples is that of the exact estimate.
    long = shots_estimator(encoder.coil_maps, k, weights, power, 2 * NOISE**2, 400, 1e-4)
    matrix = encoders.dense(encoder, (2, SIDE, SIDE))
    units = torch.eye(2 * SIDE * SIDE, dtype=torch.float64).reshape(-1, 2, SIDE, SIDE)
    spread = centred_ifft(prior.variance[0] / 2 * centred_fft(to_complex(units)))
    covariance = torch.stack([spread.real, spread.imag], dim=1).flatten(1)
    gram = matrix @ covariance @ matrix.T + NOISE**2 * torch.eye(len(matrix), dtype=torch.float64)
    exact = (covariance @ matrix.T @ torch.linalg.solve(gram, torch.view_as_real(y).flatten(1).T)).T.reshape(x.shape)
    images = exact, long.estimate(y), quick.estimate(y), encoder.gridded(y)
    least, converged, own, plain = (float((one - x).square().mean()) for one in images)
    # Many steps lead to the exact estimate; ten are well on the way there from gridding.
    assert least <= converged <= 1.1 * least
    assert converged <= own <= 2 * least
    assert own < 0.7 * plain


def test_estimate_is_linear_and_its_gradients_are_those_of_finite_differences() -> None:
    encoder, prior = free(torch.float64), _prior()
    y = encoders.drawn((2, 1, SHOTS, SCAN.settings.samples_per_shot), 6, torch.complex128)
    wanted = encoders.drawn((2, 2, SIDE, SIDE), 7, torch.float64)
    weights = density_weights(encoder._flat().detach(), encoder.size)
    encoder._density = lambda: weights  # type: ignore[method-assign]
    energy = encoder.estimator(prior).energy  # type: ignore[attr-defined]

    def loss(readings: torch.Tensor) -> torch.Tensor:
        estimator = encoder.estimator(prior)
        estimator.energy = energy  # type: ignore[attr-defined]
        return (estimator.estimate(readings) * wanted).sum() + (estimator.unseen(wanted) * wanted).sum()

    y.requires_grad_()
    loss(y).backward()  # type: ignore[no-untyped-call]
    along = encoders.drawn(tuple(encoder.weight.shape), 8, torch.float64)
    step = 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            encoder.weight += sign * step * along
            values.append(loss(y).item())
            encoder.weight -= sign * step * along
    slope = (values[0] - values[1]) / (2 * step)
    assert encoder.weight.grad is not None
    assert y.grad is not None
    assert float((encoder.weight.grad * along).sum()) == pytest.approx(slope, rel=0.05)
    with torch.no_grad():
        linear = (loss(2 * y) - loss(0 * y)).item()
        expected = 2 * float((y.grad.conj() * y).real.sum())
    assert linear == pytest.approx(expected, rel=1e-6)


def test_published_loss_is_of_the_nearest_shots_and_the_effective_one_of_operators() -> None:
    student, teacher = turned(torch.float64), turned(torch.float64)
    with torch.no_grad():
        teacher.base = teacher.base[[2, 0, 1]]
        teacher.weight.copy_(student.weight[[2, 0, 1]])
    for published in (True, False):
        assert student.encoder_loss(teacher, published).item() == pytest.approx(0, abs=1e-12)
    with torch.no_grad():
        teacher.weight += 0.4
    for published in (True, False):
        loss = student.encoder_loss(teacher, published)
        (gradient,) = torch.autograd.grad(loss, student.weight)
        assert loss.item() > 1e-3
        assert float(gradient.abs().max()) > 0


def test_given_shots_are_held_as_they_are() -> None:
    encoder, design = free(torch.float64), SCAN.design(arms(SCAN))
    encoder.hold(design)
    assert encoder.given is design
    np.testing.assert_allclose(encoder.k().detach().numpy(), design.samples, atol=1e-9)
    assert not encoder.A(encoders.drawn((1, 2, SIDE, SIDE), 1, torch.float64)).requires_grad
