"""From counts to images: exactness, noise, orientation of every file, and what is refused."""

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
from cidesign.calibration.circumstances import BenchState
from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel.calibrate import calibrate_spc
from cidesign.calibration.single_pixel.capture import CaptureRecord, StoredArray, read_capture, write_capture
from cidesign.calibration.single_pixel.frames import Frames, frames_of
from cidesign.calibration.single_pixel.measurement import Measurements, measurements_from_counts
from cidesign.calibration.single_pixel.operator import SpcOperator
from cidesign.calibration.single_pixel.record import read_calibration, write_calibration
from cidesign.calibration.single_pixel.twin import bench_settings, capture_record, simulate_readings
from cidesign.errors import FileError, LimitError
from cidesign.modalities.single_pixel import solve
from cidesign.modalities.single_pixel.diagnostics.residuals import residuals
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.models.system import load_student
from cidesign.reconstruct.outcome import NamedImage, cut_off, grey_png
from cidesign.reconstruct.record import CutOff

MakeRun = Callable[..., SinglePixelRun]
MakeScene = Callable[[int], NDArray[np.float64]]
UTC = "2026-01-01T00:00:00+00:00"


def _record(run: SinglePixelRun, scene: NDArray[np.float64], folder: Path, **changes: Any) -> tuple[Path, Path]:
    """A capture and its calibration."""
    readings, record = _capture(run, scene, **changes)
    write_capture(folder / "capture", record, readings, force=True)
    capture = read_capture(folder / "capture")
    write_calibration(folder / "cal", capture, calibrate_spc(capture, run.design), UTC, force=True)
    return folder / "capture", folder / "cal"


def _capture(
    run: SinglePixelRun, scene: NDArray[np.float64], record: dict[str, Any] | None = None, **changes: Any
) -> tuple[dict[str, NDArray[np.generic]], CaptureRecord]:
    """Readings and record of a bench, whose record is changed by `record`."""
    values: dict[str, Any] = {
        "dark_counts": 200.0, "gain": None, "photoelectrons_per_frame": 1e6, "read_noise_counts": 2.0,
        "read_noise_photoelectrons": 0.0, "adc_bits": 16, "seed": 0, "scene": "F", "faults": {},
    }  # fmt: skip
    bench = bench_settings(**(values | changes))
    readings = simulate_readings(run.design, scene, bench, 235.0 * np.arange(len(run.design.frames())))
    return readings, capture_record(run.design, bench, 235.0, UTC).model_copy(update=record or {})


def _later(run: SinglePixelRun, scene: NDArray[np.float64], folder: Path, name: str, **changes: Any) -> Path:
    """Another capture of the same bench."""
    readings, record = _capture(run, scene, **changes)
    write_capture(folder / name, record, readings, force=True)
    return folder / name


