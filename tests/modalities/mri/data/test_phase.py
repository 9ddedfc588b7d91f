"""The phase of slices: the field of air follows the physics, and real scans lie within what is drawn."""

from pathlib import Path

import numpy as np
import pytest

from cidesign.calibration.mri.kspace import centred_fft, centred_ifft
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.modalities.mri.data.image_files import read_volume
from cidesign.modalities.mri.data.phantoms import phantom_slices
from cidesign.modalities.mri.data.phase import SyntheticPhase, air_phase, body_field
from cidesign.modalities.mri.settings import Echo

SHARED = Path(__file__).parents[4].parent / "shared" / "data" / "mri"
SIDE = 64
ECHOES: tuple[Echo, ...] = ("spin", "any", "gradient")


def _disc(side: int, radius: float) -> np.ndarray:
    at = np.arange(side) - side // 2
    return (np.hypot(at[:, None], at) <= radius).astype(np.float32)


@pytest.mark.parametrize("angle", [0.0, np.pi / 3, np.pi / 2])
def test_a_cylinder_across_the_field(angle: float) -> None:
    """Inside it is even; outside a^2 cos(2 theta) / 2 r^2 more than far away, which is 1/6 more than inside."""
    side, radius = 256, 20.0
    field = body_field(_disc(side, radius), angle)
    centre = side // 2
    inside = field[_disc(side, radius - 4) > 0]
    assert abs(inside.mean()) < 0.01
    assert inside.std() < 0.01
    for turn in (0.0, np.pi / 4, np.pi / 2):
        for distance in (30, 45):
            down, across = distance * np.cos(angle + turn), distance * np.sin(angle + turn)
            found = field[centre + round(down), centre + round(across)]
            r = np.hypot(round(down), round(across))
            theta = np.arctan2(round(across), round(down)) - angle
            assert found == pytest.approx(1 / 6 + radius**2 * np.cos(2 * theta) / (2 * r**2), abs=0.02)


def test_air_alone_and_a_body_without_air_have_no_field() -> None:
    np.testing.assert_array_equal(body_field(np.zeros((16, 16), dtype=np.float32), 0.3), 0)
    assert np.isfinite(air_phase(np.random.default_rng(2), np.zeros((16, 16), dtype=np.float32))).all()


def _symmetry(images: np.ndarray) -> np.ndarray:
    """Of the lines that partial Fourier leaves out, how well each follows from its mirror image (M,), 1: exactly.

    The phase is that of 16 central lines, as a reconstruction would take it.
    """
    side = images.shape[-1]
    index = (side - np.arange(side)) % side
    window = np.zeros(side)
    window[side // 2 - 8 : side // 2 + 8] = np.hanning(18)[1:-1]
    k = centred_fft(images, (-2, -1))
    rough = centred_ifft(k * window[:, None], (-2, -1))
    k = centred_fft(images * np.exp(-1j * np.angle(rough)), (-2, -1))
    mirrored = k[:, index][:, :, index]
    energy, other = (abs(k) ** 2).sum(axis=2), (abs(mirrored) ** 2).sum(axis=2)
    outer = slice(side // 2 + 4, side // 2 + 16)
    found = abs((k * mirrored).sum(axis=2)) / np.sqrt(energy * other).clip(1e-12) * energy
    return np.asarray(found[:, outer].sum(axis=1) / energy[:, outer].sum(axis=1))


def _complex(slices: np.ndarray) -> np.ndarray:
    whole: np.ndarray = slices[:, 0].astype(np.float32) + 1j * slices[:, 1].astype(np.float32)
    return whole


@pytest.fixture(scope="module")
def symmetry() -> np.ndarray:
    return _symmetry(_complex(phantom_slices(192, SIDE, 4, "any")))


def test_some_slices_follow_from_half_of_their_lines_and_some_do_not(symmetry: np.ndarray) -> None:
    assert np.percentile(symmetry, 90) > 0.97
    assert np.percentile(symmetry, 10) < 0.6
    assert 0.7 < symmetry.mean() < 0.9


def test_of_spin_echoes_all_are_smooth() -> None:
    images = _complex(phantom_slices(48, SIDE, 4, "spin"))
    assert _symmetry(images).mean() > 0.95
    strong = (abs(images[:, :, 1:]) > 0.1) & (abs(images[:, :, :-1]) > 0.1)
    steps = np.angle(images[:, :, 1:] * images[:, :, :-1].conj())[strong]
    assert np.percentile(abs(steps), 99) < 0.25 * 96 / SIDE
    assert np.abs(np.mean(images / np.maximum(abs(images), 1e-9), axis=(1, 2))).min() < 0.5


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real scans are not here")
def test_real_scans_lie_within_what_is_drawn(symmetry: np.ndarray) -> None:
    """A brain by echo-planar imaging, and a phantom by a gradient echo, at 64 x 64."""
    brain = read_volume(SHARED / "complex.nii.gz").slices
    strength = np.sqrt((abs(brain) ** 2).mean(axis=(1, 2)))
    found = _symmetry(brain[strength > 0.1 * strength.max()])
    low, high = np.percentile(symmetry, [2, 98])
    assert (found > low).mean() > 0.95
    assert (found < high).mean() > 0.95
    assert np.median(found) < 0.95  # as smooth as a spin echo it is not
    pytest.importorskip("twixtools", reason="the extra 'mri' is not installed")
    k = read_kspace(SHARED / "twix_gre.dat").placed()
    middle = slice(80 - SIDE // 2, 80 + SIDE // 2)
    assert (_symmetry(centred_ifft(k[:, middle, middle], (-2, -1))) > low).all()


def test_made_up_phase_is_of_the_image() -> None:
    """The same for the same image and turn; of the magnitude's own air where it is a gradient echo."""
    disc, other = _disc(32, 10), _disc(32, 6)
    gradient, spin = SyntheticPhase(32, 5, "gradient"), SyntheticPhase(32, 5, "spin")
    for made in (gradient, spin):
        np.testing.assert_array_equal(made.of(disc, "a7"), made.of(disc, "a7"))
        np.testing.assert_allclose(abs(made.of(disc, "a7")), 1, atol=1e-6)
        assert (made.of(disc, "a7", 1) != made.of(disc, "a7")).any()
    assert abs(np.angle(gradient.of(disc, "a7") * gradient.of(other, "a7").conj())).std() > 1e-3
    np.testing.assert_array_equal(spin.of(disc, "a7"), spin.of(other, "a7"))


def test_half_of_any_are_the_spin_echoes_themselves() -> None:
    drawn = {echo: phantom_slices(96, 32, 4, echo) for echo in ECHOES}
    same = {echo: (drawn["any"] == drawn[echo]).all(axis=(1, 2, 3)) for echo in ("spin", "gradient")}
    assert 0.35 < same["spin"].mean() < 0.65
    np.testing.assert_array_equal(same["spin"], ~same["gradient"])
    # Contrast is lower, and nothing else about what is there.
    magnitude, lower = (abs(_complex(drawn[echo])) for echo in ("spin", "gradient"))
    np.testing.assert_allclose(lower.max(axis=(1, 2)), 1, atol=2e-3)
    np.testing.assert_array_equal(lower == 0, magnitude == 0)
    body = magnitude > 0.1
    spread = [
        np.array([(one[inside].std() / one[inside].mean()) for one, inside in zip(part, body, strict=True)])
        for part in (magnitude, lower)
    ]
    assert (spread[1] < spread[0] + 1e-3).all()
    assert np.median(spread[1]) < 0.8 * np.median(spread[0])
