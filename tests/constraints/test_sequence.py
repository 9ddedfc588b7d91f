"""Sequence planning on the numbers of the DLP4500 data sheet, worked out by hand."""

import pytest

from cidesign.constraints.rules import check_design, require, sequence_rules
from cidesign.constraints.sequence import plan_sequence, video_time_us
from cidesign.errors import InputError, LimitError
from cidesign.hardware_profiles.loader import load_profile

DLP4500 = load_profile("dlp4500")
DLP6500 = load_profile("dlp6500")


def _violations(**request: float) -> list[str]:
    frames = int(request.pop("frames"))
    bits = int(request.pop("bits", 1))
    plan = plan_sequence(DLP4500, frames, bits, **request)
    return [str(found) for rule in sequence_rules(DLP4500) for found in rule.check(plan)]


def test_two_images_run_at_full_rate() -> None:
    plan = plan_sequence(DLP4500, 48, 1)
    assert plan.images == 2
    assert plan.mode == "fixed_exposure"
    assert plan.total_us == 48 * 235
    assert [entry.frame for entry in plan.entries if entry.loads_image] == [0, 24]
    assert (plan.entries[30].image, plan.entries[30].slot) == (1, 6)


def test_three_images_wait_for_flash() -> None:
    plan = plan_sequence(DLP4500, 60, 1)
    # 24 frames share 200 ms: 8334 us each; the last 12 share it too: 16667 us each.
    assert {entry.period_us for entry in plan.entries[:48]} == {8334}
    assert {entry.period_us for entry in plan.entries[48:]} == {16667}
    assert plan.mode == "variable_exposure"
    assert all(entry.exposure_us == 235 for entry in plan.entries)
    assert "200000 us" in plan.notes[0]
    assert _violations(frames=60) == []


def test_hdmi_does_not_wait() -> None:
    # 204 frames are 9 video frames at 120 Hz.
    assert video_time_us(DLP4500, 204, 1, 235) == 9 * 8334
    # 24 x 500 us do not fit 8334 us, so the video rate falls.
    assert video_time_us(DLP4500, 24, 1, 500) == 12_000
    assert video_time_us(DLP6500, 24, 1, 105) is None


def test_fractional_request_is_rounded_up_and_said() -> None:
    plan = plan_sequence(DLP4500, 10, 1, exposure_us=300.2)
    assert plan.exposure_us == 301
    assert plan.requested_exposure_us == 300.2
    assert "becomes 301 us" in plan.notes[0]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"frames": 10, "exposure_us": 234}, "exposure is 234 us, the limit is at least 235 us at 1 bit"),
        ({"frames": 3, "bits": 8, "exposure_us": 8332}, "at least 8333 us at 8 bit"),
        ({"frames": 10, "exposure_us": 300, "period_us": 301}, "period minus exposure is 1 us"),
        ({"frames": 10, "exposure_us": 300, "period_us": 529}, "period minus exposure is 229 us"),
        ({"frames": 10, "exposure_us": 300, "period_us": 299}, "period minus exposure is -1 us"),
        ({"frames": 10, "exposure_us": 200_000_001}, "at most 200000000 us"),
        ({"frames": 1825, "exposure_us": 8334}, "sequence length is 1825 entries"),
        ({"frames": 129, "bits": 1, "exposure_us": 235, "period_us": 235}, "time an image is shown is"),
    ],
)
def test_broken_limits_are_named(request_: dict[str, float], said: str) -> None:
    assert said in "; ".join(_violations(**request_))


@pytest.mark.parametrize(
    "request_",
    [
        {"frames": 10, "exposure_us": 300, "period_us": 530},
        {"frames": 10, "exposure_us": 235, "period_us": 235},
        {"frames": 128, "exposure_us": 9000},
        {"frames": 1824},
        {"frames": 6, "bits": 8},
    ],
)
def test_limits_themselves_are_allowed(request_: dict[str, float]) -> None:
    assert _violations(**request_) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -5])
def test_senseless_times_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="positive number of microseconds"):
        plan_sequence(DLP4500, 10, 1, exposure_us=value)


def test_memory_of_a_device_without_flash_reload() -> None:
    plan = plan_sequence(DLP6500, 401, 1)
    found = [str(violation) for rule in sequence_rules(DLP6500) for violation in rule.check(plan)]
    assert any("bit planes is 401, the limit is 400" in line for line in found)
    assert plan_sequence(DLP6500, 400, 1).total_us == 400 * 105


def test_require_names_the_first_and_counts_the_rest() -> None:
    import numpy as np

    from cidesign.pattern import PatternStack

    stack = PatternStack(np.zeros((1000, 4, 4), np.uint8), 1, "complementary", "dlp4500", DLP4500.digest)
    plan = plan_sequence(DLP4500, 2000, 1, exposure_us=100)
    with pytest.raises(LimitError, match=r"2000 entries.*the encoding offset.*\(and 1 more\)"):
        require(check_design(stack, plan, DLP4500))
