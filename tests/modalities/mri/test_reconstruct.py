"""From raw k-space to images: the chain with a simulated scanner."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cidesign.benchwork import calibrate, reconstruct, simulate
from cidesign.calibration.mri import virtual_coils
from cidesign.calibration.mri.kspace import centred_fft
from cidesign.calibration.mri.phantom import draw_phantom
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.calibration.mri.record import read_kspace_calibration
from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.export.mri.family import FAMILY
from cidesign.hardware_profiles.loader import load_profile
from cidesign.io.nifti import read_nifti
from cidesign.modalities.mri.bench import MriBench
from cidesign.modalities.mri.data.phantoms import phantom_slices
from cidesign.modalities.mri.reconstruct import line_sets
from cidesign.modalities.mri.record import MriRecord
from cidesign.modalities.mri.run import MriRun
from cidesign.models.optics import optics_for
from cidesign.reconstruct.stored import open_reconstruction
from cidesign.report.shown_record import shown_record
from cidesign.runs import library_versions, write_record

DATA = Path(__file__).parents[3].parent / "shared" / "data"
SIDE, NOISE = 32, 0.01


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_run(
    path: Path, make_settings: Callable[..., Any], make_system: Any, make_record: Any, side: int = SIDE, **changes: Any
) -> MriRun:
    """A finished run without training: lines ranked by energy, a decoder that is its linear first step."""
    settings = make_settings("mri", side=side, acquired=side // 2, acs_lines=12, noise=NOISE, **changes)
    images = torch.from_numpy(phantom_slices(24, side, 1).astype(np.float32))
    system = make_system(settings, images)
    path.mkdir(parents=True)
    lines = optics_for(settings, load_profile("mri-generic-3t")).design(system.encoder)
    lines.save(path / "design.npz")
    system.save(path / "student.safetensors")
    write_record(path, make_record(settings, lines.design_digest, versions=library_versions()))
    return MriRun(path)


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], make_system: Any, make_record: Any
) -> MriRun:
    return make_run(tmp_path_factory.mktemp("run") / "run", make_settings, make_system, make_record)


def slice_of(side: int = SIDE) -> NDArray[np.complex64]:
    real, imaginary = phantom_slices(1, side, 2**33 + 5)[0].astype(np.float32)
    return np.asarray(real + 1j * imaginary, dtype=np.complex64)


def chain(run: MriRun, folder: Path, **scan: Any) -> dict[str, Any]:
    simulate(run, folder / "capture", **scan)
    calibrate(run, folder / "capture", folder / "calibration")
    done = reconstruct(run, folder / "capture", folder / "calibration", folder / "images")
    value, text = done.printed
    assert json.loads(json.dumps(value)) == value
    assert "student decoder" in text
    return value


def scores(value: dict[str, Any], lines: str = "student") -> dict[str, dict[str, float]]:
    return {entry["reconstruction"]: entry for entry in value["images"] if entry["lines"] == lines}


@pytest.mark.parametrize("coils", [1, 4])
def test_the_chain_with_a_simulated_scanner(run: MriRun, tmp_path: Path, coils: int) -> None:
    value = chain(run, tmp_path, coils=coils)
    assert (value["sampling"], value["reference"], value["coils"]) == ("prospective", "truth (simulated)", coils)
    found = scores(value)
    assert set(found) == {"zero_filled", "cg_sense", "total_variation", "student"}
    assert found["student"]["psnr_db"] > 22
    assert found["student"]["psnr_db"] > found["zero_filled"]["psnr_db"] - 0.5
    assert found["student"]["chi_square_reduced"] < 2
    trained_for_one = any("trained with 1 simulated coil" in note for note in value["notes"])
    assert trained_for_one == (coils != 1)
    written = {path.name for path in (tmp_path / "images").iterdir()}
    assert {"student.png", "student.npz", "reference.tiff", "comparison.png", "reconstruction.json"} <= written
    again = open_reconstruction(tmp_path / "images")
    for name in ("student", "reference"):
        assert read_nifti(tmp_path / "images" / f"{name}.nii").slices[0].tolist() == again.images[name].tolist()


def test_the_image_is_not_flipped_or_turned(run: MriRun, tmp_path: Path) -> None:
    chain(run, tmp_path, coils=4)
    truth = np.abs(read_kspace(tmp_path / "capture").truth)
    image = np.load(tmp_path / "images" / "student.npz")["image"]

    def alike(other: NDArray[Any]) -> float:
        return float(np.corrcoef(other.ravel(), truth.ravel())[0, 1])

    assert alike(image) > 0.96
    assert max(alike(image[::-1]), alike(image[:, ::-1]), alike(image.T), alike(image[::-1, ::-1])) < 0.9


def test_orientation_turns_the_pictures(run: MriRun, tmp_path: Path) -> None:
    chain(run, tmp_path, phantom=False)
    calibrate(run, tmp_path / "capture", tmp_path / "turned", transpose=True, flip_vertical=True)
    reconstruct(run, tmp_path / "capture", tmp_path / "turned", tmp_path / "other")
    for name in ("student", "reference"):
        plain, turned = (np.load(tmp_path / folder / f"{name}.npz")["image"] for folder in ("images", "other"))
        np.testing.assert_array_equal(turned, plain.T[::-1])


def test_a_full_capture_is_sampled_with_several_sets(run: MriRun, tmp_path: Path) -> None:
    value = chain(run, tmp_path, all_lines=True, coils=4)
    assert value["sampling"] == "retrospective"
    assert {entry["lines"] for entry in value["images"]} == {"student", "centre block", "variable density"}
    assert len(value["images"]) == 12
    sets = line_sets(run.design)
    assert {len(lines.acquired) for lines in sets.values()} == {len(run.design.acquired)}
    # The student's lines give the same image whether they were taken out of a full scan or measured alone.
    alone = chain(run, tmp_path / "alone", coils=4)
    both = scores(value)["student"]["psnr_db"], scores(alone)["student"]["psnr_db"]
    assert both[0] == pytest.approx(both[1], abs=0.7)


def test_a_simulated_capture_of_slices_becomes_a_stack(run: MriRun, tmp_path: Path) -> None:
    value = chain(run, tmp_path, slices=2, phantom=False)
    assert [one["slice"] for one in value["slices"]] == [0, 1]
    found = [scores(one) for one in value["slices"]]
    assert all(one["student"]["psnr_db"] > 22 for one in found)
    assert scores(value)["student"]["psnr_db"] == pytest.approx(np.mean([one["student"]["psnr_db"] for one in found]))
    assert value["full_scale"] == max(one["full_scale"] for one in value["slices"])
    written = {path.name for path in (tmp_path / "images").iterdir()}
    assert {"student.nii", "student.png", "comparison.png", "comparison_000.png", "comparison_001.png"} <= written
    assert open_reconstruction(tmp_path / "images").images["student"].shape == (2, SIDE, SIDE)
    record = shown_record(tmp_path / "images")
    assert record.verdict == value["verdict"] == "not verified"
    with pytest.raises(InputError, match=r"scene\.npy is one scene; leave one of them out"):
        simulate(run, tmp_path / "other", slices=2, scene=tmp_path / "scene.npy")


def test_many_coils_are_combined_to_virtual_ones(run: MriRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images are those of all coils, and the calibration folder holds what was done."""
    value = chain(run, tmp_path, coils=14)
    count = value["virtual_coils"]
    assert 8 <= count < 14
    assert any(f"14 coils are combined to {count} virtual ones" in note for note in value["notes"])
    stored = read_kspace_calibration(tmp_path / "calibration")
    assert (stored.record.coils, stored.record.virtual_coils) == (14, count)
    assert stored.record.virtual_kept is not None
    assert stored.record.virtual_kept > 0.99
    assert len(stored.calibration.maps) == 14
    monkeypatch.setattr(virtual_coils, "FEW_COILS", 14)
    calibrate(run, tmp_path / "capture", tmp_path / "all")
    done = reconstruct(run, tmp_path / "capture", tmp_path / "all")
    assert "virtual_coils" not in done.value
    few, all_coils = scores(value), scores(done.value)
    for name in few:
        assert few[name]["psnr_db"] == pytest.approx(all_coils[name]["psnr_db"], abs=0.3)


