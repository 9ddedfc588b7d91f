"""Sequence planning on the numbers of the DLP4500 data sheet, worked out by hand."""

from dataclasses import replace

import pytest

from cidesign.constraints.rules import SequenceFits, check_design, require, sequence_rules
from cidesign.constraints.sequence import joined, plan_sequence, plan_shown, plan_streamed, video_time_us
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
        ({"frames": 24 * 256 + 1, "exposure_us": 8334}, "sequence length is 6145 entries and 257 images"),
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
    plan = replace(plan_sequence(DLP6500, 401, 1), starts=(0,))
    found = [str(violation) for rule in sequence_rules(DLP6500) for violation in rule.check(plan)]
    assert any("bit planes of a sequence is 401, the limit is 400" in line for line in found)
    assert plan_sequence(DLP6500, 400, 1).total_us == 400 * 105


def test_require_names_the_first_and_counts_the_rest() -> None:
    import numpy as np

    from cidesign.pattern import PatternStack

    stack = PatternStack(np.zeros((1000, 4, 4), np.uint8), 1, "complementary", "dlp4500", DLP4500.digest)
    plan = plan_sequence(DLP4500, 6200, 1, exposure_us=100)
    with pytest.raises(LimitError, match=r"6200 entries.*the encoding offset.*\(and 2 more\)"):
        require(check_design(stack, plan, DLP4500))


@pytest.mark.parametrize(
    ("frames", "starts", "images"),
    [(1824, (0,), 76), (1825, (0, 1824), 77), (3276, (0, 1824), 137), (6144, (0, 1824, 3648, 5472), 256)],
)
def test_what_is_longer_than_a_table_becomes_sequences(frames: int, starts: tuple[int, ...], images: int) -> None:
    plan = plan_sequence(DLP4500, frames, 1, pairs_from=0)
    assert (plan.starts, plan.images, plan.mode) == (starts, images, "variable_exposure")
    assert [rule.check(plan) for rule in sequence_rules(DLP4500)] == [[], [], [], []]
    # All images lie in flash side by side, 24 frames each: a frame has the same place as without a split.
    assert [(entry.image, entry.slot) for entry in plan.entries] == [divmod(frame, 24) for frame in range(frames)]
    assert all(plan.entries[first].loads_image for first in starts)
    assert sum(len(part.entries) for part in plan.sequences) == frames
    assert joined(plan.sequences).entries == plan.entries


def test_each_sequence_waits_for_flash_by_its_own_images() -> None:
    # The second sequence is a single image: nothing is read from flash while it is shown.
    plan = plan_sequence(DLP4500, 1830, 1)
    assert [part.images for part in plan.sequences] == [76, 1]
    assert {entry.period_us for entry in plan.entries[:1824]} == {8334}
    assert {entry.period_us for entry in plan.entries[1824:]} == {235}


def test_sequences_that_are_loaded_at_run_time_count_their_images_anew() -> None:
    plan = plan_sequence(DLP6500, 820, 1, pairs_from=0)
    assert plan.starts == (0, 400, 800)
    assert [part.images for part in plan.sequences] == [17, 17, 1]
    assert [entry.image for entry in plan.entries if entry.loads_image] == [*range(17), *range(17), 0]
    assert "loaded and started one after the other" in plan.notes[-1]
    assert [rule.check(plan) for rule in sequence_rules(DLP6500)] == [[], [], [], []]


def test_a_pattern_and_its_complement_stay_together() -> None:
    # A blink code of 13 frames: pairs begin at odd frames, and 1824 would tear one apart.
    plan = plan_sequence(DLP4500, 3000, 1, pairs_from=13)
    assert plan.starts == (0, 1823)
    # The sequence after the cut begins with an image of its own, and the one before is not full.
    assert [plan.entries[frame].image for frame in (1822, 1823, 1846, 1847)] == [75, 76, 76, 77]
    assert plan_sequence(DLP4500, 3000, 1, pairs_from=None).starts == (0, 1824)
    # Three frames of 8 bits an image: an odd number of images is no whole number of pairs.
    assert {first % 2 for first in plan_sequence(DLP6500, 400, 8, pairs_from=0).starts} == {0}


def test_times_begin_anew_with_each_sequence() -> None:
    plan = plan_sequence(DLP6500, 402, 1)
    assert plan.start_times_us[398:].tolist() == [398 * 105, 399 * 105, 0, 105]
    assert plan.total_us == 402 * 105


def test_what_no_flash_holds_is_streamed_where_there_is_a_video_input() -> None:
    plan = plan_shown(DLP4500, 13108, 1)
    assert plan.streamed
    assert plan.images == 547
    assert plan.starts == (0,)
    assert {entry.period_us for entry in plan.entries} == {235}
    assert "over HDMI" in plan.notes[-1]
    assert "256 images" in plan.notes[-1]
    assert [rule.check(plan) for rule in sequence_rules(DLP4500)] == [[], [], [], []]
    # What the link cannot count is streamed neither, and the error says both.
    (found,) = SequenceFits(DLP4500).check(plan_shown(DLP4500, 65_536, 1))[:1]
    assert str(found.limit).endswith("256 images; over HDMI 65535 frames")
    assert SequenceFits(DLP4500).check(plan_streamed(DLP4500, 65_536, 1))[0].value == "65536 frames"
    # What the tables hold, in one sequence or several, is not.
    assert plan_shown(DLP4500, 3276, 1) == plan_sequence(DLP4500, 3276, 1)
    without_hdmi = DLP4500.model_copy(update={"timing": DLP4500.timing.model_copy(update={"video_max_frame_hz": None})})
    assert plan_shown(without_hdmi, 13108, 1).mode is None
    (found,) = SequenceFits(without_hdmi).check(plan_shown(without_hdmi, 13108, 1))[:1]
    assert (found.value, found.fault) == ("13108 entries and 547 images", "limit")
    assert "variable exposure 1824 entries and 256 images" in str(found.limit)


def test_a_sequence_beyond_its_table_is_named() -> None:
    plan = replace(plan_sequence(DLP4500, 3276, 1), starts=(0, 1200))
    (found,) = SequenceFits(DLP4500).check(plan)
    assert "2076 entries and 87 images in sequence 2" in found.text


def test_images_larger_than_the_flash_are_refused_with_both_numbers() -> None:
    plan = replace(plan_sequence(DLP4500, 3276, 1), flash_bytes=81_900_000)
    (found,) = SequenceFits(DLP4500).check(plan)
    assert "size of 137 images is about 81.9 MB, the limit is 32 MB" in found.text
    assert "HDMI" in found.text
    assert SequenceFits(DLP4500).check(replace(plan, flash_bytes=32_000_000)) == []
