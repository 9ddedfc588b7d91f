"""Filters of cosines against the DCT of scipy."""

import numpy as np
import pytest
import scipy.fft
import torch

from cidesign.physics import cosine_filter
from cidesign.physics.cosine_filter import CosineFilter, dct_matrix


def test_dct_is_scipys() -> None:
    x = np.random.default_rng(0).random((9, 9))
    basis = dct_matrix(9).double().numpy()
    np.testing.assert_allclose(basis @ x @ basis.T, scipy.fft.dctn(x, norm="ortho"), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (9, 7), (8, 7), (9, 6), (12, 10), (128, 130)])
@pytest.mark.parametrize("fast", [False, True])
def test_a_filter_is_that_of_scipy(size: tuple[int, int], fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd and even numbers of rows and columns, by matrices and by Fourier transforms; each plane by its own."""
    monkeypatch.setattr(cosine_filter, "FAST_SIDE", 1 if fast else 10**6)
    rng = np.random.default_rng(1)
    x, weights = rng.normal(size=(2, 3, *size)), rng.random((3, *size))
    wanted = scipy.fft.idctn(weights * scipy.fft.dctn(x, norm="ortho", axes=(2, 3)), norm="ortho", axes=(2, 3))
    one = CosineFilter(size, torch.zeros((), dtype=torch.float64))
    found = one.apply(torch.from_numpy(x), one.prepared(torch.from_numpy(weights)))
    np.testing.assert_allclose(found, wanted, atol=1e-12 if fast else 1e-5)
    single = CosineFilter(size, torch.zeros(()))
    found = single.apply(torch.from_numpy(x).float(), single.prepared(torch.from_numpy(weights).float()))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)