def test_a_calibration_that_failed_is_refused_unless_accepted(run: MriRun, tmp_path: Path) -> None:
    simulate(run, tmp_path / "capture", coils=4, faults={"lost-trigger": 1})
    done = calibrate(run, tmp_path / "capture", tmp_path / "calibration")
    value, _ = done.printed
    verification = done.verification
    place = done.calibration.path
    assert verification.verdict == "failed"
    assert (place, value["calibration"]) == (tmp_path / "calibration", str(tmp_path / "calibration"))
    with pytest.raises(
        LimitError, match=r"order of readouts: 1 readout.*this resembles: lost-trigger.*--accept-failed"
    ):
        reconstruct(run, tmp_path / "capture", place, tmp_path / "images")
    assert not (tmp_path / "images").exists()
    done = reconstruct(run, tmp_path / "capture", place, tmp_path / "images", accept_failed=True)
    value, text = done.printed
    assert "ACCEPTED although failed: order of readouts" in text
    assert value["verification"]["calibration"]["checks"]


def test_a_failed_calibration_does_not_replace_a_good_one(run: MriRun, tmp_path: Path) -> None:
    simulate(run, tmp_path / "capture", coils=4)
    calibrate(run, tmp_path / "capture", tmp_path / "calibration")
    kept = (tmp_path / "calibration" / "calibration.json").read_bytes()
    simulate(run, tmp_path / "bad", coils=4, faults={"saturation": 200})
    done = calibrate(run, tmp_path / "bad", tmp_path / "calibration", force=True)
    verification = done.verification
    place = done.calibration.path
    assert verification.faults == ("saturation",)
    assert place == tmp_path / "calibration-failed"
    assert (tmp_path / "calibration" / "calibration.json").read_bytes() == kept


