"""Images without training: exact where nothing is cut off or noisy, and the cut known where it is."""

import numpy as np
import pytest
import torch

from cidesign.modalities.lensless import classical
from cidesign.modalities.lensless.classical import admm_tv, wiener
from cidesign.modalities.lensless.encoders.designed import MeasuredEncoder
from cidesign.physics.base import ImagePrior
from cidesign.physics.metrics import psnr_db
from cidesign.physics.noise import PixelNoise

# Nothing is square, and the two channels have different PSFs.
SENSOR, IMAGE = (26, 30), (12, 10)
SIZE = SENSOR[0] + IMAGE[0] - 1, SENSOR[1] + IMAGE[1] - 1


def camera(psf: np.ndarray, light: float) -> MeasuredEncoder:
    response = torch.linspace(1.0, 0.7, IMAGE[0], dtype=torch.float64)[:, None].expand(*IMAGE)
    return MeasuredEncoder(torch.from_numpy(psf), response, PixelNoise(light, 0.0, 1.0))


def compact(light: float = 1e14) -> MeasuredEncoder:
    """A PSF that throws all light on the sensor from all directions: a strong point and weaker ones around it."""
    psf = np.zeros((2, *SIZE))
    middle = SIZE[0] // 2, SIZE[1] // 2
    draws = np.random.default_rng(1)
    for channel in range(2):
        psf[channel, middle[0] - 4 : middle[0] + 5, middle[1] - 6 : middle[1] + 7] = 0.02 * draws.random((9, 13))
        psf[channel, middle[0] + channel, middle[1] - 2 * channel] = 4.0
    return camera(psf, light)


def wide(light: float) -> MeasuredEncoder:
    """A random PSF that fills its plane: most of its light falls beside the sensor."""
    return camera((np.random.default_rng(2).random((2, *SIZE)) < 0.5).astype(float), light)


def prior() -> ImagePrior:
    frequency = torch.arange(IMAGE[0], dtype=torch.float64)[:, None] + torch.arange(IMAGE[1], dtype=torch.float64)
    variance = (0.5 / (1 + frequency) ** 2).expand(2, *IMAGE)
    basis = torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64)
    return ImagePrior(torch.tensor([0.4, 0.6], dtype=torch.float64), basis, variance)


def scenes() -> torch.Tensor:
    """Rectangles of their own in each channel."""
    x = torch.full((2, 2, *IMAGE), 0.3, dtype=torch.float64)
    x[0, 0, 2:7, 1:6], x[0, 1, 5:11, 4:9], x[1, 0, 1:4, 3:9], x[1, 1, 6:10, 2:5] = 0.9, 0.8, 0.7, 0.95
    return x


def measured(encoder: MeasuredEncoder) -> torch.Tensor:
    return encoder(scenes(), torch.Generator().manual_seed(3))


def left(x_hat: torch.Tensor) -> float:
    return float(psnr_db(x_hat, scenes()).mean())


@pytest.mark.parametrize("method", [wiener, admm_tv])
def test_without_noise_and_cut_the_image_is_exact(method) -> None:
    encoder = compact()
    assert float((method(encoder.A(scenes()), encoder, prior()) - scenes()).abs().max()) < 1e-3


def test_all_light_of_a_compact_psf_falls_on_the_sensor() -> None:
    for encoder, expected in ((compact(), 1.0), (wide(1e5), None)):
        plane = classical._Plane.of(encoder, prior())
        share = classical._share(plane, measured(encoder))
        if expected is None:
            assert 0.3 < float(share.min()) <= float(share.max()) < 0.8
        else:
            np.testing.assert_allclose(share.numpy(), expected, atol=1e-9)


def test_the_share_is_that_of_the_operator_s_squares() -> None:
    """Beside the sum of the squares of A over that of a sensor which sees the whole plane."""
    encoder = wide(1e5)
    units = torch.eye(IMAGE[0] * IMAGE[1], dtype=torch.float64).reshape(-1, 1, *IMAGE).expand(-1, 2, -1, -1)
    flat = MeasuredEncoder(encoder.weight.detach(), torch.ones(*IMAGE, dtype=torch.float64))
    seen = flat.A(units).square().sum(dim=(0, 2, 3))
    whole = (flat.weight.detach() * flat.scale).square().sum(dim=(1, 2)) * len(units)
    found = classical._share(classical._Plane.of(flat, prior()), flat.A(units[:1]))[:, 0, 0]
    torch.testing.assert_close(found, seen / whole, rtol=1e-9, atol=0)


@pytest.mark.parametrize("light", [1e4, 1e8])
def test_where_light_is_cut_off_wiener_s_filter_knows_it(light, monkeypatch) -> None:
    encoder = wide(light)
    own = left(wiener(measured(encoder), encoder, prior()))
    monkeypatch.setattr(classical, "_share", lambda plane, y: torch.ones(2, 1, 1, dtype=y.dtype))
    naive = left(wiener(measured(encoder), encoder, prior()))
    assert own > naive + 3
    assert own > left(prior().mean[:, None, None].expand_as(scenes()))


def test_where_light_is_cut_off_the_split_cut_finds_edges() -> None:
    """Nearer than Wiener's filter, and than the same steps that take what is beside the sensor for dark."""
    encoder = wide(1e8)
    y = measured(encoder)
    own = left(admm_tv(y, encoder, prior()))
    assert own > left(wiener(y, encoder, prior())) + 3


def test_more_noise_more_smoothing() -> None:
    weights = [classical.tv_weight(noise, 1.0) for noise in (1e-6, 1e-4, 1e-2, 1.0)]
    assert weights == sorted(weights)
    # In little light the weight goes with the variance, in much with the deviation.
    assert weights[3] == pytest.approx(3.0)
    assert weights[1] / weights[0] == pytest.approx(10.0)


def test_the_laplacian_is_that_of_the_slopes() -> None:
    v = torch.randn(1, 1, 9, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    twice = classical._slopes_adjoint(classical._slopes(v))
    by_spectrum = torch.fft.irfft2(torch.fft.rfft2(v) * classical._laplacian((9, 8), v), s=(9, 8))
    torch.testing.assert_close(twice, by_spectrum)
