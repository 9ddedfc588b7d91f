"""Several slices in one file: their order in space, their numbers, and what they say together."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import RawKspace
from cidesign.calibration.mri.place import ImagePlace
from cidesign.calibration.mri.raw.readers import read_kspace, read_slices
from cidesign.calibration.mri.slices import by_place, of_slice, stack_place
from cidesign.calibration.mri.stack import merged
from cidesign.calibration.verify import Verification
from cidesign.checks import Check, Status
from cidesign.errors import InputError, LimitError

SLICES, COILS, LINES, SAMPLES = 3, 2, 12, 10
UP = np.array([0.0, 0.0, 1.0])


def volume() -> NDArray[np.complex64]:
    draws = np.random.default_rng(3).standard_normal((2, SLICES, COILS, LINES, SAMPLES))
    return (draws[0] + 1j * draws[1]).astype(np.complex64)


def places(heights_mm: list[float], tilt: float = 0.0, thick_mm: float = 3.0) -> list[ImagePlace]:
    normal = np.array([np.sin(tilt), 0.0, np.cos(tilt)])
    read = np.array([np.cos(tilt), 0.0, -np.sin(tilt)])
    phase = np.array([0.0, 1.0, 0.0])
    fov_mm = (200.0, 200.0, thick_mm)
    return [
        ImagePlace(np.array([5.0, -7.0, 0.0]) + height * normal, read, phase, normal, fov_mm) for height in heights_mm
    ]


def test_interleaved_slices_lie_in_the_order_of_space() -> None:
    """Measured 0, 2, 4, 1, 3 and numbered in that order of time."""
    heights = {0: 0.0, 1: 8.0, 2: 16.0, 3: 4.0, 4: 12.0}
    assert by_place({number: height * UP for number, height in heights.items()}) == (0, 3, 1, 4, 2)
    downwards = {number: -height * UP for number, height in heights.items()}
    assert by_place(downwards) == (2, 4, 1, 3, 0)
    oblique = {number: height * np.array([0.6, 0.0, 0.8]) for number, height in heights.items()}
    assert by_place(oblique) == (0, 3, 1, 4, 2)


@pytest.mark.parametrize("known", [None, np.full(3, np.nan), np.zeros(3)])
def test_slices_without_a_place_lie_in_the_order_of_their_numbers(known: NDArray[np.float64] | None) -> None:
    assert by_place(dict.fromkeys((10, 2, 0, 33), known)) == (0, 2, 10, 33)
    assert by_place({10: None, 2: UP, 0: 5 * UP}) == (0, 2, 10)


def test_an_even_stack_has_a_place() -> None:
    """NIfTI counts to the right and the front, headers to the left and the back."""
    found, said = stack_place(places([0.0, 3.9, 7.8]))
    assert found is not None
    assert found.spacing_mm == pytest.approx(3.9)
    assert found.gap_mm == pytest.approx(0.9)
    assert said == "slices of 3 mm, 3.9 mm from middle to middle (a gap of 0.9 mm)"
    affine = found.affine(20, 10)
    np.testing.assert_allclose(affine[:3, 2], [0, 0, 3.9], atol=1e-12)
    # The middle of the field of view is on pixel (lines // 2, samples // 2), in every slice.
    for number in range(3):
        np.testing.assert_allclose(affine @ [5, 10, number, 1], [-5, 7, 3.9 * number, 1], atol=1e-9)
    tilted, _ = stack_place(places([0.0, 2.0], tilt=0.3))
    assert tilted is not None
    np.testing.assert_allclose(tilted.affine(8, 8)[:3, 2], [-2 * np.sin(0.3), 0, 2 * np.cos(0.3)], atol=1e-12)
    assert tilted.gap_mm == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("stack", "why"),
    [
        ([*places([0.0, 4.0, 12.0])], "not evenly spaced (4.00 to 8.00 mm apart)"),
        ([*places([0.0]), *places([4.0], tilt=0.2)], "not parallel"),
        ([*places([0.0, 0.0, 0.0])], "all slices at the same place"),
        ([*places([0.0, 4.0]), None], "do not say where"),
        ([*places([0.0])], "do not say where"),
    ],
)
def test_a_stack_that_a_header_cannot_hold_has_none(stack: list[ImagePlace | None], why: str) -> None:
    found, said = stack_place(stack)
    assert found is None
    assert why in said


def test_arrays_of_slices_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "k.npy"
    np.save(path, volume())
    found = read_slices(path)
    assert found.numbers == (0, 1, 2)
    for number in found.numbers:
        raw = found.one(number)
        assert raw.slice_number == number
        np.testing.assert_array_equal(raw.k, volume()[number])
    assert len({found.one(number).digest for number in found.numbers}) == 3
    with pytest.raises(InputError, match="holds slices 0, 1, 2; choose one with --set slice_index=N"):
        read_kspace(path)
    with pytest.raises(InputError, match="holds no slice 3; there are slices 0, 1, 2"):
        read_kspace(path, 3)


def test_one_slice_missing_lines_is_named_by_its_number(tmp_path: Path) -> None:
    k = volume()
    k[1, :, 4] = 0
    np.save(tmp_path / "k.npy", k)
    found = read_slices(tmp_path / "k.npy")
    assert [len(found.one(number).lines) for number in found.numbers] == [LINES, LINES - 1, LINES]

    def refused() -> RawKspace:
        with of_slice(1):
            raise LimitError("k.npy: 11 lines", fault="coil-loss")

    with pytest.raises(LimitError, match=r"^slice 1: k\.npy: 11 lines") as error:
        refused()
    assert error.value.fault == "coil-loss"


def _verified(status: Status, value: float, score: float | None = 0.1) -> Verification:
    fault = "coil-loss" if status == "failed" else None
    checks = [
        Check(name="signal of the coils", status=status, text=f"found {value:g}", value=value, fault=fault),
        Check(name="echo", status="passed", text="near the middle"),
    ]
    return Verification(score=score, score_meaning="held-out lines", checks=checks)


def test_a_stack_is_as_good_as_its_worst_slice() -> None:
    found = merged({0: _verified("passed", 1.0), 3: _verified("failed", 2.0, 0.4), 12: _verified("failed", -3.0)})
    assert (found.verdict, found.score) == ("failed", 0.4)
    signal, echo = found.checks
    assert (signal.status, signal.value, signal.fault) == ("failed", -3.0, "coil-loss")
    assert signal.text == "slices 3, 12; of slice 12: found -3"
    assert (echo.status, echo.text) == ("passed", "all 3 slices: near the middle")


@pytest.mark.parametrize(
    ("status", "limit", "values", "worst"),
    [
        ("passed", 0.25, (0.01, 0.2, 0.1), 0.2),  # must be small
        ("failed", 0.25, (0.3, 0.9, 0.5), 0.9),
        ("corrected", 1.0, (3.0, 1.5, 2.0), 3.0),
        ("passed", 0.05, (0.3, 0.07, 0.2), 0.07),  # must be large, as a margin
        ("failed", 0.05, (0.04, 0.01, 0.02), 0.01),
    ],
)
def test_the_worst_value_is_told_whether_it_must_be_small_or_large(
    status: Status, limit: float, values: tuple[float, ...], worst: float
) -> None:
    found = {
        number: Verification(
            score=None, score_meaning="", checks=[Check(name="one", status=status, text="", value=value, limit=limit)]
        )
        for number, value in enumerate(values)
    }
    assert merged(found).checks[0].value == worst
