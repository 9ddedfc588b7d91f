"""Scores: worked by hand, or against another implementation."""

import cv2
import numpy as np
import pytest

from cidesign.modalities.single_pixel.score import score


def _pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = cv2.GaussianBlur(rng.random((32, 32)), (0, 0), 2.0)
    return truth + 0.05 * rng.normal(size=(32, 32)), truth


def test_psnr_by_hand() -> None:
    assert score(np.full((2, 2), 0.6), np.full((2, 2), 0.5)).psnr_db == pytest.approx(20.0)
    assert score(np.full((2, 2), 0.5), np.full((2, 2), 0.5)).psnr_db is None


def test_nothing_is_rescaled_or_clipped() -> None:
    image, truth = _pictures()
    assert score(2 * image, truth).psnr_db == pytest.approx(-10 * np.log10(np.mean((2 * image - truth) ** 2)))
    assert score(image - 1, truth).psnr_db == pytest.approx(-10 * np.log10(np.mean((image - 1 - truth) ** 2)))


def test_correlation() -> None:
    image, truth = _pictures()
    assert score(image, truth).correlation == pytest.approx(np.corrcoef(image.ravel(), truth.ravel())[0, 1])
    assert score(-3 * truth + 1, truth).correlation == pytest.approx(-1)
    assert score(np.zeros((16, 16)), truth[:16, :16]).correlation is None


def test_ssim_against_its_formula() -> None:
    """Wang et al. 2004 with OpenCV's Gaussian of 11 x 11, 1.5 px; beyond the edge the picture is mirrored."""
    image, truth = _pictures()

    def blur(array: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(array, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT_101)

    mean_x, mean_y = blur(image), blur(truth)
    var_x, var_y = blur(image**2) - mean_x**2, blur(truth**2) - mean_y**2
    cov = blur(image * truth) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    wanted = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    assert score(image, truth).ssim == pytest.approx(wanted.mean(), abs=1e-4)
    assert score(truth, truth).ssim == pytest.approx(1)
    assert score(image[:8, :8], truth[:8, :8]).ssim is None