@pytest.mark.parametrize(("fault", "strength"), [("shift", 3.0), ("coil-loss", 1.0), ("mirror", 1.0), ("dark", 1.0)])
def test_a_scanner_that_changed_is_refused_by_the_captures_own_phantom(
    run: MriRun, tmp_path: Path, fault: Any, strength: float
) -> None:
    simulate(run, tmp_path / "sound", coils=4)
    calibrate(run, tmp_path / "sound", tmp_path / "calibration")
    simulate(run, tmp_path / "later", coils=4, faults={fault: strength}, seed=5)
    with pytest.raises(LimitError, match=f"later: failed its verification: .*this resembles: {fault}"):
        reconstruct(run, tmp_path / "later", tmp_path / "calibration", tmp_path / "images")


def test_corrected_faults_cost_little(run: MriRun, tmp_path: Path) -> None:
    """Images of a scanner whose faults were put right are as good as those of a sound one; uncorrected they are not."""
    sound = scores(chain(run, tmp_path / "sound", coils=4))["cg_sense"]["psnr_db"]
    faults: Any = {"shift": 3.0, "dark": 1.0, "mirror": 2.0, "drift": 60.0, "trajectory-delay": 1.5}
    put_right = scores(chain(run, tmp_path / "faulty", coils=4, faults=faults))["cg_sense"]["psnr_db"]
    assert put_right > sound - 1.5
    done = reconstruct(
        run,
        tmp_path / "faulty" / "capture",
        tmp_path / "sound" / "calibration",
        tmp_path / "ignored",
        accept_failed=True,
    )
    ignored, _ = done.printed
    assert scores(ignored)["cg_sense"]["psnr_db"] < put_right - 5
    assert sum("ACCEPTED although failed" in note for note in ignored["notes"]) >= 4


def test_held_out_lines_are_scored(run: MriRun, tmp_path: Path) -> None:
    value = chain(run, tmp_path, coils=4)
    assert value["held_out"]["relative_residual"] < 0.25
    assert chain(run, tmp_path / "one")["held_out"]["relative_residual"] is None


def test_held_out_lines_are_read_by_their_earlier_name(run: MriRun, tmp_path: Path) -> None:
    value = chain(run, tmp_path, coils=4)
    file = tmp_path / "images" / "reconstruction.json"
    record = json.loads(file.read_text())
    held = record.pop("held_out")
    record["held_back"] = {"unexplained": held["relative_residual"], "meaning": held["meaning"]}
    file.write_text(json.dumps(record))
    shown = shown_record(file.parent).held_out
    assert shown is not None
    assert shown.relative_residual == value["held_out"]["relative_residual"]
    assert MriRecord.model_validate(record).held_out.relative_residual == shown.relative_residual


