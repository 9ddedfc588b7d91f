"""Which bits of a converter are in use."""

import numpy as np
import pytest

from cidesign.calibration.converter import bits_check, converter_step


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
