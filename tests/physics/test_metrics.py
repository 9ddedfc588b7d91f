"""Image quality: the definitions, one image at a time."""

import numpy as np
import pytest
import torch

from cidesign.physics.metrics import psnr_db, ssim


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