def test_a_phantom_is_given_with_its_drawing(run: MriRun, tmp_path: Path) -> None:
    simulate(run, tmp_path / "capture", phantom=False)
    with pytest.raises(InputError, match="a scan and its drawing go together"):
        calibrate(run, tmp_path / "capture", tmp_path / "calibration", phantom=tmp_path / "capture")
    drawing = draw_phantom(SIDE, SIDE)
    np.save(tmp_path / "drawing.npy", drawing)
    k = centred_fft(drawing.astype(np.complex64) * 1e-3, (-2, -1))
    k *= np.exp(-2j * np.pi * 2 * (np.arange(SIDE) - SIDE // 2) / SIDE).astype(np.complex64)[:, None]
    np.save(tmp_path / "phantom.npy", k)
    done = calibrate(
        run,
        tmp_path / "capture",
        tmp_path / "calibration",
        phantom=tmp_path / "phantom.npy",
        phantom_picture=tmp_path / "drawing.npy",
    )
    verification = done.verification  # fmt: skip
    assert verification.faults == ("shift",)
    reconstruct(run, tmp_path / "capture", tmp_path / "calibration", tmp_path / "images")


def test_the_plan_of_a_run(run: MriRun) -> None:
    assert [step.needed for step in MriBench().plan(run)] == [False, False, True]


def test_without_truth_there_are_no_metrics(run: MriRun, tmp_path: Path) -> None:
    chain(run, tmp_path / "chain")
    raw = read_kspace(tmp_path / "chain" / "capture")
    path = tmp_path / "scan.npy"
    np.save(path, raw.placed())
    outcome = reconstruct(run, path, tmp_path / "chain" / "calibration")
    assert "no fully sampled reference: metrics unavailable" in outcome.remarks
    assert any("those of another capture" in note for note in outcome.remarks)
    assert all("psnr_db" not in entry for entry in outcome.value["images"])
    assert outcome.rows[0][2] == "-"


def test_a_full_capture_without_truth_is_its_own_reference(run: MriRun, tmp_path: Path) -> None:
    chain(run, tmp_path / "chain", all_lines=True, coils=4)
    path = tmp_path / "scan.npy"
    np.save(path, read_kspace(tmp_path / "chain" / "capture").placed())
    outcome = reconstruct(run, path, tmp_path / "chain" / "calibration")
    assert outcome.value["reference"] == "own full reconstruction"
    assert any("the full reconstruction is itself noisy" in note for note in outcome.remarks)


def test_captures_that_do_not_fit(run: MriRun, tmp_path: Path) -> None:
    chain(run, tmp_path)
    raw = read_kspace(tmp_path / "capture")
    missing = raw.placed()
    missing[:, run.design.acquired[-1]] = 0
    np.save(tmp_path / "missing.npy", missing)
    with pytest.raises(FileError, match=f"missing {run.design.acquired[-1]}; unexpected none"):
        reconstruct(run, tmp_path / "missing.npy", tmp_path / "calibration")
    swapped = raw.placed()
    free = int(np.setdiff1d(np.arange(SIDE), run.design.acquired)[0])
    swapped[:, [free, run.design.acquired[-1]]] = swapped[:, [run.design.acquired[-1], free]]
    np.save(tmp_path / "swapped.npy", swapped)
    with pytest.raises(FileError, match=f"missing {run.design.acquired[-1]}; unexpected {free}"):
        reconstruct(run, tmp_path / "swapped.npy", tmp_path / "calibration")
    np.save(tmp_path / "coils.npy", np.repeat(raw.placed(), 2, axis=0))
    with pytest.raises(FileError, match=r"2 coils .* 1 were calibrated"):
        reconstruct(run, tmp_path / "coils.npy", tmp_path / "calibration")
    with pytest.raises(FileError, match="no such calibration"):
        reconstruct(run, tmp_path / "capture", tmp_path / "none")
    with pytest.raises(FileError, match="exists already"):
        simulate(run, tmp_path / "capture")


def test_a_capture_of_another_run_is_refused(
    run: MriRun, tmp_path: Path, make_settings: Callable[..., Any], make_system: Any, make_record: Any
) -> None:
    other = make_run(tmp_path / "other", make_settings, make_system, make_record, side=40)
    chain(other, tmp_path)
    with pytest.raises(FileError, match=r"was recorded with design .* name the run whose lines were measured"):
        reconstruct(run, tmp_path / "capture", tmp_path / "calibration")


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (np.ones((4, 4)), "slices have no contrast"),
        (np.zeros((SIDE, SIDE)), "holds nothing but zeros"),
        (np.full((SIDE, SIDE), np.nan), "values are not finite numbers"),
    ],
)
def test_scenes_that_cannot_be_seen(run: MriRun, tmp_path: Path, scene: NDArray[Any], message: str) -> None:
    np.save(tmp_path / "scene.npy", scene)
    with pytest.raises(CidesignError, match=message):
        simulate(run, tmp_path / "capture", scene=tmp_path / "scene.npy")
    assert not (tmp_path / "capture").exists()


