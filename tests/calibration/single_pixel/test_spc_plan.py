"""What to capture: the list names what calibration needs, and the record to fill is one once it is filled."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cidesign.calibration.plan import plan_text
from cidesign.calibration.single_pixel.calibrate import calibrate_spc
from cidesign.calibration.single_pixel.capture import Capture, read_capture
from cidesign.calibration.single_pixel.plan import plan_spc, write_plan_files
from cidesign.calibration.single_pixel.targets import f_card
from cidesign.errors import FileError
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import PatternStack


def test_the_list(card_design: PatternStack) -> None:
    steps = plan_spc(card_design, 235.0)
    assert [step.arrays.split(" ")[0] for step in steps if step.needed] == ["dark", "white", "scene"]
    text = plan_text(steps)
    assert text.splitlines()[0] == "1. dark frames"
    assert text.count("(recommended)") == sum(not step.needed for step in steps)
    assert "160 frames of 235 us" in text
    assert all(step.why for step in steps)


def test_a_record_that_is_completed_can_be_calibrated(
    tmp_path: Path, card_design: PatternStack, take: Callable[..., Capture]
) -> None:
    times = 235.0 * np.arange(160)
    folder, profile = tmp_path / "bench", load_profile("dlp4500")
    assert isinstance(profile, DmdProfile)
    write_plan_files(folder, card_design, profile, 235.0, times, force=False)
    with pytest.raises(FileError, match="dark cannot be read"):
        read_capture(folder)  # nothing was recorded yet
    with np.load(folder / "known.npz") as known:
        assert np.array_equal(known["card_picture"], f_card(16))
        assert np.array_equal(known["time_us"], times)
    capture = take(card_design, faults={"shift": 1})
    for name in ("dark", "flat", "card", "scene"):
        np.save(folder / f"{name}.npy", capture.arrays[name])
    np.save(folder / "white.npy", capture.arrays["white"][1::2])
    read = read_capture(folder)
    assert read.record is not None
    assert read.record.exposure_us == 235
    found = calibrate_spc(read, card_design)
    assert found.operator.placement.right_px == pytest.approx(1, abs=0.02)
    assert found.verification.verdict == "passed"
    with pytest.raises(FileError, match="--force"):
        write_plan_files(folder, card_design, profile, 235.0, times, force=False)
    template = json.loads((folder / "capture.json").read_text())
    assert template["bench_state"] == {"temperature_c": None, "detector_gain": None}
