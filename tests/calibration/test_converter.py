"""Which bits of a converter are in use."""

import numpy as np
import pytest

from cidesign.calibration.converter import bits_check, converter_step, range_check


@pytest.mark.parametrize(
    ("readings", "step"),
    [((16, 48, 160), 16), ((16, 49), 1), ((-32, 96), 32), ((16.5, 49), 0), ((64, 64), 1), ((0, 0), 1), ((0, 2**60), 0)],
)
def test_the_step_of_the_converter(readings: tuple[float, ...], step: float) -> None:
    assert converter_step(np.array(readings, dtype=np.float64)) == step


@pytest.mark.parametrize(
    ("step", "read_noise", "status", "bits"),
    [(1.0, 1.0, "passed", 0), (16.0, 16 / 12**0.5, "corrected", 4), (16.0, 4.0, "failed", 4)],
)
def test_steps_that_are_coarser_than_the_noise_were_not_those_of_the_calibration(
    step: float, read_noise: float, status: str, bits: int
) -> None:
    check = bits_check(step, read_noise)
    assert (check.status, check.value, check.fault) == (status, bits, "bit-justification" if bits else None)


def test_readings_that_are_no_whole_numbers_show_no_step() -> None:
    assert bits_check(0.0, 1.0).status == "not checked"


def test_the_range_is_judged_by_the_worst_array_and_an_average_may_round() -> None:
    dim, bright = np.full((4, 25), 100.0), np.full((4, 25), 100.0)
    bright[0, :3] = 254.5
    check = range_check({"dim": dim, "bright": bright}, 255.0, 2.0)
    assert (check.status, check.fault, check.value) == ("failed", "saturation", 3.0)
    assert "of bright are at 255 counts" in check.text
    assert range_check({"dim": dim, "bright": bright}, 255.0, 3.0).status == "passed"
    assert range_check({"dim": dim}, None, 2.0).status == "not checked"