def test_a_given_scene_is_looked_at(run: MriRun, tmp_path: Path) -> None:
    np.save(tmp_path / "scene.npy", 7 * slice_of())
    simulate(run, tmp_path / "capture", scene=tmp_path / "scene.npy", coils=3)
    np.testing.assert_allclose(
        np.abs(read_kspace(tmp_path / "capture").truth), np.abs(slice_of()) / np.abs(slice_of()).max(), atol=1e-6
    )


def test_the_exported_template_filled_by_a_scanner_is_reconstructed(run: MriRun, tmp_path: Path) -> None:
    pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
    ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")
    asked = {
        "kind": "gre", "fov_mm": 220.0, "slice_thickness_mm": 5.0, "flip_angle_deg": 15.0, "te_ms": None, "tr_ms": 15.0,
        "dwell_us": 20.0, "dummies": 3,
    }  # fmt: skip
    FAMILY.export(run.design, run.profile, tmp_path / "export", FAMILY.options(["ismrmrd"], asked))
    (template,) = (tmp_path / "export").glob("*.h5")
    with pytest.raises(FileError, match="is it a template that was never measured"):
        read_kspace(template)
    simulate(run, tmp_path / "full", all_lines=True)
    with np.load(tmp_path / "full" / "kspace.npz") as stored:
        k = stored["k"]
    source, filled = ismrmrd.Dataset(str(template), "dataset", mode="r"), tmp_path / "scan.h5"
    target = ismrmrd.Dataset(str(filled), "dataset")
    target.write_xml_header(source.read_xml_header())
    for number in range(source.number_of_acquisitions()):
        acquisition = source.read_acquisition(number)
        acquisition.data[:] = k[:, acquisition.idx.kspace_encode_step_1]
        target.append_acquisition(acquisition)
    target.close()
    source.close()
    calibrate(run, filled, tmp_path / "calibration")
    done = reconstruct(run, filled, tmp_path / "calibration", tmp_path / "images")
    value, _ = done.printed
    assert (value["sampling"], value["capture_source"]) == ("prospective", "ISMRMRD")
    truth = np.abs(read_kspace(tmp_path / "full").truth)
    image = np.load(tmp_path / "images" / "student.npz")["image"]
    assert np.corrcoef(image.ravel(), truth.ravel())[0, 1] > 0.95


@pytest.mark.skipif(not DATA.is_dir(), reason="the sample data are not beside the repository")
def test_a_real_full_scan(
    tmp_path: Path, make_settings: Callable[..., Any], make_system: Any, make_record: Any
) -> None:
    pytest.importorskip("twixtools", reason="the extra 'mri' is not installed")
    run = make_run(tmp_path / "run", make_settings, make_system, make_record, side=160)
    source = DATA / "mri" / "twix_gre.dat"
    calibrate(run, source, tmp_path / "calibration")
    found = read_kspace_calibration(tmp_path / "calibration").record
    assert found.noise_source.startswith("whitening from readout edges")
    done = reconstruct(run, source, tmp_path / "calibration", tmp_path / "images")
    value, text = done.printed
    assert "retrospective" in text
    for lines in ("student", "centre block", "variable density"):
        for entry in scores(value, lines).values():
            assert entry["psnr_db"] > 20
            assert 0.3 < entry["chi_square_reduced"] < 2
