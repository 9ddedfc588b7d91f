"""What is said of how far the student's MR image can be trusted: scatter, disagreement, and where both are shown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Picture

from cidesign.benchwork import calibrate, reconstruct, simulate
from cidesign.calibration.mri.kspace import centred_fft
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.calibration.mri.record import read_kspace_calibration
from cidesign.constraints.kspace import LineBudget
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.mri.data.phantoms import coil_maps, phantom_slices
from cidesign.modalities.mri.diagnostics import DRAWS, diagnose, redrawn
from cidesign.modalities.mri.fixed_designs import variable_density_lines
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.mri.solve import batch, calibrated_encoder, student_magnitudes, to_numpy, zero_filled
from cidesign.models.optics import optics_for
from cidesign.models.system import load_student
from cidesign.pattern import CartesianLines
from cidesign.reconstruct.fine_tuned import (
    FineTuneRecord,
    StoredMean,
    StoredQuality,
    StoredSettings,
    digests,
    write_fine_tuned,
)
from cidesign.reconstruct.uncertainty import deviation_of
from cidesign.report.included import included_section
from cidesign.report.parts import Figure
from cidesign.runs import library_versions, write_record

SIDE, NOISE = 32, 0.01


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Scan(NamedTuple):
    """A run, and a simulated scan of its lines that was calibrated."""

    run: MriRun
    capture: Path
    calibration: Path


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], make_system: Any, make_record: Any
) -> MriRun:
    """A finished run without training: a decoder that is its linear first step."""
    path = tmp_path_factory.mktemp("run") / "run"
    settings = make_settings("mri", side=SIDE, acquired=SIDE // 2, acs_lines=12, noise=NOISE)
    system = make_system(settings, torch.from_numpy(phantom_slices(24, SIDE, 1).astype(np.float32)))
    path.mkdir(parents=True)
    lines = optics_for(settings, load_profile("mri-generic-3t")).design(system.encoder)
    lines.save(path / "design.npz")
    system.save(path / "student.safetensors")
    write_record(path, make_record(settings, lines.design_digest, versions=library_versions()))
    return MriRun(path)


def scanned(run: MriRun, folder: Path, **settings: Any) -> Scan:
    simulate(run, folder / "capture", **settings)
    calibrate(run, folder / "capture", folder / "calibration")
    return Scan(run, folder / "capture", folder / "calibration")


@pytest.fixture(scope="module")
def scan(run: MriRun, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return scanned(run, tmp_path_factory.mktemp("scan"), coils=4)


def image_of(folder: Path, name: str) -> NDArray[np.float32]:
    with np.load(folder / f"{name}.npz") as stored:
        return np.asarray(stored["image"])


def test_the_scatter_of_a_linear_image_is_the_analytic_one() -> None:
    """Zero-filled with three coils: noise^2 (lines measured / all) / sum |maps|^2 in each part, within 400 draws."""
    maps = (0.8 * coil_maps(3, SIDE, 3)).astype(np.complex64)
    maps *= np.linspace(0.7, 1.2, SIDE).astype(np.float32)
    lines = variable_density_lines(LineBudget(SIDE, SIDE // 4, 4), 0, 3.0)
    design = CartesianLines(SIDE, SIDE, lines, 4, "some", "0" * 64)
    real, imaginary = phantom_slices(1, SIDE, 5)[0].astype(np.float32)
    k = centred_fft(maps * (real + 1j * imaginary), (-2, -1)).astype(np.complex64)
    encoder = calibrated_encoder(design, maps, NOISE)
    found = deviation_of(
        to_numpy(zero_filled(batch(one, design), encoder)).imag for one in redrawn(k, NOISE, draws=400)
    )
    energy = (np.abs(maps) ** 2).sum(axis=0)
    wanted = NOISE * np.sqrt(len(lines) / SIDE / energy)
    np.testing.assert_allclose(found / wanted, 1, atol=6 * (2 * 399) ** -0.5)
    assert float(np.mean(found / wanted)) == pytest.approx(1, abs=0.01)


def test_the_scatter_that_is_written_is_the_analytic_one(run: MriRun, tmp_path: Path) -> None:
    """One coil and a linear student: noise is shrunk sample by sample; a bright magnitude scatters as its real part."""
    scan = scanned(run, tmp_path, coils=1)
    reconstruct(run, scan.capture, scan.calibration, tmp_path / "images")
    raw, stored = read_kspace(scan.capture), read_kspace_calibration(scan.calibration)
    calibration = stored.calibration
    power = load_student(run).decoder.prior.variance[0].numpy()
    noise = calibration.noise_deviation
    shrunk = run.design.mask[:, None] * power / (power + 2 * noise**2)
    wanted = noise * float(np.sqrt(np.mean(shrunk**2)))
    assert raw.truth is not None
    assert raw.gain is not None
    peak = float(np.abs(raw.truth).max() * raw.gain * calibration.scale)
    bright = image_of(tmp_path / "images", "student") * peak > 15 * wanted
    assert bright.sum() > 200
    ratio = image_of(tmp_path / "images", "uncertainty")[bright].astype(np.float64) * peak / wanted
    # The mean square is unbiased; neighbours are alike along the lines that are missing, so fewer count.
    assert float(np.mean(ratio**2)) == pytest.approx(1, abs=0.06)
    assert float(np.std(ratio)) == pytest.approx((2 * (DRAWS - 1)) ** -0.5, rel=0.3)
    more = deviation_of(
        student_magnitudes(
            load_student(run), redrawn(calibration.measurements(raw), noise, draws=200), run.design, calibration
        )
    )
    np.testing.assert_allclose(more[bright] / wanted, 1, atol=6 * (2 * 199) ** -0.5)


def test_the_scatter_is_that_of_scans_made_again(run: MriRun, tmp_path: Path) -> None:
    """Forty scans of one object, each with the noise of the simulated receiver, told one calibration."""
    real, imaginary = phantom_slices(1, SIDE, 7)[0].astype(np.float32)
    np.save(tmp_path / "scene.npy", real + 1j * imaginary)
    scan = scanned(run, tmp_path, coils=1, scene=tmp_path / "scene.npy")
    calibration, system = read_kspace_calibration(scan.calibration).calibration, load_student(run)
    scans = []
    for seed in range(40):
        folder = tmp_path / f"scan{seed}"
        simulate(run, folder, coils=1, scene=tmp_path / "scene.npy", phantom=False, seed=100 + seed)
        scans.append(calibration.measurements(read_kspace(folder)))
    again = deviation_of(student_magnitudes(system, scans, run.design, calibration))
    told = redrawn(calibration.measurements(read_kspace(scan.capture)), calibration.noise_deviation)
    predicted = deviation_of(student_magnitudes(system, told, run.design, calibration))
    assert float(np.mean(predicted**2)) == pytest.approx(float(np.mean(again**2)), rel=0.1)


def test_the_draws_depend_on_the_seed_alone() -> None:
    k = np.ones((2, 4, 4), np.complex64)
    first, again = list(redrawn(k, 0.1)), list(redrawn(k, 0.1))
    assert len(first) == DRAWS
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert np.array_equal(next(redrawn(k, 0.0)), k)


def test_what_is_written_of_a_simulated_scan(scan: Scan, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    done = reconstruct(scan.run, scan.capture, scan.calibration, folder)
    value, text = done.printed
    assert json.loads(json.dumps(value)) == value
    difference = image_of(folder, "student") - image_of(folder, "cg_sense")
    np.testing.assert_allclose(image_of(folder, "disagreement"), difference, atol=1e-6)
    apart, scatter = value["disagreement"], image_of(folder, "uncertainty")
    assert apart["rms"] == pytest.approx(float(np.sqrt(np.mean(difference**2))), rel=1e-4)
    assert abs(apart["largest"]) == pytest.approx(float(np.abs(difference).max()), rel=1e-4)
    assert apart["largest"] == pytest.approx(float(difference[apart["row"], apart["column"]]), rel=1e-4)
    assert value["uncertainty"]["draws"] == DRAWS
    assert value["uncertainty"]["student_rms"] == pytest.approx(float(np.sqrt(np.mean(scatter**2))), rel=1e-4)
    # Half of the lines are missing: noise is the least of it.
    assert value["error_over_uncertainty"]["student"] > 2
    for words in (
        f"differ by {apart['rms']:.3f}",
        f"most at row {apart['row']}, column {apart['column']} (counted from 0)",
        "neither what the lines cannot see nor errors of the coil maps",
        f"the true error of this simulated scan is {value['error_over_uncertainty']['student']:.1f} times the scatter",
    ):
        assert sum(words in note for note in value["notes"]) == 1
        assert words in text
    for name in ("disagreement", "uncertainty"):
        with Picture.open(folder / f"{name}.png") as picture:
            assert np.asarray(picture.convert("RGB")).std() > 10
        assert (folder / f"{name}.tiff").is_file()
    reconstruct(scan.run, scan.capture, scan.calibration, tmp_path / "again")
    assert np.array_equal(scatter, image_of(tmp_path / "again", "uncertainty"))


def test_the_report_shows_the_maps(scan: Scan, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    done = reconstruct(scan.run, scan.capture, scan.calibration, folder)
    value, _ = done.printed
    blocks = included_section(folder, scan.run.design.design_digest).blocks
    captions = [block.caption for block in blocks if isinstance(block, Figure)]
    assert [caption.split(":")[0] for caption in captions[1:]] == ["disagreement.png", "uncertainty.png"]
    text = "".join(block for block in blocks if isinstance(block, str))
    assert '<th scope="row">disagreement: baseline</th><td>CG-SENSE</td>' in text
    student_rms = value["uncertainty"]["student_rms"]
    assert f'<th scope="row">uncertainty: student rms</th><td>{student_rms:.4g}</td>' in text
    assert "makes the image of the student decoder scatter" in text


def test_maps_are_turned_with_the_pictures(run: MriRun, tmp_path: Path) -> None:
    simulate(run, tmp_path / "capture", coils=2, phantom=False)
    values = {}
    for name, turn in {"plain": {}, "turned": {"transpose": True, "flip_vertical": True}}.items():
        asked: dict[str, Any] = turn
        calibrate(run, tmp_path / "capture", tmp_path / f"{name}_calibration", **asked)
        done = reconstruct(run, tmp_path / "capture", tmp_path / f"{name}_calibration", tmp_path / name)
        values[name] = done.value
    for name in ("disagreement", "uncertainty"):
        plain, turned = image_of(tmp_path / "plain", name), image_of(tmp_path / "turned", name)
        assert not np.allclose(turned, plain, rtol=0.1)
        np.testing.assert_array_equal(turned, plain.T[::-1])
    place = values["plain"]["disagreement"]
    assert values["turned"]["disagreement"]["row"] == SIDE - 1 - place["column"]
    assert values["turned"]["disagreement"]["column"] == place["row"]


def test_without_a_truth_no_error_is_claimed(scan: Scan, tmp_path: Path) -> None:
    path = tmp_path / "scan.npy"
    np.save(path, read_kspace(scan.capture).placed())
    outcome = reconstruct(scan.run, path, scan.calibration)
    assert "error_over_uncertainty" not in outcome.record
    assert list(outcome.maps) == ["disagreement", "uncertainty"]
    assert not any("true error" in note for note in outcome.remarks)
    assert diagnose(np.zeros((4, 4), np.float32), np.eye(4, dtype=np.float32), np.ones((4, 4), np.float32), None).notes


def test_a_scan_of_all_lines_is_diagnosed_by_its_lines_of_the_design(run: MriRun, scan: Scan, tmp_path: Path) -> None:
    full = scanned(run, tmp_path, coils=4, all_lines=True)
    outcome = reconstruct(run, full.capture, full.calibration)
    assert outcome.value["sampling"] == "retrospective"
    images = dict(outcome.images)
    maps = dict(outcome.maps)
    np.testing.assert_allclose(maps["disagreement"], images["student"] - images["cg_sense"], atol=1e-6)
    alone = dict(reconstruct(run, scan.capture, scan.calibration).maps)
    ratio = float(maps["uncertainty"].mean() / alone["uncertainty"].mean())
    assert ratio == pytest.approx(1, abs=0.1)


def test_the_fine_tuned_decoder_of_the_calibration_is_used(run: MriRun, tmp_path: Path) -> None:
    scan = scanned(run, tmp_path, coils=2)
    plain = reconstruct(run, scan.capture, scan.calibration)
    decoder = load_student(run).decoder
    decoder.get_parameter("unet.last.weight").add_(0.25)
    student, calibration = digests(run, scan.calibration)
    level, better = StoredMean(mean=20.0, standard_error=0.5), StoredMean(mean=0.5, standard_error=0.01)
    settings = StoredSettings(
        epochs=1, images=8, validation_images=8, batch=4, learning_rate=1e-3, seed=0, precision="float32", device="cpu"
    )
    quality = StoredQuality(blind=None, linear=level, before=level, after=level, conditioning=None, gain=better)
    record = FineTuneRecord(
        schema_version=1, kind="fine-tune", modality="mri", cidesign_version="0.1.0",
        created_utc="2026-01-01T00:00:00+00:00", run=str(run.path), student_sha256=student,
        calibration_sha256=calibration, decoder_sha256=None, kept=True, settings=settings, choosing=better,
        reported=quality, self_supervised=None, seconds=1.0, notes=[],
    )  # fmt: skip
    write_fine_tuned(scan.calibration, decoder, record)
    tuned = reconstruct(run, scan.capture, scan.calibration)
    assert any("the decoder is fine-tuned for this calibration" in note for note in tuned.remarks)
    assert not any("fine-tuned" in note for note in plain.remarks)
    for name, changes in {"student": True, "cg_sense": False}.items():
        one, other = (outcome.images[name] for outcome in (plain, tuned))
        assert np.allclose(one, other) != changes
