"""What a capture says of an instrument that a file describes, and calibrations of one."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from instruments import (
    BANDS,
    DESIGN,
    HEIGHT,
    MASK,
    PROFILE,
    SPAN,
    STEP,
    WIDTH,
    alone,
    captured,
    checked,
    read,
    scene,
    written,
)
from scipy.io import savemat

from cidesign.calibration.cassi.capture import CassiCapture, read_cassi_capture
from cidesign.calibration.cassi.instrument.check import LIGHT, NAME, described_verification, mask_check
from cidesign.calibration.cassi.instrument.described import nominal_instrument, read_instrument
from cidesign.calibration.cassi.record import described_calibration, read_cassi_calibration, write_described_calibration
from cidesign.errors import FileError


@pytest.mark.parametrize("seed", range(4))
def test_a_capture_that_shows_the_mask_leaves_it_not_verified(tmp_path: Path, seed: int) -> None:
    y = captured(scene(seed))
    instrument = read(tmp_path, MASK, y)
    found = described_verification(instrument, instrument.calibration())
    by_name = {check.name: check for check in found.checks}
    assert by_name[NAME].status == by_name["mask of the file"].status == "passed"
    assert by_name[LIGHT].status == "not checked"
    assert [one.check for one in found.not_looked_at] == [LIGHT]
    assert found.verdict == "not verified"
    without = read(tmp_path)
    unseen = described_verification(without, without.calibration())
    assert [one.check for one in unseen.not_looked_at] == [LIGHT, NAME]
    assert unseen.verdict == "not verified"


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"flip_horizontal": True}, "mirror"),
        ({"flip_vertical": True}, "mirror"),
        ({"flip_horizontal": True, "flip_vertical": True}, "rotation"),
        ({"mask_white": 0.0, "mask_black": 1.0}, "inversion"),
        ({"step_px": STEP * 0.8, "origin_px": [0.0, 0.0]}, "wrong-step"),
        ({"step_px": STEP * 0.8, "origin_px": [0.0, SPAN * 0.1]}, "wrong-step"),
    ],
)
@pytest.mark.parametrize("seed", range(2))
def test_a_mask_or_step_that_is_not_the_captures_is_named(tmp_path: Path, fields: dict, fault: str, seed: int) -> None:
    y = captured(scene(seed))
    instrument = read(tmp_path, MASK, y, detector=list(y.shape), **fields)
    check = mask_check(instrument.calibration(), y)
    assert (check.status, check.fault) == ("failed", fault)
    assert described_verification(instrument, instrument.calibration()).verdict == "failed"


def test_a_displaced_mask_is_named_with_the_way_back(tmp_path: Path) -> None:
    y = captured(scene(1))
    framed = np.pad(y, ((5, 5), (0, 0)))
    check = checked(tmp_path, framed, origin_px=[7.0, 0.0])
    assert (check.status, check.fault) == ("failed", "shift")
    assert "2 px further up" in check.text
    assert checked(tmp_path, framed, origin_px=[5.0, 0.0]).status == "passed"


def test_a_scene_of_few_bands_is_no_wrong_step(tmp_path: Path) -> None:
    for chosen in ([0], [7], [3], [0, 7], [2, 3]):
        cube = np.zeros((BANDS, HEIGHT, WIDTH))
        cube[chosen] = scene(3)[chosen]
        check = checked(tmp_path, captured(cube))
        assert check.fault is None, (chosen, check)


@pytest.mark.parametrize("kind", ["dark", "noise", "spot"])
def test_a_capture_that_shows_nothing_cannot_tell(tmp_path: Path, kind: str) -> None:
    y = np.full((HEIGHT, WIDTH + SPAN), 1.0)
    if kind == "noise":
        y += np.random.default_rng(0).normal(size=y.shape) * 0.1
    if kind == "spot":
        y[40:44, 40:44] = 50.0
    for fields in ({}, {"flip_horizontal": True}):
        assert checked(tmp_path, y, **fields).status == "not checked"


def test_what_the_file_does_not_say_is_said(tmp_path: Path) -> None:
    y = captured(scene(1)) * 500 + 100
    said = {"dark_counts": 100.0, "white_counts": 400.0, "read_noise_counts": 5.0, "saturation_counts": 4095.0}
    calibration = read(tmp_path, MASK, y, **said).calibration()
    found, variance, valid = calibration.measurements(y)
    np.testing.assert_allclose(found, (y - 100) / 400, rtol=1e-12)
    np.testing.assert_allclose(variance, (5 / 400) ** 2, rtol=1e-12)
    assert valid.all()
    assert not any("is not given" in note for note in calibration.notes)
    bare = read(tmp_path, MASK, y).calibration().notes
    assert sum("is not given" in note for note in bare) == 3
    assert any("which nobody has verified" in note for note in bare)
    with pytest.raises(FileError, match="the capture is dark"):
        read(tmp_path, MASK, y, dark_counts=5000.0).calibration()


def test_the_mask_of_the_file_is_held_against_that_of_the_design(tmp_path: Path) -> None:
    other = np.random.default_rng(8).random((HEIGHT, WIDTH))
    for stored, status, fault in ((MASK, "passed", None), (MASK[::-1], "corrected", "mirror"),
                                  (1 - MASK, "corrected", "inversion"), (other, "failed", None)):  # fmt: skip
        instrument = read(tmp_path, np.clip(stored, 0, 1))
        check = described_verification(instrument, instrument.calibration()).checks[0]
        assert (check.name, check.status, check.fault) == ("mask of the file", status, fault)


def test_a_white_target_verifies_a_description(tmp_path: Path) -> None:
    """Its brightness gives the scale; a wrong lamp is seen."""
    tilt = np.linspace(0.5, 1.5, BANDS)[:, None, None]
    for lit, verdict in ((1.0, "passed"), (tilt, "failed")):
        white = 700 * captured(np.ones((BANDS, HEIGHT, WIDTH)) * lit, noise=0.02)
        frames = {"scene": 700 * captured(scene(2) * lit), "white": white[None]}
        capture = CassiCapture(Path("capture"), None, {name: one + 100 for name, one in frames.items()})
        path = written(tmp_path, dark_counts=100.0)
        instrument = read_instrument(path, DESIGN, PROFILE, capture)
        found = described_verification(instrument, instrument.calibration())
        assert found.verdict == verdict, found.checks
        if verdict == "passed":
            assert instrument.calibration().scale_counts == pytest.approx(700, rel=0.01)
            assert found.score is not None
        else:
            assert "wrong-lamp" in found.faults


def test_a_described_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    y = captured(scene(1))
    instrument = read(tmp_path, MASK, y)
    stored = write_described_calibration(tmp_path / "cal", instrument, "2026-01-01T00:00:00+00:00", False)
    found = read_cassi_calibration(tmp_path / "cal")
    assert found.record == stored.record
    assert found.record.source == "description"
    assert found.record.placement is None
    assert (tmp_path / "cal" / "instrument.png").read_bytes().startswith(b"\x89PNG")
    assert np.array_equal(found.calibration.operator.masks, instrument.operator.masks)
    assert found.calibration.notes == instrument.calibration().notes
    examined = found.examine(alone(y), DESIGN)
    assert [check.name for check in examined.verification.checks if check.status == "passed"] == [NAME]
    assert not examined.same
    with pytest.raises(FileError, match="scene of 90 x 108 pixels, and 90 x 110 were calibrated"):
        found.examine(alone(y[:, 2:]), DESIGN)
    mirrored = found.examine(alone(y[::-1].copy()), DESIGN)
    assert mirrored.verification.faults == ("mirror",)


def test_a_capture_is_not_looked_at_twice() -> None:
    capture = alone(captured(scene(1)))
    stored = described_calibration(nominal_instrument(DESIGN, PROFILE, capture), "2026-01-01T00:00:00+00:00")
    assert stored.verification.verdict == "not verified"
    assert stored.examine(capture, DESIGN).same
    assert not stored.examine(alone(capture.scene[0]), DESIGN).same


def test_images_alone_are_a_capture(tmp_path: Path) -> None:
    y = np.rint(1000 * captured(scene(1), noise=0))
    counts = y.astype(np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([counts, counts + 2]))
    savemat(tmp_path / "frames.mat", {"scan": {"meas": np.stack([counts, counts], axis=-1)}})
    with h5py.File(tmp_path / "new.mat", "w", userblock_size=512) as file:
        file["meas_real"] = y.T
    with (tmp_path / "new.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        tifffile.imwrite(tmp_path / "pictures" / f"shot_{number}.tif", counts)
    np.save(tmp_path / "y.npy", y)
    for name, frames in (("stack.tif", 2), ("frames.mat", 2), ("new.mat", 1), ("pictures", 2), ("y.npy", 1)):
        capture = read_cassi_capture(tmp_path / name)
        assert capture.scene.shape == (frames, *y.shape), name
        np.testing.assert_array_equal(capture.scene[0], y)
        assert capture.record is None
    np.savez(tmp_path / "two.npz", meas=y, other=y)
    assert np.array_equal(read_cassi_capture(tmp_path / "two.npz", "meas").scene[0], y)
    with pytest.raises(FileError, match="holds no array 'scene', only meas, other"):
        read_cassi_capture(tmp_path / "two.npz")
    np.save(tmp_path / "line.npy", y[0])
    with pytest.raises(FileError, match=r"scene has shape \(110,\); the detector's image"):
        read_cassi_capture(tmp_path / "line.npy")
