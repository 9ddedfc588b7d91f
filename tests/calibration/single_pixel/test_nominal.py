"""Readings alone: their unit and noise as they tell them themselves, and everything that nobody looked at named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.fft import idctn

from cidesign.calibration.single_pixel.capture import Capture
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.nominal import NominalCalibration, SceneStatistics, nominal_calibration
from cidesign.calibration.single_pixel.response import estimate_response
from cidesign.calibration.single_pixel.scene_order import differences_order
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.pattern import Encoding, PatternStack
from cidesign.pattern.hadamard import hadamard_order_rows, hadamard_rows

SIDE, COUNT = 12, 220
FREQUENCY = np.add.outer(np.arange(SIDE) ** 2, np.arange(SIDE) ** 2).astype(float)
VARIANCE = 20.0 / (1 + FREQUENCY) ** 1.2 * 0.05
SCENES = SceneStatistics(0.45, VARIANCE)
SCALE, DARK, NOISE = 5000.0, 300.0, 4.0


def _scene(seed: int = 0) -> NDArray[np.float64]:
    """A scene as the statistics say."""
    rng = np.random.default_rng(seed)
    scene: NDArray[np.float64] = 0.45 + idctn(np.sqrt(VARIANCE) * rng.normal(size=(SIDE, SIDE)), norm="ortho")
    return scene


def _readings(design: PatternStack, scene: NDArray[np.float64], dark: float = DARK) -> NDArray[np.float64]:
    shown = design.displayed().reshape(len(design.frames()), -1) / design.max_level
    rng = np.random.default_rng(7)
    counts: NDArray[np.float64] = (
        dark + SCALE * shown @ scene.reshape(-1) / SIDE**2 + NOISE * rng.normal(size=len(shown))
    )
    return counts


def _bare(scene: NDArray[np.float64]) -> Capture:
    return Capture(Path("readings.csv"), None, {"scene": scene})


def _measured(calibration: NominalCalibration, capture: Capture, design: PatternStack) -> Measurements:
    examined = calibration.examine(capture, design)
    assert all(check.status in ("passed", "not checked") for check in examined.verification.checks)
    return examined.measure()[0]


@pytest.mark.parametrize(("encoding", "readings"), [("complementary", 2.0), ("offset", 4.0), ("as-shown", 1.0)])
def test_unit_and_noise_are_found(
    encoding: Encoding, readings: float, make_design: Callable[..., PatternStack]
) -> None:
    """The contrast of the scene is that of the statistics, so the unit is that of the twin; so is the noise."""
    design = make_design(SIDE, COUNT, 1, encoding)
    capture = _bare(_readings(design, _scene()))
    found = nominal_calibration(capture, design, SCENES)
    assert found.response.scale_counts.value == pytest.approx(SCALE, rel=0.2)
    assert found.response.read_noise_counts.value == pytest.approx(NOISE, rel=0.35)
    measured = _measured(found, capture, design)
    wanted = SIDE * NOISE / found.response.scale_counts.value
    assert measured.own_variance == pytest.approx(readings * wanted**2, rel=1.0)
    truth = design.signed().reshape(COUNT, -1) @ _scene().reshape(-1) / SIDE
    rest = measured.y * found.response.scale_counts.value / SCALE - truth
    if encoding == "complementary":
        assert np.std(rest) < 6 * SIDE * NOISE / SCALE
        assert measured.shared_variance == 0
    else:
        # All have the dark level in common, which nobody knows: it weighs nothing.
        assert np.std(rest) < 8 * SIDE * NOISE / SCALE
        assert measured.shared_variance > float(np.mean(rest)) ** 2
    assert measured.light_level.standard_error > measured.light_level.value


def test_differences_are_taken_as_they_are(make_design: Callable[..., PatternStack]) -> None:
    design = make_design(SIDE, COUNT)
    both = _readings(design, _scene())
    differences = both[0::2] - both[1::2]
    found = nominal_calibration(_bare(differences), design, SCENES)
    again = nominal_calibration(_bare(both), design, SCENES)
    assert found.response.scale_counts.value == pytest.approx(again.response.scale_counts.value)
    first, second = (_measured(one, _bare(values), design) for one, values in ((found, differences), (again, both)))
    assert first.y == pytest.approx(second.y, rel=0.02, abs=0.02)
    assert "difference of a pattern and its complement" in first.notes[0]
    twice = _measured(found, _bare(np.stack([differences, differences])), design)
    assert twice.repeats == 2
    assert twice.y == pytest.approx(first.y)


@pytest.mark.parametrize("encoding", ["complementary", "offset", "as-shown"])
def test_the_verdict_names_what_nobody_looked_at(encoding: Encoding, make_design: Callable[..., PatternStack]) -> None:
    design = make_design(SIDE, COUNT, 1, encoding)
    found = nominal_calibration(_bare(_readings(design, _scene())), design, SCENES)
    assert found.verification.verdict == "not verified"
    missing = {one.check: one.target for one in found.verification.not_looked_at}
    assert set(missing) == {"place of the patterns", "evenness of the light"}
    assert "known card" in missing["place of the patterns"]
    assert any(note.startswith("units are arbitrary") for note in found.notes)


def test_wrong_order_is_found_all_the_same(make_design: Callable[..., PatternStack]) -> None:
    design = make_design(SIDE, COUNT)
    both = _readings(design, _scene())
    differences = np.roll(both[0::2] - both[1::2], 1)
    found = nominal_calibration(_bare(differences), design, SCENES)
    (check,) = found.examine(_bare(differences), design).verification.checks
    assert (check.status, check.fault) == ("failed", "lost-trigger")


@pytest.mark.parametrize("wrong", [-1, 1, 7])
@pytest.mark.parametrize("encoding", ["complementary", "offset", "as-shown"])
def test_counts_that_differ_are_both_named(
    encoding: Encoding, wrong: int, make_design: Callable[..., PatternStack]
) -> None:
    design = make_design(SIDE, 30, 1, encoding)
    frames = len(design.frames())
    with pytest.raises(FileError) as caught:
        nominal_calibration(_bare(np.arange(frames + wrong, dtype=float)), design, SCENES)
    assert f"{frames + wrong} readings, and the design has 30 patterns, which take {frames}" in str(caught.value)


def test_a_column_is_one_sequence(make_design: Callable[..., PatternStack]) -> None:
    design = make_design(SIDE, COUNT, 1, "as-shown")
    row = _readings(design, _scene())
    flat, column = (nominal_calibration(_bare(one), design, SCENES) for one in (row, row[:, None]))
    assert flat.response == column.response
    measured = _measured(column, _bare(row[:, None]), design)
    assert measured.y == pytest.approx(_measured(flat, _bare(row), design).y)


def test_readings_that_cannot_be_differences(make_design: Callable[..., PatternStack]) -> None:
    design = make_design(SIDE, 30)
    once = replace(design, encoding="as-shown")
    with pytest.raises(FileError, match=r"30 readings for 30 patterns, none below 0.*--set encoding=as-shown"):
        nominal_calibration(_bare(_readings(once, _scene())), design, SCENES)


@pytest.mark.parametrize("encoding", ["complementary", "offset", "as-shown"])
def test_constants_are_no_readings(encoding: Encoding, make_design: Callable[..., PatternStack]) -> None:
    design = make_design(SIDE, 30, 1, encoding)
    with pytest.raises(FileError, match=r"all \d+ readings are 7; the detector is dead"):
        nominal_calibration(_bare(np.full(len(design.frames()), 7.0)), design, SCENES)


def test_a_first_reading_that_was_clipped_is_left_out(make_design: Callable[..., PatternStack]) -> None:
    design = make_design(SIDE, COUNT)
    levels = design.levels.copy()
    levels[0] = 1
    design = replace(design, levels=levels)
    both = _readings(design, _scene())
    differences = both[0::2] - both[1::2]
    sound = nominal_calibration(_bare(differences), design, SCENES)
    assert sound.wrong == ()
    clipped = differences.copy()
    clipped[0] = -2.5 * abs(clipped[0])
    found = nominal_calibration(_bare(clipped), design, SCENES)
    assert found.wrong == (0,)
    assert found.response.scale_counts.value == pytest.approx(sound.response.scale_counts.value)
    assert _measured(found, _bare(clipped), design).kept.tolist() == list(range(1, COUNT))
    assert any("left out: the reading of pattern 0, all mirrors on" in note for note in found.notes)


@pytest.mark.parametrize("encoding", ["complementary", "as-shown"])
def test_frames_that_the_capture_brings_are_used(
    encoding: Encoding, make_design: Callable[..., PatternStack], take: Callable[..., Any]
) -> None:
    design = make_design(16, 80, 1, encoding)
    capture = take(design)
    found = nominal_calibration(capture, design, SCENES)
    assert found.response == estimate_response(capture)[0]
    assert found.measured
    assert found.verification.verdict == "not verified"
    assert "cidesign calibrate" in found.notes[0]
    measured = _measured(found, capture, design)
    assert measured.light_level.standard_error < 0.02 or encoding == "as-shown"
    truth = design.signed().reshape(80, -1) @ capture.arrays["truth"].reshape(-1) / 16
    assert measured.y == pytest.approx(truth, abs=0.05)


def test_dark_frames_alone_tell_the_dark_level(make_design: Callable[..., PatternStack]) -> None:
    design = make_design(SIDE, COUNT, 1, "as-shown")
    capture = _bare(_readings(design, _scene()))
    capture = replace(capture, arrays={**capture.arrays, "dark": np.full(20, DARK)})
    found = nominal_calibration(capture, design, SCENES)
    assert found.dark_known
    assert found.response.dark_counts.value == DARK
    assert _measured(found, capture, design).shared_variance == 0


def _of_a_whole_basis(scene: NDArray[np.float64], late: int) -> Check:
    """The check of the order of differences of a whole Hadamard basis in sequency order, `late` patterns late."""
    side = len(scene)
    rows = hadamard_rows(side, hadamard_order_rows(side)["sequency"])
    noise = np.random.default_rng(2).normal(size=side**2)
    differences = rows.reshape(-1, side**2) @ scene.reshape(-1) + 0.01 * noise
    levels = ((1 + rows) // 2).astype(np.uint8)
    design = PatternStack(levels, 1, "complementary", "dlp4500", "0" * 64)
    return differences_order(np.roll(differences, -late)[None], design, 0.01)


def test_letters_along_the_grid_of_hadamard_patterns_are_no_wrong_order() -> None:
    """Their Walsh spectrum has few strong readings, which the model of scenes would rather have elsewhere."""
    letter = np.full((32, 32), 0.1)
    letter[4:28, 8:12] = letter[4:8, 8:24] = 0.9
    letter[12:16, 8:20] = 0.7
    for scene in (letter, letter.T, letter[::-1], np.kron(letter[::4, ::4], np.ones((4, 4)))):
        assert _of_a_whole_basis(scene, 0).status != "failed"


@pytest.mark.parametrize("late", [1, -2])
def test_a_whole_basis_that_begins_late_is_named(late: int, f_scene: Callable[[int], NDArray[np.float64]]) -> None:
    check = _of_a_whole_basis(f_scene(32), late)
    assert (check.status, check.fault) == ("failed", "lost-trigger")


def _few_readings(number: int, shuffled: bool) -> Check:
    """The check of 40 readings of a printed letter through the 40 coarsest Hadamard patterns, which share nothing."""
    rng = np.random.default_rng(number)
    scene = np.full((32, 32), 0.1)
    for row, column in rng.integers(8, 20, (3, 2)):  # its strokes
        if rng.integers(2):
            scene[row : row + 2, 8:24] = 0.9
        else:
            scene[8:24, column : column + 2] = 0.9
    rows = hadamard_rows(32, hadamard_order_rows(32)["total-variation"][:40]).reshape(40, -1)
    readings = rows @ scene.reshape(-1)
    order = rng.permutation(40) if shuffled else np.arange(40)
    levels = ((1 + rows) // 2).astype(np.uint8).reshape(40, 32, 32)
    design = PatternStack(levels, 1, "complementary", "dlp4500", "0" * 64)
    return differences_order(readings[order][None], design, 0.01)


def test_few_readings_that_hardly_predict_one_another_are_not_called_wrong() -> None:
    sound = [_few_readings(number, False).status for number in range(30)]
    wrong = [_few_readings(number, True).status for number in range(30)]
    assert sound.count("failed") <= 5
    assert wrong.count("passed") == 0
    assert wrong.count("failed") >= 15
