"""The diagnostics of a whole reconstruction: record, notes, maps and pictures, of captures with and without faults."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cidesign.benchwork import reconstruct
from cidesign.calibration.single_pixel.calibrate import calibrate_spc
from cidesign.calibration.single_pixel.capture import read_capture, write_capture
from cidesign.calibration.single_pixel.record import read_calibration, write_calibration
from cidesign.calibration.single_pixel.twin import bench_settings, capture_record, simulate_readings
from cidesign.checks import FaultName
from cidesign.files import load_npz
from cidesign.modalities.single_pixel import solve
from cidesign.modalities.single_pixel.diagnostics import maps as spc_maps
from cidesign.modalities.single_pixel.diagnostics.diagnose import MAPS, map_notes, time_notes
from cidesign.modalities.single_pixel.diagnostics.residuals import Residuals
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.models.system import load_student
from cidesign.reconstruct.outcome import NamedMap, Reconstruction

MakeRun = Callable[..., SinglePixelRun]
MakeScene = Callable[[int], NDArray[np.float64]]
PERIOD_US = 235.0


def _record(
    run: SinglePixelRun, scene: NDArray[np.float64], folder: Path, faults: dict[FaultName, float] | None = None
) -> tuple[Path, Path]:
    """A capture with its calibration targets, and its calibration."""
    bench = bench_settings(
        dark_counts=200.0, gain=None, photoelectrons_per_frame=1e7, read_noise_counts=2.0,
        read_noise_photoelectrons=0.0, adc_bits=16, seed=0, scene="F", faults=faults or {},
    )  # fmt: skip
    time_us = PERIOD_US * np.arange(len(run.design.frames()))
    readings = simulate_readings(run.design, scene, bench, time_us)
    write_capture(folder / "capture", capture_record(run.design, bench, PERIOD_US, ""), readings, force=True)
    capture = read_capture(folder / "capture")
    write_calibration(folder / "cal", capture, calibrate_spc(capture, run.design), "", force=True)
    return folder / "capture", folder / "cal"


@pytest.fixture(scope="module")
def whole(
    make_run: MakeRun, f_scene: MakeScene, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SinglePixelRun, Path, Path, Reconstruction]:
    """An untrained run of 60 patterns of 16 x 16, its capture and calibration, and what is made of them."""
    run = make_run(patterns=60)
    capture, calibration = _record(run, f_scene(16), tmp_path_factory.mktemp("whole"))
    return run, capture, calibration, reconstruct(run, capture, calibration)


def test_the_record_holds_every_diagnostic(whole: tuple[SinglePixelRun, Path, Path, Reconstruction]) -> None:
    record = whole[3].value
    json.dumps(record, allow_nan=False)
    held = record["held_out"]
    assert (held["folds"], held["readings"]) == (10, 60)
    for name in ("student", "lmmse", "tikhonov"):
        entry = held["images"][name]
        assert 0 < entry["error_over_variation"] < 1, name
        assert entry["error_over_noise"] > 1, name
        for key in ("residual_neighbour_correlation", "residual_number_correlation", "residual_mean_correlation"):
            assert abs(record["images"][name][key]) <= 1
    # The F has more contrast than the training images.
    assert 0.2 < held["images"]["lmmse"]["error_over_expected"] < 5
    assert held["error_over_wrong_order"] < 0.9
    over = record["error_over_uncertainty"]
    # With a quarter of the readings, noise is a small part of the error; the posterior deviation holds the rest.
    assert over["lmmse"] > 3 * over["lmmse_posterior"] > 1
    assert record["uncertainty"]["lmmse_rms"] < record["uncertainty"]["lmmse_posterior_rms"]
    assert set(record["maps"]) == set(MAPS)


def test_the_notes_name_the_place(whole: tuple[SinglePixelRun, Path, Path, Reconstruction]) -> None:
    outcome = whole[3]
    images = dict(outcome.images)
    apart = np.abs(images["student"] - images["lmmse"])
    row, column = np.unravel_index(int(apart.argmax()), apart.shape)
    assert f"differ most at row {row}, column {column} (counted from 0)" in " ".join(outcome.remarks)
    assert any("held-out readings" in note and "not their place on the scene" in note for note in outcome.remarks)


def test_the_estimates_behind_the_maps_are_those_shown(
    whole: tuple[SinglePixelRun, Path, Path, Reconstruction],
) -> None:
    """The model of the maps gives the image that `solve` gives."""
    run, capture, calibration, outcome = whole
    bench = _bench(run, capture, calibration)
    found, system = bench.measurements, load_student(run)
    model = spc_maps.lmmse_model(found, solve.image_statistics(system))
    estimate = model.estimate(np.append(found.y, 16 * found.light_level.value)).reshape(16, 16)
    np.testing.assert_allclose(estimate, outcome.leaves[1].array, atol=1e-3)
    noise = solve.calibrated_noise(bench.response.with_peak(bench.operator.peak_over_mean), run.design.encoding)
    decoded = solve.decoder_of(system, noise)(np.stack([found.y, found.y + 1]), found.signed)
    np.testing.assert_allclose(decoded[0], outcome.leaves[0].array, atol=1e-5)
    assert np.abs(decoded[1] - decoded[0]).max() > 1e-3


def test_a_wrong_order_is_suspected_in_words(whole: tuple[SinglePixelRun, Path, Path, Reconstruction]) -> None:
    run, capture, calibration, outcome = whole
    bench, system = _bench(run, capture, calibration), load_student(run)
    decode = solve.decoder_of(system, solve.constant_noise(1e-4, 16))
    images = dict(outcome.images)
    maps = spc_maps.make_maps(bench, solve.image_statistics(system), decode, images)
    assert maps is not None
    assert "which the check of the readings' order decides" in map_notes(replace(maps, order=0.95))[0]
    # The F is unlike the training images, which is no reason to suspect the order.
    assert "the scene is of another kind" in map_notes(replace(maps, order=0.2))[0]
    held = {name: replace(one, error=0.1 * one.error) for name, one in maps.held_out.items()}
    assert "as expected of scenes like" in map_notes(replace(maps, order=0.2, held_out=held))[0]


def _bench(run: SinglePixelRun, capture: Path, calibration: Path) -> spc_maps.Bench:
    from cidesign.calibration.single_pixel.frames import frames_of
    from cidesign.calibration.single_pixel.measurement import measurements_from_counts

    stored = read_calibration(calibration)
    frames = frames_of(read_capture(capture), "scene", run.design, stored.response)
    found = measurements_from_counts(frames, run.design, stored.response, stored.optics)
    return spc_maps.Bench(run.design, stored.response, stored.optics, found)


def test_files_hold_the_maps(whole: tuple[SinglePixelRun, Path, Path, Reconstruction], tmp_path: Path) -> None:
    outcome = whole[3]
    outcome.write(tmp_path / "out")
    assert list(outcome.maps) == list(MAPS)
    for one in outcome.map_leaves:
        stored = load_npz(tmp_path / "out" / f"{one.name}.npz", "map")["image"]
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, one.image)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / f"{one.name}.tiff"), one.image)
    for name in (*MAPS, "residuals", "comparison"):
        with Image.open(tmp_path / "out" / f"{name}.png") as picture:
            picture.load()
            assert picture.width > 300
    np.testing.assert_allclose(outcome.maps.disagreement, outcome.leaves[0].array - outcome.leaves[1].array, atol=1e-7)


def test_the_same_capture_gives_the_same_maps(whole: tuple[SinglePixelRun, Path, Path, Reconstruction]) -> None:
    run, capture, calibration, outcome = whole
    again = reconstruct(run, capture, calibration)
    for one, other in zip(outcome.map_leaves, again.map_leaves, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_lost_triggers_are_named(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    run = make_run(patterns=60)
    outcome = reconstruct(run, *_record(run, f_scene(16), tmp_path, {"lost-trigger": 1.0}))
    lost = outcome.value["patterns_left_out"]
    assert lost
    assert any(f"left out of all images: {', '.join(map(str, lost))}" in note for note in outcome.remarks)
    assert outcome.value["held_out"]["readings"] == 60 - len(lost)


def test_offset_encoding_has_maps_too(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    run = make_run(patterns=60, encoding="offset")
    outcome = reconstruct(run, *_record(run, f_scene(16), tmp_path))
    assert 0.2 < outcome.value["held_out"]["images"]["lmmse"]["error_over_expected"] < 5
    assert len(outcome.maps) == 4


def test_what_takes_minutes_is_left_out_and_said(
    make_run: MakeRun, f_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(patterns=60)
    capture, calibration = _record(run, f_scene(16), tmp_path)
    monkeypatch.setattr(spc_maps, "FOLD_OPERATIONS", 3.5 * 60**2 * 256)
    assert reconstruct(run, capture, calibration).value["held_out"]["readings"] == 18
    monkeypatch.setattr(spc_maps, "MAX_OPERATIONS", 60.0**2 * 255)
    outcome = reconstruct(run, capture, calibration)
    assert not outcome.maps
    assert "held_out" not in outcome.value
    assert any("held-out readings and uncertainty are left out" in note for note in outcome.remarks)
    outcome.write(tmp_path / "out")
    json.dumps(outcome.value, allow_nan=False)


def test_alike_neighbours_are_noted() -> None:
    wave = np.sin(np.arange(80) / 9.0)
    assert "depended on time" in time_notes(Residuals(3 * wave, np.arange(80), wave))[0]
    assert not time_notes(Residuals(0.1 * wave, np.arange(80), wave))
    assert not time_notes(Residuals(np.random.default_rng(0).normal(size=80) * 2, np.arange(80), wave))


def test_a_signed_map_is_drawn_around_zero(tmp_path: Path) -> None:
    """Less than nothing is blue, more is red, wherever the range ends."""
    values = np.zeros((4, 4), dtype=np.float32)
    values[0, 0], values[3, 3] = -1, 0.5
    NamedMap("m", "t", values, "words", signed=True).write(tmp_path)
    with Image.open(tmp_path / "m.png") as picture:
        colours: NDArray[Any] = np.asarray(picture.convert("RGB")).astype(int)
    blue = (colours[..., 2] - colours[..., 0] > 60).mean()
    red = (colours[..., 0] - colours[..., 2] > 60).mean()
    assert blue > 0.01
    assert red > 0.01
