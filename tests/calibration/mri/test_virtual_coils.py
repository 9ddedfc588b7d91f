"""Many coils as a few orthonormal combinations: how many, what they keep, and that their noise stays white."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.mri.coils import places_of_kernel, require_places
from cidesign.calibration.mri.virtual_coils import FEW_COILS, covariance_of, leading, strongest
from cidesign.errors import FileError

ENERGIES = np.array([100.0, 50.0, 20.0, 10.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.25, 0.125])


def _unitary(size: int) -> NDArray[np.complex128]:
    draws = np.random.default_rng(1).normal(size=(2, size, size))
    return np.asarray(np.linalg.qr(draws[0] + 1j * draws[1])[0])


def _covariance(energies: NDArray[np.float64] = ENERGIES) -> NDArray[np.complex128]:
    turn = _unitary(len(energies))
    return np.asarray(turn @ np.diag(energies) @ turn.conj().T)


@pytest.mark.parametrize(("lost", "count"), [(0.1, None), (0.2, 11), (0.5, 10), (1.0, 9), (2.0, 8), (80.0, FEW_COILS)])
def test_as_few_as_leave_out_no_more_than_allowed(lost: float, count: int | None) -> None:
    found = strongest(_covariance(), lost)
    assert (None if found is None else len(found.matrix)) == count
    if found is not None:
        np.testing.assert_allclose(found.matrix @ found.matrix.conj().T, np.eye(len(found.matrix)), atol=1e-12)
        assert found.kept == pytest.approx(ENERGIES[:count].sum() / ENERGIES.sum())


def test_noise_is_no_signal() -> None:
    found = strongest(_covariance(ENERGIES + 3.0), 1.0, 3.0)
    assert found is not None
    assert len(found.matrix) == 9
    assert found.kept == pytest.approx(ENERGIES[:9].sum() / ENERGIES.sum())


def test_few_coils_stay_as_they_are() -> None:
    assert strongest(_covariance(ENERGIES[:FEW_COILS]), 50.0) is None


def test_signal_of_few_dimensions_is_kept_whole_and_noise_stays_white() -> None:
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(2, 9, 500))
    signal = _unitary(16)[:, :9] @ (draws[0] + 1j * draws[1])
    found = strongest(covariance_of(signal), 1e-9)
    assert found is not None
    assert len(found.matrix) == 9
    np.testing.assert_allclose(found.matrix.conj().T @ found.combine(signal), signal, atol=1e-5)
    noise = rng.normal(size=(2, 16, 200_000))
    mixed = covariance_of(leading(_covariance(), 5).combine(noise[0, :12] + 1j * noise[1, :12]))
    np.testing.assert_allclose(mixed, 2 * np.eye(5), atol=0.03)


def test_more_coils_than_places_of_the_kernel_are_refused() -> None:
    """7 lines of 24 samples: a kernel of 4 x 4 lies in 4 x 21 places."""
    assert places_of_kernel(6, 64) is None
    assert places_of_kernel(7, 64) == 4 * 21
    assert places_of_kernel(11, 8) == 6 * 3
    require_places(Path("scan.h5"), np.zeros((84, 7, 24), np.complex64), 4)
    with pytest.raises(FileError, match=r"scan.h5: 85 coils, but 7 calibration lines of 24 samples have 84 places"):
        require_places(Path("scan.h5"), np.zeros((85, 7, 24), np.complex64), 4)
