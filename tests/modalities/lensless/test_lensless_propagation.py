"""Light behind masks, beside closed forms: Fresnel's integrals of a slit, and Talbot's images of a grating."""

import numpy as np
import pytest
import torch
from scipy.special import fresnel

from cidesign.calibration.lensless.optics import Geometry, Lines
from cidesign.modalities.lensless.encoders.propagation import Propagation

WAVELENGTH_UM = 0.55


def psf(levels: np.ndarray, geometry: Geometry) -> np.ndarray:
    lines = [Lines(np.array([WAVELENGTH_UM]), np.ones(1))]
    return Propagation(geometry, lines, "waves").psf(torch.from_numpy(levels.astype(float))[None])[0, 0].numpy()


def test_a_slit_has_the_intensity_of_fresnels_integrals() -> None:
    """|F(u1) - F(u2)|^2 / 2 across a slit, u = (2 / (lambda d))^1/2 (x -+ a / 2), averaged over samples."""
    distance_um, sample_um, width = 4000.0, 20.0, 20
    # Long enough along the slit that its ends do not count in its middle.
    geometry = Geometry((400, width), 10.0, distance_um, sample_um, (1, 21), (1, 21))
    found = psf(np.ones(geometry.code), geometry)[0]
    fine = np.arange(-20.5 * 50, 20.5 * 50) + 0.5
    places_um = fine * sample_um / 50
    edges = np.sqrt(2 / (WAVELENGTH_UM * distance_um)) * (places_um[None] + np.array([[-0.5], [0.5]]) * width * 10.0)
    sines, cosines = fresnel(edges)
    across = 0.5 * ((sines[1] - sines[0]) ** 2 + (cosines[1] - cosines[0]) ** 2)
    wanted = across.reshape(-1, 50).mean(axis=1)
    # Along the slit, 4 mm of it leave ripples of some percent.
    assert np.abs(found - wanted).max() < 0.05 * wanted.max()


@pytest.mark.parametrize(("share", "shifted"), [(1.0, False), (0.5, True)])
def test_a_grating_has_talbots_images(share, shifted) -> None:
    """At 2 p^2 / lambda a grating of period p is seen again, at half of that displaced by half a period."""
    period, pitch_um = 8, 10.0
    talbot_um = 2 * (period * pitch_um) ** 2 / WAVELENGTH_UM
    bars = np.zeros((480, 480))
    bars[:, (np.arange(480) % period) < period // 2] = 1
    geometry = Geometry((480, 480), pitch_um, share * talbot_um, pitch_um, (1, 33), (1, 32))
    found = psf(bars, geometry)[0]
    # The 64 samples in the middle are those of the code pixels there.
    drawn = bars[0, 208:272]
    wanted = np.roll(drawn, period // 2) if shifted else drawn
    correlation = np.corrcoef(found, wanted)[0, 1]
    assert correlation > 0.9
    assert np.corrcoef(found, 1 - wanted)[0, 1] < -0.9


def rayleigh_sommerfeld(levels: np.ndarray, pitch_um: float, distance_um: float, places_um: np.ndarray) -> np.ndarray:
    """|U|^2 at places (n, 2) behind a mask in a plane wave, by the first Rayleigh-Sommerfeld integral as a plain sum.

    U = (1 / 2 pi) sum dS (d / r^2) (1 / r - i k) exp(i k r)   (Goodman, Introduction to Fourier Optics, section 3.5).
    """
    fine = 40
    step_um, k = pitch_um / fine, 2 * np.pi / WAVELENGTH_UM
    source = np.repeat(np.repeat(levels.astype(float), fine, axis=0), fine, axis=1)
    rows, columns = ((np.arange(count) + 0.5 - count / 2) * step_um for count in source.shape)
    found = []
    for down, across in places_um:
        r = np.sqrt((rows[:, None] - down) ** 2 + (columns - across) ** 2 + distance_um**2)
        wave = distance_um / r**2 * (1 / r - 1j * k) * np.exp(1j * k * r)
        found.append(abs((source * wave).sum() * step_um**2 / (2 * np.pi)) ** 2)
    return np.array(found)


@pytest.mark.parametrize("distance_um", [1500.0, 3000.0])
def test_light_is_that_of_the_rayleigh_sommerfeld_sum(distance_um) -> None:
    """Fresnel numbers of 0.48 and 0.24 of a code pixel; nothing of the mask or of the places is symmetric."""
    levels = np.zeros((9, 7))
    levels[1:4, 2], levels[6, 1:6], levels[4, 5] = 1, 1, 1
    pitch_um, sample_um = 20.0, 5.0
    geometry = Geometry(levels.shape, pitch_um, distance_um, sample_um, (1, 41), (37, 1))
    found = psf(levels, geometry)
    rows, columns = ((np.arange(count) - (count - 1) / 2) * sample_um for count in found.shape)
    chosen = [(4, 9), (11, 20), (18, 17), (21, 24), (30, 12), (25, 31)]
    wanted = []
    for row, column in chosen:
        # A sample's mean, by the middles of 25 parts of it.
        parts = (np.arange(5) - 2) * sample_um / 5
        offsets = np.stack(np.meshgrid(parts, parts), axis=-1).reshape(-1, 2)
        wanted.append(
            rayleigh_sommerfeld(levels, pitch_um, distance_um, offsets + np.array([rows[row], columns[column]])).mean()
        )
    assert max(wanted) > 5 * min(wanted)
    np.testing.assert_allclose([found[place] for place in chosen], wanted, rtol=0, atol=0.02 * max(wanted))
