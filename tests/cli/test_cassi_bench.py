"""The commands of an SD-CASSI bench, from a run to a calibration."""

import re
from typing import Any

import numpy as np
import pytest

from cidesign.benchwork import calibrate, simulate
from cidesign.calibration.cassi.capture import read_cassi_capture
from cidesign.cli.display import waiting
from cidesign.errors import FileError, InputError
from cidesign.modalities.cassi.bench import CassiBench, SimulateCassi


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, finished_run: Any, make_settings: Any) -> Any:
    from cidesign.modalities.cassi.run import CassiRun

    return finished_run(tmp_path_factory.mktemp("cassi") / "run", make_settings("cassi", side=24), CassiRun)


def test_a_simulated_bench_is_calibrated_to_what_it_is(run, tmp_path):
    done = simulate(run, tmp_path / "capture", faults={}, seed=4)
    value, text = done.printed
    assert value["bench"]["seed"] == 4
    assert "24" not in value["bench"]["scene"]
    assert "code pixel" in text
    capture = read_cassi_capture(tmp_path / "capture")
    assert capture.truth.shape == (8, 24, 24)
    assert capture.truth.std() > 0.1
    done = calibrate(run, tmp_path / "capture", tmp_path / "calibration")
    value, text = done.printed
    verification = done.verification
    place = done.calibration.path
    assert verification.verdict == "passed"
    assert not verification.faults
    assert place == tmp_path / "calibration"
    assert value["verification"]["score"] == verification.score
    error = next(line for line in text.splitlines() if line.startswith("standard error"))
    assert float(error.split("lies")[1].split()[0]) < 0.03  # code pixels, against the simulated truth


def test_who_waits_for_a_simulation_is_told(run, tmp_path, cidesign, monkeypatch):
    monkeypatch.setattr(waiting, "QUIET_S", 0.0)
    done = cidesign("simulate", run.path, "--out", tmp_path / "capture")
    assert done.code == 0
    assert re.search(r"^frames of the lines: \d+ %, less than a minute to go$", done.err, re.MULTILINE)


def test_a_failed_calibration_is_told_and_written_beside_an_earlier_one(run, tmp_path):
    simulate(run, tmp_path / "good", faults={})
    simulate(run, tmp_path / "bad", faults={"wrong-lamp": 60.0})
    calibrate(run, tmp_path / "good", tmp_path / "calibration")
    before = (tmp_path / "calibration" / "arrays.npz").read_bytes()
    done = calibrate(run, tmp_path / "bad", tmp_path / "calibration", force=True)
    verification = done.verification
    place = done.calibration.path
    assert verification.verdict == "failed"
    assert verification.faults == ("wrong-lamp",)
    assert place == tmp_path / "calibration-failed"
    assert (tmp_path / "calibration" / "arrays.npz").read_bytes() == before
    with pytest.raises(FileError, match="exists already"):
        calibrate(run, tmp_path / "good", tmp_path / "calibration")


def test_a_scene_of_ones_own_must_be_a_cube_of_reflectances(run, tmp_path):
    cube = np.linspace(0, 1, 8 * 24 * 24).reshape(8, 24, 24)
    np.save(tmp_path / "cube.npy", cube)
    simulate(run, tmp_path / "capture", faults={}, scene=tmp_path / "cube.npy")
    assert read_cassi_capture(tmp_path / "capture").truth == pytest.approx(cube, abs=1e-6)
    np.save(tmp_path / "small.npy", cube[:, :8])
    with pytest.raises(InputError, match=r"shape \(8, 8, 24\); a scene has bands, rows and columns \(8, 24, 24\)"):
        simulate(run, tmp_path / "other", faults={}, scene=tmp_path / "small.npy")
    np.save(tmp_path / "bright.npy", 3 * cube)
    with pytest.raises(InputError, match="reflectances from 0 to 1"):
        simulate(run, tmp_path / "other", faults={}, scene=tmp_path / "bright.npy")
    assert not (tmp_path / "other").exists()


def test_settings_are_reached_by_name(run):
    assert SimulateCassi(psf_px=0.5, lines=9).model_dump(exclude_unset=True) == {"psf_px": 0.5, "lines": 9}
    with pytest.raises(InputError, match="known are detector_px_per_code_px, displacement_along_px"):
        simulate(run, blur=1)
    with pytest.raises(InputError, match="setting psf_px 5: from 0 to 3 is possible"):
        simulate(run, psf_px=5)
    with pytest.raises(InputError, match=r"lines=7\.5: a value of the kind int is needed"):
        simulate(run, lines=7.5)


def test_the_plan_is_that_of_the_run(run):
    steps = CassiBench().plan(run)
    assert "24 x 24 pixels" in steps[0].how
    assert [step.title for step in steps][-2:] == ["White target", "Scene"]
