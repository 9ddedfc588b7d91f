"""Scores inside the object, on the reference's own scale."""

import numpy as np
import pytest

from cidesign.errors import FileError
from cidesign.modalities.mri.score import object_mask, score_mri


def disc(side: int = 48) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2
    image = (np.hypot(x, y) < side / 3).astype(np.float32)
    image[np.hypot(x, y) < side / 8] = 0  # a hole in the object belongs to it
    return 5 * image


def test_the_object_is_filled_and_the_air_is_left_out() -> None:
    mask = object_mask(disc())
    assert mask[24, 24]
    assert not mask[:4].any()
    assert 0.35 < mask.mean() < 0.5
    with pytest.raises(FileError, match="shows no object"):
        object_mask(np.zeros((16, 16), dtype=np.float32))


def test_only_what_is_inside_counts() -> None:
    reference, mask = disc(), object_mask(disc())
    noisy = reference.copy()
    noisy[~mask] += 3
    assert score_mri(noisy, reference, mask).psnr_db is None
    off = reference + 0.5 * mask.astype(np.float32)
    found = score_mri(off, reference, mask)
    assert found.psnr_db == pytest.approx(20, abs=1e-3)  # 0.5 of a peak of 5
    assert found.ssim is not None
    assert found.ssim < 0.99
    # A bright pixel outside moves nothing.
    beside = reference.copy()
    beside[0, 0] = 100
    assert score_mri(off, beside, mask).psnr_db == pytest.approx(20, abs=1e-3)


def test_detail_is_scored_apart() -> None:
    rng = np.random.default_rng(0)
    reference = disc() * (1 + 0.3 * rng.standard_normal((48, 48)).astype(np.float32))
    mask = object_mask(reference)
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(reference, 2.0)
    assert score_mri(blurred, reference, mask).hfen_db > -4
    assert score_mri(reference * np.float32(1.01), reference, mask).hfen_db < -30


def test_small_images_have_no_similarity() -> None:
    reference = disc(8)
    assert score_mri(reference * np.float32(0.9), reference, np.ones((8, 8), dtype=bool)).ssim is None
