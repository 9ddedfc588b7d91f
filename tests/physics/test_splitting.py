"""The linear estimates of the three modalities against the textbook formula with explicit matrices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.constraints.kspace import LineBudget
from cidesign.modalities.cassi.encoders.designed import SdCassiEncoder
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder, SharedTimeEncoder
from cidesign.modalities.mri.encoders.coils import CoilsEstimator
from cidesign.modalities.mri.encoders.fourier import centred_fft, centred_ifft, to_channels, to_complex
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.physics import splitting
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.cosine_filter import dct_matrix
from cidesign.physics.noise import DetectorNoise, PixelNoise
from cidesign.physics.splitting import SplittingEstimator

COUNT = 200


class Case(NamedTuple):
    """Images drawn from the prior, their noisy readings, and the exact estimate; vectors are rows."""

    encoder: Encoder
    prior: ImagePrior
    truth: Tensor
    y: Tensor
    exact: np.ndarray
    noise_variance: float


def _cosine_prior(bands: int, size: tuple[int, int]) -> tuple[ImagePrior, np.ndarray]:
    """Smooth images with correlated channels, and their covariance matrix by Kronecker products."""
    generator = torch.Generator().manual_seed(bands)
    basis = torch.linalg.qr(torch.randn(bands, bands, generator=generator))[0]
    down, across = (torch.arange(count) ** 2 for count in size)
    variance = 0.3 / (1 + down[:, None] + across[None]) * torch.tensor([1.0, 0.2, 0.03])[:bands, None, None]
    mean = torch.linspace(0.3, 0.5, bands)
    transform = np.kron(basis.double().numpy(), np.kron(*(dct_matrix(count).double().numpy() for count in size)))
    covariance = transform.T @ np.diag(variance.double().numpy().ravel()) @ transform
    return ImagePrior(mean, basis, variance), covariance


def _fourier_prior(size: tuple[int, int]) -> tuple[ImagePrior, np.ndarray]:
    """Complex images whose power falls from the centre of k-space; the covariance of real and imaginary parts."""
    u, v = (torch.arange(count) - count // 2 for count in size)
    power = 0.5 / (1 + u[:, None] ** 2 + v[None] ** 2)
    matrices = []
    for count in size:
        at = np.arange(count) - count // 2
        matrices.append(np.exp(-2j * np.pi * np.outer(at, at) / count) / np.sqrt(count))
    fourier = np.kron(*matrices)
    complex_covariance = fourier.conj().T @ np.diag(power.double().numpy().ravel() / 2) @ fourier
    real, imaginary = complex_covariance.real, complex_covariance.imag
    covariance = np.block([[real, -imaginary], [imaginary, real]])
    return ImagePrior(torch.zeros(2), torch.eye(2), power.expand(2, -1, -1).clone()), covariance


def _make_case(encoder: Encoder, dense: Callable[[Encoder], np.ndarray], images: Callable[..., Tensor]) -> Case:
    shape = tuple(images(encoder, 1, 0).shape[1:])
    if isinstance(encoder, CartesianEncoder):
        prior, covariance = _fourier_prior((shape[1], shape[2]))
        variance = encoder.noise**2
    else:
        prior, covariance = _cosine_prior(shape[0], (shape[1], shape[2]))
    matrix = dense(encoder)
    mean = np.repeat(prior.mean.double().numpy(), shape[1] * shape[2])
    if isinstance(encoder, SdCassiEncoder):
        encoder.noise = PixelNoise(1e4, 2.0, 3.0)
        variance = float(encoder.noise.variance(torch.from_numpy(matrix @ mean)).mean())
    elif isinstance(encoder, SinglePixelEncoder):
        encoder.noise = DetectorNoise(1e5, 10.0, "complementary")
        variance = encoder.noise.typical_variance(float(prior.mean[0]), encoder.side)
    rng = np.random.default_rng(1)
    factor = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance)))
    x = mean + (factor @ rng.normal(size=(len(mean), COUNT))).T
    measured = np.abs(matrix).sum(axis=1) > 0  # lines that are not acquired have neither signal nor noise
    y = x @ matrix.T + measured * np.sqrt(variance) * rng.normal(size=(COUNT, len(matrix)))
    gain = covariance @ matrix.T @ np.linalg.inv(matrix @ covariance @ matrix.T + variance * np.eye(len(matrix)))
    exact = mean + (y - matrix @ mean) @ gain.T
    template = encoder.A(images(encoder, COUNT, 0)).detach()
    readings = torch.from_numpy(y).float().reshape(*template.shape, *([2] if template.is_complex() else []))
    readings = torch.view_as_complex(readings) if template.is_complex() else readings
    return Case(encoder, prior, torch.from_numpy(x).float().reshape(COUNT, *shape), readings, exact, variance)


@pytest.fixture
def case(make: Any, dense: Callable[[Encoder], np.ndarray], images: Callable[..., Tensor]) -> Case:
    encoder = make(torch.float32).requires_grad_(False)
    if isinstance(encoder, CartesianEncoder):
        encoder.explore(1.0, None)
        if len(encoder.coil_maps) > 1:  # smooth maps, as coils have them
            height, width = encoder.coil_maps.shape[-2:]
            maps = torch.from_numpy(coil_maps(3, max(height, width), 0))[:, :height, :width]
            encoder.coil_maps = maps / maps.abs().square().sum(dim=0).sqrt()
    return _make_case(encoder, dense, images)


def _psnr_db(found: np.ndarray, truth: Tensor) -> float:
    return float(-10 * np.log10(np.square(found - truth.flatten(1).numpy()).mean()))


def test_estimate_is_the_exact_one_or_close(case: Case) -> None:
    """Exact where the operator is small or diagonal; by splitting at most 1 dB below (2.5 dB with several coils)."""
    estimator = case.encoder.estimator(case.prior)
    found = estimator.estimate(case.y).flatten(1).numpy()
    exact_db, found_db = _psnr_db(case.exact, case.truth), _psnr_db(found, case.truth)
    mean = case.prior.mean[None, :, None, None].expand_as(case.truth).flatten(1).numpy()
    assert found_db > _psnr_db(mean, case.truth) + 0.4
    if isinstance(estimator, SplittingEstimator | CoilsEstimator):
        gap_db = 2.5 if isinstance(case.encoder, CartesianEncoder) else 1.0
        assert exact_db - gap_db < found_db < exact_db + 0.05
    else:
        np.testing.assert_allclose(found, case.exact, atol=2e-3)


def test_estimate_agrees_with_the_readings(case: Case) -> None:
    """What is left of the readings is below or near their noise."""
    estimate = case.encoder.estimator(case.prior).estimate(case.y)
    left = (case.encoder.A(estimate) - case.y).abs().square()
    parts = 2 if case.y.is_complex() else 1
    assert float(left.mean()) < 1.5 * parts * case.noise_variance
    assert float(left.mean()) < 0.05 * float(case.y.abs().square().mean())


def test_estimate_is_affine_in_the_readings(case: Case) -> None:
    estimator = case.encoder.estimator(case.prior)
    first, second = case.y[:50], case.y[50:100]
    blend = estimator.estimate(0.3 * first + 0.7 * second)
    wanted = 0.3 * estimator.estimate(first) + 0.7 * estimator.estimate(second)
    torch.testing.assert_close(blend, wanted, atol=1e-4, rtol=1e-3)


def test_estimates_do_not_mix_in_a_batch(case: Case) -> None:
    estimator = case.encoder.estimator(case.prior)
    torch.testing.assert_close(estimator.estimate(case.y[3:4]), estimator.estimate(case.y)[3:4], atol=1e-5, rtol=1e-4)


def test_readings_have_the_last_word_on_what_they_see(case: Case) -> None:
    """Without noise, A unseen(x) vanishes where A A^H is diagonal, and shrinks x elsewhere."""
    encoder = case.encoder
    if isinstance(encoder, CartesianEncoder):
        encoder.noise = 1e-6
    else:
        encoder.noise = None
    estimator = encoder.estimator(case.prior)
    seen = encoder.A(case.truth)
    left = encoder.A(estimator.unseen(case.truth))
    share = float(left.norm() / seen.norm())
    fractions = isinstance(encoder, SdCassiEncoder) and any(shift % 1 for shift in encoder.dispersion.shift_px)
    coils = isinstance(encoder, CartesianEncoder) and len(encoder.coil_maps) > 1
    assert share < (0.6 if fractions or coils else 2e-3)
    twice = estimator.unseen(estimator.unseen(case.truth))
    assert float(twice.norm()) <= float(case.truth.norm()) * (1 + 1e-5)


def test_gradient_reaches_the_optics_through_the_operator(
    make: Any, explored: Callable[[Encoder], Encoder], images: Callable[..., Tensor]
) -> None:
    """With readings that are held fixed: the estimate itself knows the optics."""
    encoder = make(torch.float32)
    if not encoder.weight.requires_grad or (isinstance(encoder, CartesianEncoder) and len(encoder.coil_maps) == 1):
        return  # one coil: the estimate knows the lines by the readings alone
    explored(encoder)
    x = images(encoder, 4, 1)
    shape = tuple(x.shape[1:])
    if isinstance(encoder, CartesianEncoder):
        prior, _ = _fourier_prior((shape[1], shape[2]))
    else:
        prior, _ = _cosine_prior(shape[0], (shape[1], shape[2]))
    y = encoder.A(x).detach()
    encoder.estimator(prior).estimate(y).square().sum().backward()
    assert encoder.weight.grad is not None
    assert torch.isfinite(encoder.weight.grad).all()
    assert float(encoder.weight.grad.norm()) > 0


def test_a_dark_detector_pixel_does_no_harm() -> None:
    """A closed column, and no noise: nothing is divided by zero."""
    from cidesign.modalities.cassi.encoders.designed import Dispersion

    mask = torch.ones(4, 6)
    mask[:, :4] = 0
    encoder = SdCassiEncoder.fixed(mask, Dispersion((0.0, 1.0, 2.0), "columns", 1))
    prior, _ = _cosine_prior(3, (4, 6))
    estimate = encoder.estimator(prior).estimate(encoder.A(torch.rand(2, 3, 4, 6)))
    assert torch.isfinite(estimate).all()


def test_one_coil_of_many_lines_gives_the_image_back() -> None:
    encoder = CartesianEncoder(torch.zeros(8), LineBudget(8, 8, 2), torch.ones(1, 8, 8, dtype=torch.complex64), 1e-5)
    prior, _ = _fourier_prior((8, 8))
    x = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(encoder.estimator(prior).estimate(encoder.A(x)).detach(), x, atol=1e-4, rtol=0)


def _by_coils(encoder: CartesianEncoder, prior: ImagePrior) -> SplittingEstimator:
    """The estimate of several coils by their k-space, as the operator's definition has it."""
    power, lines = prior.variance[0], encoder.mask()

    def shrink(x: Tensor, penalty: float) -> Tensor:
        return to_channels(centred_ifft(power / (power + penalty) * centred_fft(to_complex(x))))

    def forward(x: Tensor, lines: Tensor) -> Tensor:
        return lines * centred_fft(encoder.coil_maps * to_complex(x)[:, None])

    def adjoint(y: Tensor, lines: Tensor) -> Tensor:
        # Lines that were not measured are 0 already, unless they have shares of the time.
        weighted = lines * y if isinstance(encoder, SharedTimeEncoder) else y
        return to_channels((encoder.coil_maps.conj() * centred_ifft(weighted)).sum(dim=1))

    mean = prior.mean[None, :, None, None].expand(1, -1, *encoder.coil_maps.shape[-2:])
    energy, level = encoder.norm_squared(), float(power.mean())
    return SplittingEstimator(forward, adjoint, energy, shrink, mean, 2 * encoder.noise**2, level, (lines,))


