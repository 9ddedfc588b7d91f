"""Image quality: the definitions, one image at a time."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from cidesign.physics.metrics import DARK_LEVEL, high_frequency_error_db, magnitude, psnr_db, sam_degrees, ssim


def test_psnr_is_of_each_image_with_range_one() -> None:
    x = torch.zeros(2, 1, 8, 8)
    x_hat = torch.stack([torch.full((1, 8, 8), 0.1), torch.full((1, 8, 8), 0.01)])
    np.testing.assert_allclose(psnr_db(x_hat, x), [20, 40], rtol=1e-5)


def test_ssim_of_an_image_with_itself_and_with_its_mirror() -> None:
    x = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(ssim(x, x), 1, atol=1e-5)
    assert ssim(x.flip(3), x).max() < 0.3
    assert ssim(x, x).shape == (3,)


def test_ssim_agrees_with_the_formula_on_flat_images() -> None:
    # Without structure only the luminance term remains: (2 a b + c) / (a^2 + b^2 + c), c = 0.01^2.
    a, b, c = 0.3, 0.6, 1e-4
    value = ssim(torch.full((1, 1, 24, 24), a), torch.full((1, 1, 24, 24), b))
    assert float(value) == pytest.approx((2 * a * b + c) / (a * a + b * b + c), rel=1e-3)


def test_psnr_and_ssim_are_over_all_channels() -> None:
    generator = torch.Generator().manual_seed(2)
    x, x_hat = torch.rand(2, 5, 24, 20, generator=generator), torch.rand(2, 5, 24, 20, generator=generator)
    each = torch.stack([ssim(x_hat[:, [band]], x[:, [band]]) for band in range(5)])
    torch.testing.assert_close(ssim(x_hat, x), each.mean(dim=0))
    errors = torch.stack([10 ** (-psnr_db(x_hat[:, [band]], x[:, [band]]) / 10) for band in range(5)])
    torch.testing.assert_close(psnr_db(x_hat, x), -10 * errors.mean(dim=0).log10())


def test_magnitude_of_complex_images() -> None:
    x = torch.zeros(1, 2, 3, 4)
    x[0, 0, 1, 2], x[0, 1, 1, 2] = 0.3, -0.4
    assert magnitude(x).shape == (1, 1, 3, 4)
    assert float(magnitude(x)[0, 0, 1, 2]) == pytest.approx(0.5)
    assert float(magnitude(x).sum()) == pytest.approx(0.5)
    # A global phase is an error of the complex image and none of its magnitude.
    turned = torch.stack([-x[:, 1], x[:, 0]], dim=1)
    assert psnr_db(turned, x) < 20
    assert psnr_db(magnitude(turned), magnitude(x)) == pytest.approx(120)
    with pytest.raises(ValueError, match="2 channels, not 3"):
        magnitude(torch.zeros(1, 3, 4, 4))


def test_spectral_angle_of_known_spectra() -> None:
    spectrum = torch.tensor([0.2, 0.5, 0.9, 0.1])
    across = torch.tensor([0.5, -0.2, 0.1, -0.9])  # orthogonal to it
    x = spectrum[None, :, None, None].expand(4, 4, 6, 5)
    x_hat = torch.stack([0.3 * spectrum, across, -2 * spectrum, spectrum + across * spectrum.norm() / across.norm()])
    angles = sam_degrees(x_hat[:, :, None, None].expand(4, 4, 6, 5), x)
    np.testing.assert_allclose(angles, [0, 90, 180, 45], atol=1e-4)


def test_spectral_angle_leaves_out_what_is_dark() -> None:
    x = torch.zeros(3, 4, 2, 2)
    x_hat = torch.rand(3, 4, 2, 2, generator=torch.Generator().manual_seed(4))
    x[0, 1, 0, 0] = 0.5
    x_hat[0, :, 0, 0] = torch.tensor([0.0, 0.7, 0.0, 0.0])  # right where there is light
    x[1, :, 0, 1] = 2 * DARK_LEVEL
    x_hat[1] = 0.0
    angles = sam_degrees(x_hat, x)
    np.testing.assert_allclose(angles[:2], [0, 90], atol=1e-6)
    assert torch.isnan(angles[2])
    x[0, 0, 1, 1] = 1.9 * DARK_LEVEL  # root mean square of 0.95 of the level
    assert sam_degrees(x_hat, x)[0] == pytest.approx(0, abs=1e-6)


def _log_by_scipy(image: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_laplace(image.astype(np.float64), 1.5, mode="nearest", truncate=7 / 1.5)


def test_high_frequency_error_is_that_of_another_library() -> None:
    rng = np.random.default_rng(5)
    x, x_hat = rng.random((2, 3, 20, 31)), rng.random((2, 3, 20, 31))
    wanted = []
    for image, truth in zip(x_hat, x, strict=True):
        error = sum((_log_by_scipy(a - b) ** 2).sum() for a, b in zip(image, truth, strict=True))
        detail = sum((_log_by_scipy(b) ** 2).sum() for b in truth)
        wanted.append(10 * np.log10(error / detail))
    got = high_frequency_error_db(torch.tensor(x_hat), torch.tensor(x))
    np.testing.assert_allclose(got, wanted, atol=0.01)


def test_high_frequency_error_sees_detail_only() -> None:
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(6))
    # A flat image misses all the detail, an offset none of it, and half of the contrast is 6.02 dB.
    assert float(high_frequency_error_db(torch.full_like(x, 0.5), x)) == pytest.approx(0, abs=1e-4)
    assert float(high_frequency_error_db(x + 0.3, x)) < -80
    assert float(high_frequency_error_db(0.5 * x, x)) == pytest.approx(-6.02, abs=0.01)
    coarse = functional.interpolate(functional.avg_pool2d(x, 8), scale_factor=8, mode="bilinear")
    assert float(high_frequency_error_db(coarse, x)) > -1
    assert torch.isfinite(high_frequency_error_db(torch.zeros(1, 2, 9, 9), torch.ones(1, 2, 9, 9))).all()
