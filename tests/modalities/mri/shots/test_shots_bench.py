"""Shots through the bench: simulate, calibrate, reconstruct; a delay that is corrected, and one that is not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.benchwork import calibrate, reconstruct, simulate
from cidesign.calibration.mri.shots.capture import read_shots_capture
from cidesign.calibration.mri.shots.record import read_shots_calibration
from cidesign.designs.fixed import fixed_design
from cidesign.designs.untrained import untrained_run
from cidesign.errors import CidesignError, FileError
from cidesign.modalities.mri.diagnostics import redrawn
from cidesign.modalities.mri.shots.run import ShotsRun
from cidesign.modalities.mri.shots.solve import student_magnitudes
from cidesign.models.system import load_student
from cidesign.reconstruct.uncertainty import deviation_of

SIDE = 32


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ShotsRun:
    """Radial shots as a run that was never trained: its decoder is the linear estimate."""
    folder = tmp_path_factory.mktemp("shots")
    fixed_design("radial", folder / "design", profile="mri-siemens-prisma", sampling="radial", side=SIDE, shots=20)
    return ShotsRun(untrained_run(folder / "design", coils=3, images=8, validation_images=2).path)


@pytest.fixture(scope="module")
def chain(run: ShotsRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    simulate(run, folder / "capture", delay_rows_us=2.0, delay_columns_us=-1.0)
    calibrate(run, folder / "capture", folder / "calibration")
    done = reconstruct(run, folder / "capture", folder / "calibration", folder / "images")
    value, text = done.printed
    (folder / "printed.json").write_text(json.dumps(value))
    assert "CG-SENSE" in text
    return folder


def _image(folder: Path, name: str) -> NDArray[Any]:
    found: NDArray[Any] = np.abs(np.load(folder / f"{name}.npz")["image"])
    return found


def test_the_image_is_the_one_that_was_scanned(chain: Path) -> None:
    value = json.loads((chain / "printed.json").read_text())
    found = {entry["reconstruction"]: entry for entry in value["images"]}
    assert set(found) == {"gridding", "cg_sense", "total_variation", "linear"}
    assert found["linear"]["psnr_db"] > found["gridding"]["psnr_db"]
    assert found["linear"]["psnr_db"] > 20
    truth = np.abs(read_shots_capture(chain / "capture").truth)
    image = _image(chain / "images", "linear")

    def alike(other: NDArray[Any]) -> float:
        return float(np.corrcoef(other.ravel(), truth.ravel())[0, 1])

    assert alike(image) > 0.95
    flips = [image[::-1], image[:, ::-1], image[::-1, ::-1], image.T, image.T[::-1]]
    assert max(map(alike, flips)) < alike(image) - 0.05


def test_the_scatter_is_that_of_the_noise(run: ShotsRun, chain: Path) -> None:
    """Of twice the noise it is twice as much inside the object, where magnitudes are linear in it."""
    stored, raw = read_shots_calibration(chain / "calibration"), read_shots_capture(chain / "capture")
    calibration, truth = stored.calibration, np.abs(raw.truth)
    y = calibration.measurements(raw)
    found = [
        deviation_of(student_magnitudes(load_student(run), redrawn(y, noise, 12), run.design, calibration))
        for noise in (calibration.noise_deviation, 2 * calibration.noise_deviation)
    ]
    inside = truth > 0.3 * truth.max()
    assert np.median(found[1][inside] / found[0][inside]) == pytest.approx(2, rel=0.1)
    value = json.loads((chain / "printed.json").read_text())
    assert value["uncertainty"]["draws"] == 16
    peak = value["full_scale"] * calibration.scale
    map_rms = float(np.sqrt(np.mean((found[0] / peak) ** 2)))
    assert value["uncertainty"]["student_rms"] == pytest.approx(map_rms, rel=0.1)
    # What the shots cannot see is part of the error, and none of the scatter.
    assert value["error_over_uncertainty"]["student"] > 1
    assert np.load(chain / "images" / "uncertainty.npz")["image"].shape == (SIDE, SIDE)


def test_gradients_that_come_late_are_found_and_allowed_for(run: ShotsRun, chain: Path, tmp_path: Path) -> None:
    stored = read_shots_calibration(chain / "calibration")
    assert stored.record.verification.verdict == "passed"
    (check,) = [one for one in stored.record.verification.checks if one.name == "gradient delay"]
    assert check.status == "corrected"
    # The same scan with gradients in time gives hardly a better image.
    simulate(run, tmp_path / "capture", delay_rows_us=0.0, delay_columns_us=0.0)
    calibrate(run, tmp_path / "capture", tmp_path / "calibration")
    value, _ = reconstruct(run, tmp_path / "capture", tmp_path / "calibration", tmp_path / "images").printed
    late = json.loads((chain / "printed.json").read_text())
    one, other = (
        next(entry["psnr_db"] for entry in said["images"] if entry["reconstruction"] == "cg_sense")
        for said in (late, json.loads(json.dumps(value)))
    )
    assert abs(one - other) < 1.0


def test_without_a_calibration_the_capture_says_it_of_itself(run: ShotsRun, chain: Path, tmp_path: Path) -> None:
    value, _ = reconstruct(run, chain / "capture", None, tmp_path / "images").printed
    assert any("no calibration was named" in str(note) for note in json.loads(json.dumps(value))["notes"])


def test_what_is_not_of_these_shots_is_refused(run: ShotsRun, chain: Path, tmp_path: Path) -> None:
    fixed_design("spiral", tmp_path / "d", profile="mri-siemens-prisma", sampling="spiral", side=SIDE, shots=20)
    other = ShotsRun(untrained_run(tmp_path / "d", coils=3, images=8, validation_images=2).path)
    with pytest.raises(CidesignError, match="capture"):
        calibrate(other, chain / "capture", tmp_path / "calibration")
    assert not (tmp_path / "calibration").exists()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "capture.json").write_text("{}")
    with pytest.raises(FileError):
        read_shots_capture(damaged)
