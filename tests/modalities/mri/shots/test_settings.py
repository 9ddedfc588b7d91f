"""Settings of shots: what follows from what, on the scanner's grids."""

import math

import pytest

from cidesign.constraints.gradients import GradientRule
from cidesign.errors import InputError
from cidesign.modalities.mri.shots.settings import settings_for

RULE = GradientRule(30.0, 130.0, 10_000, 100.0, 8192, 4)


def test_defaults_follow_from_the_side() -> None:
    found = settings_for({"side": 64}, RULE, {})
    assert (found.shots, found.samples_per_shot, found.dwell_ns) == (16, 128, 10_000)
    assert found.noise == pytest.approx(0.01 * math.sqrt(2))
    assert found.readout_ns == 1_280_000


def test_samples_come_in_what_the_receiver_takes() -> None:
    assert settings_for({"side": 33, "shots": 4}, RULE, {}).samples_per_shot == 68


def test_a_readout_time_is_rounded_to_the_receivers_raster() -> None:
    found = settings_for({"side": 64, "readout_ms": 1.0}, RULE, {})
    # 1 ms / 128 = 7812.5 ns; the raster is 100 ns.
    assert found.dwell_ns == 7_800


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"acceleration": 3}, r"21\.33 shots; 21 shots give R = 3\.048 and 22 shots .*--shots 21 or 22"),
        ({"acceleration": 4, "shots": 16}, "give one of them"),
        ({"acceleration": 0}, "acceleration 0: between 0.25 and 64"),
        ({"shots": 0}, "shots 0"),
        ({"shots": 300}, "use 1 to 256"),
        ({"readout_ms": 2.0, "dwell_ns": 100}, "give one of them"),
        ({"readout_ms": -1}, "between 0 and 1000 ms"),
        ({"samples_per_shot": True}, "samples_per_shot"),
        ({"fov_mm": 0.0}, "fov_mm 0"),
        ({"virtual_coils": 3, "coils": 2}, "no more combinations"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(values: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        settings_for({"side": 64, **values}, RULE, {})