def _exact(run: SinglePixelRun, scene: NDArray[np.float64], variance: float) -> Measurements:
    signed = run.design.signed().astype(np.float64)
    y = (signed * scene).sum(axis=(1, 2)) / run.design.side
    level = Estimate(float(scene.mean()), 1e-4)
    return Measurements(
        y=y, own_variance=np.full(len(y), variance), shared_variance=0.0, signed=run.design.signed(),
        kept=np.arange(len(y)), light_level=level, light_weights=np.ones((run.design.side, run.design.side)),
        repeats=1, lamp=None, scatter_ratio=None, notes=(),
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_as_many_patterns_as_pixels_give_the_scene(make_run: MakeRun, f_scene: MakeScene, encoding: str) -> None:
    """With 8 x 8 independent patterns of 3 bits and next to no noise every method must return the F itself."""
    run, scene = make_run(side=8, patterns=64, bit_depth=3, encoding=encoding), f_scene(8)
    system, measurements = load_student(run), _exact(run, scene, 1e-8)
    signed = run.design.signed()
    noise = solve.constant_noise(1e-8, 8)
    assert np.linalg.cond(signed.reshape(64, 64)) < 1e3
    for image in (
        solve.decode(system, measurements.y, signed, noise),
        solve.best_linear_calibrated(system, measurements),
        solve.best_linear(system, measurements.y, signed, 1e-8),
        solve.tikhonov_calibrated(system, measurements),
    ):
        assert image.dtype == np.float32
        assert image == pytest.approx(scene, abs=0.05)  # float32, and patterns with a condition of up to 1000


def test_the_calibrated_noise_reaches_the_decoder(make_run: MakeRun) -> None:
    """Its variance of y is the one that the measurements carry."""
    from cidesign.calibration.single_pixel.response import Response

    for encoding in ("complementary", "offset"):
        run = make_run(side=8, patterns=20, encoding=encoding)
        for gain in (0.2, -0.01):  # an unresolved gain too
            exact = Estimate(200.0, 0.0)
            response = Response(exact, Estimate(6.0, 0.0), Estimate(gain, 1.0), Estimate(3e4, 0.0), exact, 0.0, 0.0, ())
            light = np.full((1, len(run.design.frames())), 200.0 + 0.25 * 3e4)
            light += np.tile([60.0, -60.0], light.size)[: light.size]
            if encoding == "offset":
                light[0, -1] = 200.0 + 0.5 * 3e4
            frames = Frames(light, np.empty((1, 0)), np.arange(light.size, dtype=np.float64), False)
            found = measurements_from_counts(frames, run.design, response, SpcOperator.as_designed(8))
            noise = solve.calibrated_noise(response, run.design.encoding)
            wanted = found.own_variance.mean() + found.shared_variance
            assert noise.typical_variance(0.5, 8) == pytest.approx(wanted, rel=0.01)
    assert solve.constant_noise(3e-4, 16).typical_variance(0.5, 16) == pytest.approx(3e-4, rel=1e-3)


def test_the_shared_error_of_offset_is_weighed(make_run: MakeRun, f_scene: MakeScene) -> None:
    """An error that all measurements share costs least where the covariance is known."""
    run, scene = make_run(side=8, patterns=64, bit_depth=3, encoding="offset"), f_scene(8)
    exact = _exact(run, scene, 1e-6)
    shifted = exact.y + 0.5
    system = load_student(run)
    known = replace(exact, y=shifted, shared_variance=0.25)
    unknown = replace(exact, y=shifted)
    error = {
        name: np.abs(solve.best_linear_calibrated(system, measurements) - scene).max()
        for name, measurements in (("known", known), ("unknown", unknown))
    }
    assert error["known"] < 0.5 * error["unknown"]


def test_residuals_of_the_truth_are_noise(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    run, scene = make_run(), f_scene(16)
    capture, calibration = _record(run, scene, tmp_path, faults={"drift": 3.0})
    stored = read_calibration(calibration)
    frames = frames_of(read_capture(capture), "scene", run.design, stored.response)
    measurements = measurements_from_counts(frames, run.design, stored.response, SpcOperator.as_designed(16))
    found = residuals(scene.astype(np.float32), measurements)
    assert found.chi_square_reduced == pytest.approx(1, abs=4 * (2 / 40) ** 0.5)
    wrong = residuals(scene[:, ::-1].astype(np.float32).copy(), measurements)
    assert wrong.chi_square_reduced > 100
    assert wrong.largest[1] == pytest.approx(np.abs(wrong.normalised).max() * np.sign(wrong.largest[1]))


@pytest.mark.parametrize("encoding", ["complementary", "offset"])
def test_a_simulated_capture(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path, encoding: str) -> None:
    run, scene = make_run(patterns=120, encoding=encoding), f_scene(16)
    outcome = reconstruct(run, *_record(run, scene, tmp_path))
    record = outcome.value
    json.dumps(record, allow_nan=False)
    # Referred to the brightest pixel of the illumination, whose own noise is 1 to 2 %.
    assert record["light_level"]["value"] == pytest.approx(scene.mean(), rel=0.03)
    assert list(outcome.images) == ["student", "lmmse", "tikhonov", "tv"]
    for name, entry in record["images"].items():
        assert entry["correlation"] > (0.6 if name == "tikhonov" else 0.8), name
        assert entry["psnr_db"] > 13, name
        assert len(entry["normalised_residuals"]) == 120
        residual = np.array(entry["normalised_residuals"])
        assert entry["chi_square_reduced"] == pytest.approx(np.mean(residual**2), rel=1e-3)
    assert outcome.leaves[0].name == "student"
    assert (record["lamp"] is None) == (encoding == "offset")
    assert len(outcome.rows) == 4
    assert all(len(row) == len(outcome.header) for row in outcome.rows)


def test_files_of_an_f_read_elsewhere(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    """PNG by OpenCV, TIFF by Pillow, npz by NumPy: all the same F, upright."""
    import cv2

    run, scene = make_run(patterns=256, bit_depth=4), f_scene(16)
    outcome = reconstruct(run, *_record(run, scene, tmp_path, photoelectrons_per_frame=1e9))
    outcome.write(tmp_path / "out")
    for image in outcome.leaves:
        stem = tmp_path / "out" / image.name
        stored = np.load(stem.with_suffix(".npz"), allow_pickle=False)["image"]
        assert np.array_equal(stored, image.image)
        with Image.open(stem.with_suffix(".tiff")) as picture:
            assert picture.mode == "F"
            assert np.array_equal(np.asarray(picture), image.image)
        levels = cv2.imread(str(stem.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(levels, np.rint(255 * np.clip(image.image, 0, 1)))
        turned = [np.rot90(part, k) for part in (scene, scene.T) for k in range(4)]
        likeness = [float(np.corrcoef(levels.ravel(), view.ravel())[0, 1]) for view in turned]
        assert int(np.argmax(likeness)) == 0
        assert likeness[0] > 0.9
    with tifffile.TiffFile(tmp_path / "out" / "student.tiff") as tiff:
        assert tiff.pages[0].photometric.name == "MINISBLACK"
        assert tiff.series[0].axes == "YX"
    with Image.open(tmp_path / "out" / "comparison.png") as picture:
        assert picture.width > picture.height
    record = json.loads((tmp_path / "out" / "reconstruction.json").read_text())
    assert record == outcome.value
    with pytest.raises(FileError, match="--force"):
        outcome.write(tmp_path / "out")


def test_what_a_png_cannot_show_is_counted() -> None:
    image = np.array([[-0.5, 0.0, 0.25], [1.0, 1.5, 2.0]], dtype=np.float32)
    assert cut_off(image) == CutOff(minimum=-0.5, maximum=2.0, pixels_below_0=1, pixels_above_1=2)
    import io

    with Image.open(io.BytesIO(grey_png(image))) as picture:
        assert np.asarray(picture).tolist() == [[0, 0, 64], [255, 255, 255]]
    assert NamedImage("a", "A", image).caption == ""


def test_a_bare_array_of_readings(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    run, scene = make_run(), f_scene(16)
    capture, calibration = _record(run, scene, tmp_path)
    np.savetxt(tmp_path / "scene.csv", read_capture(capture).arrays["scene"])
    first = reconstruct(run, capture, calibration)
    second = reconstruct(run, tmp_path / "scene.csv", calibration)
    assert np.array_equal(first.images.student, second.images.student)
    assert any("could not be checked" in note for note in second.value["notes"])
    assert "psnr_db" not in second.value["images"]["student"]


def test_what_does_not_fit_is_refused(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    run, other, scene = make_run(), make_run(patterns=41), f_scene(16)
    capture, calibration = _record(run, scene, tmp_path)
    with pytest.raises(FileError, match="was recorded with design"):
        reconstruct(other, capture, calibration)
    np.savetxt(tmp_path / "scene.csv", np.arange(76.0))
    with pytest.raises(FileError, match="scene: 76 readings, but the design shows 82 frames"):
        reconstruct(other, tmp_path / "scene.csv", calibration)
    with pytest.raises(FileError, match="no such calibration"):
        reconstruct(run, capture, tmp_path / "absent")
    saturated, calibration = _record(run, np.ones((16, 16)), tmp_path)
    readings, record = _capture(run, np.ones((16, 16)), gain=0.5)
    write_capture(saturated, record, readings, force=True)
    with pytest.raises(FileError, match="80 of 80 readings are at or above the saturation level"):
        reconstruct(run, saturated, calibration)


def test_a_scene_unlike_the_training_images_is_remarked(make_run: MakeRun, tmp_path: Path, f_scene: MakeScene) -> None:
    run = make_run()
    outcome = reconstruct(run, *_record(run, 0.1 * f_scene(16), tmp_path))
    assert any("times that of the training images" in note for note in outcome.remarks)


@pytest.mark.parametrize(
    ("faults", "fault"),
    [({"mirror": 1}, "mirror"), ({"inversion": 1}, "inversion"), ({"shift": 1}, "shift")],
)
def test_a_bench_that_changed_since_is_refused_by_name(
    make_run: MakeRun, f_scene: MakeScene, tmp_path: Path, faults: dict[str, float], fault: str
) -> None:
    run, scene = make_run(patterns=120), f_scene(16)
    _, calibration = _record(run, scene, tmp_path)
    moved = _later(run, scene, tmp_path, "later", seed=1, faults=faults)
    with pytest.raises(LimitError, match=f"failed its verification: held-out patterns: .*this resembles: {fault}"):
        reconstruct(run, moved, calibration)
    outcome = reconstruct(run, moved, calibration, accept_failed=True)
    assert any(note.startswith("ACCEPTED although failed: held-out patterns") for note in outcome.remarks)
    assert any(check["fault"] == fault for check in outcome.value["checks"])
    same = reconstruct(run, _later(run, scene, tmp_path, "same", seed=1), calibration)
    assert not any("ACCEPTED" in note for note in same.remarks)


def test_what_is_calibrated_is_undone(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    """A mirrored, shifted bench with exchanged mirrors shows the F as upright as a good one."""
    run, scene = make_run(patterns=200), f_scene(16)
    good = reconstruct(run, *_record(run, scene, tmp_path / "good"))
    faults = {"mirror": 1, "shift": 1, "inversion": 1}
    bad = reconstruct(run, *_record(run, scene, tmp_path / "bad", faults=faults))
    for name in ("lmmse", "student"):
        was, now = (outcome.value["images"][name]["correlation"] for outcome in (good, bad))
        assert now > was - 0.05
    assert {check["fault"] for check in bad.value["verification"]["checks"]} >= {"mirror", "shift", "inversion"}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"exposure_us": 500.0}, "exposure: 235 us was calibrated, the capture has 500 us"),
        ({"profile_digest": "c" * 64}, "profile: .* was calibrated, the capture has cccccccccccc"),
        ({"bench_state": BenchState(temperature_c=45.0)}, "temperature: calibrated at 20 C, captured at 45 C"),
        ({"bench_state": BenchState(roi_px=(0, 0, 5, 5))}, "region of interest"),
        ({"bench_state": BenchState(binning=2)}, "binning: 1 was calibrated, the capture has 2"),
        ({"bench_state": BenchState(detector_gain="high")}, "detector gain: low was calibrated, the capture has high"),
        ({"created_utc": "2026-03-01T00:00:00+00:00"}, "age: calibrated 59.0 days before the capture; calibrate again"),
    ],
)
def test_stale_and_foreign_calibrations(
    make_run: MakeRun, f_scene: MakeScene, tmp_path: Path, record: dict[str, Any], said: str
) -> None:
    run, scene = make_run(patterns=40), f_scene(16)
    state = BenchState(temperature_c=20.0, roi_px=(0, 0, 9, 9), binning=1, detector_gain="low")
    _, calibration = _record(run, scene, tmp_path, record={"bench_state": state})
    later = _later(run, scene, tmp_path, "later", seed=1, record={"bench_state": state} | record)
    with pytest.raises(LimitError, match=said):
        reconstruct(run, later, calibration)


def test_a_failed_calibration_is_refused(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    run, scene = make_run(patterns=120), f_scene(16)
    capture, calibration = _record(run, scene, tmp_path)
    good = read_capture(capture)
    broken = replace(good, arrays={**good.arrays, "scene": good.arrays["scene"][:-20]})
    place = write_calibration(calibration, broken, calibrate_spc(broken, run.design), UTC, force=True).path
    assert place.name == "cal-failed"
    with pytest.raises(LimitError, match=r"cal-failed: failed its verification: scene: .*--accept-failed"):
        reconstruct(run, capture, place)
    assert any("ACCEPTED" in note for note in reconstruct(run, capture, place, accept_failed=True).remarks)


def test_a_reference_detector_of_the_lamp(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    """5 % flicker in offset encoding, where nothing else shows it."""
    run, scene = make_run(patterns=120, encoding="offset"), f_scene(16)
    _, calibration = _record(run, scene, tmp_path)
    lamp = 1 + 0.05 * np.sin(2e-6 * np.pi * 100 * 235 * np.arange(121) + 1)
    readings, record = _capture(run, scene, seed=1)
    dimmed = 200 + (readings["scene"].astype(np.float64) - 200) * lamp
    content = {"scene": dimmed, "truth": scene, "reference": 1e4 * lamp}
    stored = {name: StoredArray(file="readings.npz") for name in content}
    correlation = {}
    for name in ("plain", "referred"):
        kept = {key: array for key, array in stored.items() if name == "referred" or key != "reference"}
        changed = record.model_copy(update={"arrays": kept})
        write_capture(tmp_path / name, changed, {key: content[key] for key in kept}, force=True)
        outcome = reconstruct(run, tmp_path / name, calibration)
        correlation[name] = outcome.value["images"]["lmmse"]["correlation"]
    assert correlation["referred"] > 0.85
    assert correlation["plain"] < correlation["referred"] - 0.1
    assert any("lamp's reference detector" in note for note in outcome.remarks)
    write_capture(tmp_path / "short", changed, {**content, "reference": lamp[:-1]}, force=True)
    with pytest.raises(FileError, match="reference: 120 readings for 121 frames"):
        reconstruct(run, tmp_path / "short", calibration)
