"""What a scan of the drawn phantom tells: orientation, drift of the phase, shift."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import centred_fft, centred_ifft
from cidesign.calibration.mri.phantom import (
    PhantomScan,
    as_acquired,
    draw_phantom,
    find_orientations,
    fit_readouts,
    interleaved,
    mirrored,
)
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.orientation import ORIENTATIONS, Orientation

SIDE, COILS, NOISE = 32, 4, 0.01


def phantom_scan(order: NDArray[np.int64], moved: float, drift_degrees: float, orientation: Orientation) -> PhantomScan:
    drawing = draw_phantom(SIDE, SIDE)
    image = as_acquired(drawing, orientation)
    k = centred_fft(coil_maps(COILS, SIDE, 2) * image, (-2, -1)).astype(np.complex128)
    k *= np.exp(-2j * np.pi * moved * (np.arange(SIDE) - SIDE // 2) / SIDE)[:, None]
    k = k[:, order] * np.exp(1j * np.deg2rad(drift_degrees) * np.arange(SIDE) / (SIDE - 1))[:, None]
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, *k.shape)) * NOISE
    return PhantomScan((k + noise[0] + 1j * noise[1]).astype(np.complex64), order, drawing)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_all_eight_orientations_are_told_apart(orientation: Orientation) -> None:
    scan = phantom_scan(interleaved(SIDE), 0.0, 0.0, orientation)
    best, second = find_orientations(scan)[:2]
    assert best.orientation == orientation
    assert best.correlation - second.correlation > 0.3
    assert fit_readouts(scan, best, 2 * NOISE**2).relative_residual < 0.01


@pytest.mark.parametrize("drift", [-300.0, -90.0, 0.0, 45.0, 300.0])
@pytest.mark.parametrize("moved", [0.0, 2.5, -6.0])
def test_drift_and_shift_are_told_apart(drift: float, moved: float) -> None:
    scan = phantom_scan(interleaved(SIDE), moved, drift, Orientation())
    fit = fit_readouts(scan, find_orientations(scan)[0], 2 * NOISE**2)
    assert np.rad2deg(fit.drift_rad_per_readout) * (SIDE - 1) == pytest.approx(drift, abs=2)
    assert fit.shift_px == pytest.approx(moved, abs=0.05)
    assert fit.relative_residual < 0.01


def test_lines_in_rising_order_leave_the_drift_open() -> None:
    scan = phantom_scan(np.arange(SIDE), 0.0, 60.0, Orientation())
    assert not scan.separable
    fit = fit_readouts(scan, find_orientations(scan)[0], 2 * NOISE**2)
    # It is a shift then, by one pixel for one turn.
    assert fit.drift_rad_per_readout == 0
    assert fit.shift_px == pytest.approx(-60 / 360, abs=0.03)


@pytest.mark.parametrize("count", [8, 9])
def test_a_reversed_axis_is_that_of_a_reversed_gradient(count: int) -> None:
    rng = np.random.default_rng(1)
    image = (rng.standard_normal((count, 3)) + 1j * rng.standard_normal((count, 3))).astype(np.complex64)
    reversed_k = centred_fft(image, (-2, -1))[mirrored(count)]
    np.testing.assert_allclose(centred_ifft(reversed_k, (-2, -1)), image[mirrored(count)], atol=1e-5)