def _plain(estimator: SplittingEstimator, y: Tensor) -> Tensor:
    """The same steps for autograd to go through, all images at once."""
    readings = y - estimator.forward_model(estimator.mean, *estimator.optics)
    before = w = torch.zeros(len(y), *estimator.mean.shape[1:])
    schedule = estimator.schedule()
    for penalty, extrapolation in schedule:
        z = estimator.shrink(estimator.toward(readings, w, penalty, estimator.energy, *estimator.optics), penalty)
        w, before = z + extrapolation * (z - before), z
    last = estimator.toward(readings, before, schedule[-1][0], estimator.energy, *estimator.optics)
    return estimator.mean + last


@pytest.mark.parametrize("values_together", [1, 150, 10**6])
def test_derivative_is_that_of_the_steps(
    values_together: int,
    make: Any,
    explored: Callable[[Encoder], Encoder],
    images: Callable[..., Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the optics, by mask, row energies and readings; whatever number of images goes through them together."""
    monkeypatch.setattr(splitting, "CACHED_VALUES", values_together)
    encoder = make(torch.float32)
    if isinstance(encoder, SinglePixelEncoder) or (
        isinstance(encoder, CartesianEncoder) and len(encoder.coil_maps) == 1
    ):
        return
    if encoder.weight.requires_grad:
        explored(encoder)
    x = images(encoder, 5, 1)
    shape = tuple(x.shape[1:])
    if isinstance(encoder, CartesianEncoder):
        prior, _ = _fourier_prior((shape[1], shape[2]))
    else:
        prior, _ = _cosine_prior(shape[0], (shape[1], shape[2]))
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(4))
    found: list[list[Tensor]] = []
    for plainly in (False, True):
        y = encoder.A(x).detach().requires_grad_()
        given = [y, encoder.weight] if encoder.weight.requires_grad else [y]
        if plainly:
            coils = isinstance(encoder, CartesianEncoder)
            image = _plain(_by_coils(encoder, prior) if coils else encoder.estimator(prior), y)
        else:
            image = encoder.estimator(prior).estimate(y)
        found.append([image.detach(), *torch.autograd.grad((image * weight).sum(), given)])
    for ours, theirs in zip(*found, strict=True):
        assert float((ours - theirs).norm()) <= 2e-5 * float(theirs.norm())


def test_the_graph_keeps_one_image_for_each_step() -> None:
    from cidesign.modalities.cassi.encoders.designed import Dispersion

    encoder = SdCassiEncoder(torch.rand(4, 6), (4, 6), None, Dispersion((0.0, 1.0, 2.0), "columns", 1), None)
    prior, _ = _cosine_prior(3, (4, 6))
    y = encoder.A(torch.rand(50, 3, 4, 6)).detach()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        encoder.estimator(prior).estimate(y)
    assert sum(kept.values()) < (splitting.ITERATIONS + 2) * 50 * 3 * 4 * 6
