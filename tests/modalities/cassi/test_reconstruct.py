"""From a simulated bench to cubes: the chain, the gate, and captures that do not fit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cidesign.benchwork import calibrate, reconstruct, simulate
from cidesign.calibration.cassi.capture import CassiCapture, read_cassi_capture, write_cassi_capture
from cidesign.calibration.cassi.record import read_cassi_calibration
from cidesign.errors import FileError, LimitError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.io.envi import read_envi
from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.cassi.score import score_cube
from cidesign.modalities.cassi.solve import METHODS, designed_operator, encoder_of, reconstruct_with
from cidesign.models.optics import optics_for
from cidesign.models.system import load_student
from cidesign.reconstruct.stored import open_reconstruction
from cidesign.runs import library_versions, write_record

SIDE = 32


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_run(path: Path, make_settings: Any, make_system: Any, make_record: Any, seed: int = 3) -> CassiRun:
    """A finished run without training: a random mask, a decoder that is its linear first step."""
    settings = make_settings("cassi", side=SIDE, seed=seed)
    profile = load_profile("chrome-laser-10um")
    bands_nm = profile.spectrograph.wavelengths_nm.value
    images = torch.from_numpy(spectral_dead_leaves(96, SIDE, bands_nm, 1)).float() / 255
    system = make_system(settings, images)
    path.mkdir(parents=True)
    design = optics_for(settings, profile).design(system.encoder)
    design.save(path / "design.npz")
    system.save(path / "student.safetensors")
    write_record(path, make_record(settings, design.design_digest, versions=library_versions()))
    return CassiRun(path)


def f_cube() -> NDArray[np.float64]:
    """An F of one spectrum on a ground of another: no flip, turn or transposition leaves it as it is."""
    ground, ink = np.linspace(0.15, 0.4, 8), np.linspace(0.9, 0.3, 8)
    mark = np.zeros((SIDE, SIDE), dtype=bool)
    mark[4:28, 8:13] = True
    mark[4:9, 8:25] = True
    mark[14:19, 8:20] = True
    return np.where(mark, ink[:, None, None], ground[:, None, None])


class Bench(NamedTuple):
    """A run, and a bench that was captured and calibrated with an F as its scene."""

    run: CassiRun
    capture: Path
    calibration: Path

    def changed(self, folder: Path, change: Callable[[CassiCapture], CassiCapture]) -> Path:
        """Another capture folder, with something changed."""
        capture = change(read_cassi_capture(self.capture))
        record = capture.record.model_copy(
            update={
                "arrays": {name: stored for name, stored in capture.record.arrays.items() if name in capture.arrays}
            }
        )
        arrays: dict[str, NDArray[np.generic]] = dict(capture.arrays)
        write_cassi_capture(folder, record, arrays, force=False)
        return folder


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, make_settings: Any, make_system: Any, make_record: Any) -> Bench:
    folder = tmp_path_factory.mktemp("cassi")
    run = make_run(folder / "run", make_settings, make_system, make_record)
    np.save(folder / "scene.npy", f_cube())
    simulate(run, folder / "capture", faults={}, scene=folder / "scene.npy", seed=5)
    done = calibrate(run, folder / "capture", folder / "calibration")
    verification = done.verification
    place = done.calibration.path
    assert verification.verdict == "passed"
    return Bench(run, folder / "capture", place)


def alike(picture: NDArray[Any], truth: NDArray[Any]) -> float:
    return float(np.corrcoef(picture.ravel(), truth.ravel())[0, 1])


def assert_upright(cube: NDArray[Any]) -> None:
    truth = f_cube()[0]
    plane = cube[0]
    others = [alike(other, truth) for other in (plane[::-1], plane[:, ::-1], plane.T, plane[::-1, ::-1])]
    assert alike(plane, truth) > max(0.75, max(others) + 0.15)


def test_the_chain_with_a_simulated_bench(bench: Bench, tmp_path: Path) -> None:
    done = reconstruct(bench.run, bench.capture, bench.calibration, tmp_path / "images")
    value, text = done.printed
    assert json.loads(json.dumps(value)) == value
    assert set(value["images"]) == set(METHODS)
    scores = {name: entry["psnr_db"] for name, entry in value["images"].items()}
    assert scores["student"] > 17
    assert scores["student"] > scores["tikhonov"] + 2
    assert value["images"]["student"]["chi_square_reduced"] < 2
    assert "student decoder" in text
    assert any("a low residual proves nothing for SD-CASSI" in note for note in value["notes"])
    assert value["simulated"] is True
    assert value["operator_error"] == read_cassi_calibration(bench.calibration).record.verification.score
    written = {path.name for path in (tmp_path / "images").iterdir()}
    assert {"student.png", "student.npz", "gap_tv.tiff", "truth.npz", "comparison.png", "spectra.png"} <= written
    with np.load(tmp_path / "images" / "student.npz") as stored:
        assert_upright(stored["cube"])
        assert stored["wavelengths_nm"].tolist() == bench.run.profile.spectrograph.wavelengths_nm.value
        envi = read_envi(tmp_path / "images" / "student.hdr")
        np.testing.assert_array_equal(envi.values, stored["cube"])
        assert list(envi.wavelengths) == stored["wavelengths_nm"].tolist()
        again = open_reconstruction(tmp_path / "images")
        np.testing.assert_array_equal(again.images.student, stored["cube"])
        assert again.record.value == done.record.value
        assert set(again.images) == {*METHODS, "truth"}
        assert set(again.maps) == set(done.maps)
    with pytest.raises(FileError, match="exists already"):
        reconstruct(bench.run, bench.capture, bench.calibration, tmp_path / "images")


def test_the_calibrated_operator_is_what_makes_the_cube(bench: Bench) -> None:
    """Told the drawn mask in its nominal place, the student fails; told the calibrated operator, it does not."""
    capture = read_cassi_capture(bench.capture)
    found = read_cassi_calibration(bench.calibration).calibration
    system = load_student(bench.run)
    assert capture.record.code_origin_px is not None
    designed = designed_operator(
        bench.run.design, bench.run.profile, found.operator.size, capture.record.code_origin_px
    )
    y, variance, valid = found.measurements(capture.scene)
    scores = {}
    for name, operator in {"designed": designed, "calibrated": found.operator}.items():
        cubes = reconstruct_with(system, y, variance, encoder_of(operator, valid, variance))
        assert set(cubes) == set(METHODS)
        scores[name] = score_cube(cubes["student"], f_cube()).psnr_db
    assert scores["calibrated"] > scores["designed"] + 3


def test_the_designed_operator_is_the_students(bench: Bench) -> None:
    """On a detector without any margin, it is what the student was trained with."""
    encoder = load_student(bench.run).encoder
    x = torch.rand(2, 8, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    y = encoder.A(x)
    operator = designed_operator(bench.run.design, bench.run.profile, (y.shape[1], y.shape[2]), (0.0, 0.0))
    torch.testing.assert_close(encoder_of(operator).A(x), y)


def test_a_mirrored_plate_still_gives_an_upright_picture(bench: Bench, tmp_path: Path) -> None:
    """The plate stands the wrong way round: the calibration finds it, and the scene is not mirrored with it."""
    np.save(tmp_path / "scene.npy", f_cube())
    simulate(bench.run, tmp_path / "capture", faults={"mirror": 1.0}, scene=tmp_path / "scene.npy", seed=6)
    done = calibrate(bench.run, tmp_path / "capture", tmp_path / "calibration")
    verification = done.verification
    place = done.calibration.path
    assert "mirror" in verification.faults
    outcome = reconstruct(bench.run, tmp_path / "capture", place, accept_failed=True)
    student = outcome.images.student
    assert_upright(student)


def test_a_bench_that_changed_is_refused(bench: Bench, tmp_path: Path) -> None:
    simulate(bench.run, tmp_path / "capture", faults={"shift": 0.7}, seed=5)
    with pytest.raises(LimitError, match=r"white target.*this resembles: shift"):
        reconstruct(bench.run, tmp_path / "capture", bench.calibration)
    outcome = reconstruct(bench.run, tmp_path / "capture", bench.calibration, accept_failed=True)
    assert any(note.startswith("ACCEPTED although failed: white target") for note in outcome.remarks)


@pytest.mark.parametrize(
    ("update", "message"),
    [({"exposure_us": 40_000.0}, "exposure.*calibrate at this exposure"), ({"created_utc": "2031-01-01"}, "age")],
)
def test_other_circumstances_are_refused(bench: Bench, tmp_path: Path, update: dict[str, Any], message: str) -> None:
    other = bench.changed(tmp_path / "c", lambda c: replace(c, record=c.record.model_copy(update=update)))
    with pytest.raises(LimitError, match=message):
        reconstruct(bench.run, other, bench.calibration)


def test_a_calibration_that_failed_is_refused(bench: Bench, tmp_path: Path) -> None:
    text = (bench.calibration / "calibration.json").read_text()
    record = json.loads(text)
    record["verification"]["checks"][0] |= {"status": "failed", "text": "it leaks", "fault": "dark"}
    folder = tmp_path / "calibration"
    folder.mkdir()
    (folder / "calibration.json").write_text(json.dumps(record))
    (folder / "arrays.npz").write_bytes((bench.calibration / "arrays.npz").read_bytes())
    with pytest.raises(LimitError, match="it leaks; this resembles: dark"):
        reconstruct(bench.run, bench.capture, folder)
    assert reconstruct(bench.run, bench.capture, folder, accept_failed=True).images


def test_saturated_readings_take_no_part(bench: Bench, tmp_path: Path) -> None:
    def saturate(part: slice) -> Callable[[CassiCapture], CassiCapture]:
        def change(capture: CassiCapture) -> CassiCapture:
            scene = capture.scene.copy()
            scene[:, part, 40:90] = 65535
            return replace(capture, arrays={**capture.arrays, "scene": scene})

        return change

    few = bench.changed(tmp_path / "few", saturate(slice(40, 50)))
    outcome = reconstruct(bench.run, few, bench.calibration, accept_failed=True)
    assert outcome.value["raw_readings_saturated"] == 10 * 50
    assert 80 < outcome.value["readings_dead_or_saturated"] < 200
    stored = read_cassi_calibration(bench.calibration)
    measured = stored.measurements(read_cassi_capture(few), bench.run.design, accept_failed=True)
    assert not measured.used[20:25, 22:40].any()
    student = outcome.images.student
    assert_upright(student)  # what the bright stripe hides is filled in, not drawn white
    many = bench.changed(tmp_path / "many", saturate(slice(0, 80)))
    with pytest.raises(FileError, match=r"dead or saturated .* expose for less"):
        reconstruct(bench.run, many, bench.calibration, accept_failed=True)


def test_without_a_white_target_or_a_truth(bench: Bench, tmp_path: Path) -> None:
    def strip(capture: CassiCapture) -> CassiCapture:
        kept = {name: array for name, array in capture.arrays.items() if name not in ("white", "truth")}
        return replace(capture, arrays=kept)

    outcome = reconstruct(bench.run, bench.changed(tmp_path / "c", strip), bench.calibration)
    assert any(note.startswith("white target: not checked") for note in outcome.remarks)
    assert all("psnr_db" not in entry for entry in outcome.value["images"].values())
    assert next(iter(outcome.images)) == "student"


def test_weak_light_is_said(bench: Bench, tmp_path: Path) -> None:
    def dim(capture: CassiCapture) -> CassiCapture:
        dark = capture.arrays["dark"].mean(axis=0)
        return replace(capture, arrays={**capture.arrays, "scene": np.rint(dark + 0.2 * (capture.scene - dark))})

    outcome = reconstruct(bench.run, bench.changed(tmp_path / "c", dim), bench.calibration)
    assert any("times the light of the mean training scene" in note for note in outcome.remarks)


def test_captures_that_do_not_fit(
    bench: Bench, tmp_path: Path, make_settings: Any, make_system: Any, make_record: Any
) -> None:
    with pytest.raises(FileError, match="no such calibration"):
        reconstruct(bench.run, bench.capture, tmp_path / "none")
    with pytest.raises(FileError, match="no such capture"):
        reconstruct(bench.run, tmp_path / "none", bench.calibration)
    empty = bench.changed(
        tmp_path / "empty",
        lambda c: replace(c, arrays={name: array for name, array in c.arrays.items() if name != "scene"}),
    )
    with pytest.raises(FileError, match="holds no scene"):
        reconstruct(bench.run, empty, bench.calibration)
    small = bench.changed(
        tmp_path / "small", lambda c: replace(c, arrays={**c.arrays, "truth": c.arrays["truth"][:, :-1]})
    )
    with pytest.raises(FileError, match="truth has shape"):
        reconstruct(bench.run, small, bench.calibration)
    other = make_run(tmp_path / "other", make_settings, make_system, make_record, seed=4)
    with pytest.raises(FileError, match="name the run whose mask was in the bench"):
        reconstruct(other, bench.capture, bench.calibration)
