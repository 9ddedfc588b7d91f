"""What is said of how far the student's cube can be trusted: scatter, disagreement, and where both are shown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image as Picture

from cidesign.benchwork import calibrate, reconstruct, simulate
from cidesign.calibration.cassi.capture import read_cassi_capture
from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.calibration.cassi.readings import readings_of
from cidesign.calibration.cassi.record import read_cassi_calibration
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves
from cidesign.modalities.cassi.diagnostics import DRAWS, Compared, diagnose, redrawn
from cidesign.modalities.cassi.outcome import CubeMap
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.cassi.solve import encoder_of, student_cubes
from cidesign.models.optics import optics_for
from cidesign.models.system import ImagingSystem, load_student
from cidesign.models.unet import LinearThenUNet, UNetSettings
from cidesign.physics.base import ImagePrior
from cidesign.reconstruct.uncertainty import deviation_of
from cidesign.report.included import included_section
from cidesign.report.parts import Figure
from cidesign.runs import library_versions, write_record

BANDS, CODE, DETECTOR = 3, 12, (15, 18)
SIDE = 32


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def operator() -> CassiOperator:
    """A random mask that is turned a little; no code pixel lies on a detector pixel."""
    masks = np.random.default_rng(1).random((BANDS, CODE, CODE)).astype(np.float32)
    linear = np.array([[0.9998, -0.02], [0.02, 0.9998]])
    places = [np.array([-1.37, -1.41 - 1.7 * band]) for band in range(BANDS)]
    return CassiOperator(
        masks, np.stack([np.column_stack([linear, place]) for place in places]), np.array([0.8, 1.0, 1.2]), DETECTOR
    )


def cube() -> NDArray[np.float32]:
    return np.random.default_rng(2).uniform(0.1, 0.9, (BANDS, CODE, CODE)).astype(np.float32)


class Small(NamedTuple):
    """A small detector image, its variance, the readings that hold, and a student that is its linear first step."""

    y: NDArray[np.float64]
    variance: NDArray[np.float64]
    valid: NDArray[np.bool_]
    system: ImagingSystem


@pytest.fixture(scope="module")
def small() -> Small:
    rng = np.random.default_rng(3)
    y = operator().predict(cube())
    valid = rng.random(DETECTOR) > 0.05
    decoder = LinearThenUNet(BANDS, (CODE, CODE), UNetSettings(channels=4)).eval()
    frequency = torch.from_numpy(np.hypot(*np.mgrid[:CODE, :CODE]).astype(np.float32))
    basis = torch.linalg.qr(torch.randn(BANDS, BANDS, generator=torch.Generator().manual_seed(1))).Q
    decoder.set_prior(ImagePrior(torch.full((BANDS,), 0.5), basis, (0.3 / (1 + frequency) ** 2).expand(BANDS, -1, -1)))
    return Small(y, rng.uniform(0.5, 2.0, DETECTOR) * 1e-3, valid, ImagingSystem(encoder_of(operator()), decoder))


def test_the_scatter_of_a_linear_student_is_the_analytic_one(small: Small) -> None:
    """diag(G R G^T) within the error of 400 draws, G read off reading by reading; readings that do not hold are none.

    The readings carry structure, so a scatter of anything but the noise would show.
    """
    encoder = encoder_of(operator(), small.valid, small.variance)
    pixels = DETECTOR[0] * DETECTOR[1]
    unit = np.eye(pixels).reshape(pixels, *DETECTOR)
    (zero,) = student_cubes(small.system, np.zeros((1, *DETECTOR)), encoder)
    squares = np.zeros(zero.shape)
    gains = student_cubes(small.system, unit, encoder)
    for gain, variance in zip(gains, small.variance.ravel(), strict=True):
        squares += (gain - zero).astype(np.float64) ** 2 * variance
    wanted = np.sqrt(squares)
    draws = redrawn(small.y, small.variance, operator(), cube(), 0.0, draws=400)
    found = deviation_of(student_cubes(small.system, draws, encoder))
    np.testing.assert_allclose(found / wanted, 1, atol=6 * (2 * 399) ** -0.5)
    assert float(np.mean(found / wanted)) == pytest.approx(1, abs=0.015)


def test_a_shifted_code_scatters_the_readings_by_their_slope(small: Small) -> None:
    """Without noise: the derivative of the readings along rows and columns, times the standard error."""
    error_px, step = 1e-3, 1e-4
    slopes = []
    for axis in (0, 1):
        moved = operator().to_code
        moved[:, axis, 2] += step
        changed = CassiOperator(operator().masks, moved, operator().response, DETECTOR).predict(cube())
        slopes.append((changed - small.y) / step)
    wanted = error_px * np.hypot(*slopes)
    draws = redrawn(small.y, np.zeros(DETECTOR), operator(), cube(), error_px, draws=400)
    found = deviation_of(draws)
    # Beside the code nothing changes; where the code ends between detector pixels, slopes differ from side to side.
    inner = np.zeros(DETECTOR, dtype=bool)
    inner[3:-4, 7:-6] = True
    assert float(wanted[inner].min()) > 0
    np.testing.assert_allclose(found[inner] / wanted[inner], 1, atol=6 * (2 * 399) ** -0.5)
    np.testing.assert_allclose(draws.mean(axis=0), small.y, atol=0.3 * float(wanted.max()))


def test_the_draws_depend_on_the_seed_alone(small: Small) -> None:
    first, again = (redrawn(small.y, small.variance, operator(), cube(), 0.01) for _ in range(2))
    assert first.shape == (DRAWS, *DETECTOR)
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])


def test_cubes_come_alike_one_by_one_and_together(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of(operator(), small.valid, small.variance)
    draws = redrawn(small.y, small.variance, operator(), cube(), 0.0)
    together = np.stack(list(student_cubes(small.system, draws, encoder)))
    monkeypatch.setattr("cidesign.modalities.cassi.solve.VALUES_AT_ONCE", 3 * BANDS * CODE * CODE)
    few = np.stack(list(student_cubes(small.system, draws, encoder)))
    assert together.shape == (DRAWS, BANDS, CODE, CODE)
    np.testing.assert_allclose(few, together, atol=1e-5)


def test_disagreement_names_band_and_pixel() -> None:
    student, baseline = cube(), cube()
    baseline[1, 4, 7] += 2.0
    bands_nm, deviation = [450.0, 550.0, 650.0], np.full_like(student, 0.01)
    found = diagnose(Compared("the student", student, baseline, deviation, None), bands_nm)
    assert found.trust.disagreement is not None
    assert found.trust.disagreement.model_dump() == {
        "baseline": "GAP-TV", "rms": pytest.approx(2 / student.size**0.5), "wavelength_nm": 550.0, "row": 4,
        "column": 7, "largest": pytest.approx(-2.0),
    }  # fmt: skip
    assert "most at 550 nm in row 4, column 7 (counted from 0), by -2.000" in found.notes[0]
    assert "error_over_uncertainty" not in found.trust.entries
    assert "true error" not in found.notes[1]
    known = diagnose(Compared("the student", student, baseline, deviation, student + np.float32(0.05)), bands_nm)
    assert known.trust.error_over_uncertainty == {"student": pytest.approx(5, rel=1e-3)}
    undrawn = diagnose(Compared("the linear estimate", student, baseline, None, None), bands_nm)
    assert [one.name for one in undrawn.maps] == list(undrawn.trust.maps) == ["disagreement"]
    assert undrawn.trust.uncertainty is None
    assert "uncertainty: not evaluated: the linear estimate of" in undrawn.notes[1]


def test_a_map_shows_the_root_mean_square_over_the_bands() -> None:
    values = np.zeros((BANDS, 4, 5), np.float32)
    values[:, 1, 3] = [3.0, 0.0, -4.0]
    drawn = CubeMap("uncertainty", "scatter", values, "how much", "r.m.s.", [450.0, 550.0]).over_bands.image
    assert drawn.shape == (4, 5)
    assert drawn[1, 3] == pytest.approx((25 / 3) ** 0.5)
    assert np.count_nonzero(drawn) == 1


class Bench(NamedTuple):
    """A run, and a simulated capture with its calibration."""

    run: CassiRun
    capture: Path
    calibration: Path


@pytest.fixture(scope="module")
def bench(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], make_system: Any, make_record: Any
) -> Bench:
    folder = tmp_path_factory.mktemp("cassi")
    settings, profile = make_settings("cassi", side=SIDE), load_profile("chrome-laser-10um")
    images = spectral_dead_leaves(96, SIDE, profile.spectrograph.wavelengths_nm.value, 1)
    system = make_system(settings, torch.from_numpy(images).float() / 255)
    (folder / "run").mkdir()
    design = optics_for(settings, profile).design(system.encoder)
    design.save(folder / "run" / "design.npz")
    system.save(folder / "run" / "student.safetensors")
    write_record(folder / "run", make_record(settings, design.design_digest, versions=library_versions()))
    run = CassiRun(folder / "run")
    simulate(run, folder / "capture", faults={}, seed=5)
    done = calibrate(run, folder / "capture", folder / "calibration")
    place = done.calibration.path
    return Bench(run, folder / "capture", place)


def test_what_is_written_of_a_simulated_bench(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    done = reconstruct(bench.run, bench.capture, bench.calibration, folder)
    value, text = done.printed
    assert json.loads(json.dumps(value)) == value
    cubes = {}
    for name in ("student", "gap_tv", "truth", "disagreement", "uncertainty"):
        with np.load(folder / f"{name}.npz") as stored:
            cubes[name] = stored["cube"]
            assert stored["wavelengths_nm"].tolist() == value["wavelengths_nm"]
    np.testing.assert_allclose(cubes["disagreement"], cubes["student"] - cubes["gap_tv"], atol=1e-6)
    scatter = cubes["uncertainty"]
    assert scatter.shape == cubes["student"].shape
    assert value["uncertainty"] == {"draws": DRAWS, "student_rms": pytest.approx(float(np.sqrt(np.mean(scatter**2))))}
    assert value["disagreement"]["rms"] == pytest.approx(float(np.sqrt(np.mean(cubes["disagreement"] ** 2))))
    over = float(np.sqrt(np.mean(((cubes["student"] - cubes["truth"]) / scatter) ** 2)))
    assert value["error_over_uncertainty"]["student"] == pytest.approx(over, rel=1e-3)
    assert over > 1.5  # eight bands from one image: noise is the least of it
    for words in (
        f"the student and GAP-TV differ by {value['disagreement']['rms']:.3f}",
        "does not hold how one detector image leaves the bands open",
        f"the true error of this simulated capture is {over:.1f} times the scatter",
    ):
        assert sum(words in note for note in value["notes"]) == 1
        assert words in text
    np.testing.assert_array_equal(tifffile.imread(folder / "uncertainty.tiff"), scatter)
    for name in ("disagreement", "uncertainty"):
        with Picture.open(folder / f"{name}.png") as picture:
            assert np.asarray(picture.convert("RGB")).std() > 10
    blocks = included_section(folder, bench.run.design.design_digest).blocks
    captions = [block.caption.split(":")[0] for block in blocks if isinstance(block, Figure)]
    assert captions[1:3] == ["disagreement.png", "uncertainty.png"]
    shown = "".join(block for block in blocks if isinstance(block, str))
    assert '<th scope="row">disagreement: baseline</th><td>GAP-TV</td>' in shown
    assert f'<th scope="row">uncertainty: draws</th><td>{DRAWS}</td>' in shown
    again = reconstruct(bench.run, bench.capture, bench.calibration)
    assert np.array_equal(again.maps.uncertainty, scatter)


def test_the_noise_scatters_the_cube_as_captures_made_again(bench: Bench, tmp_path: Path) -> None:
    """Six captures of one scene with the noise of the simulated detector, against the part of the map that is noise."""
    capture, found = read_cassi_capture(bench.capture), read_cassi_calibration(bench.calibration).calibration
    np.save(tmp_path / "scene.npy", capture.truth)
    readings = readings_of(capture, found, 0.0)
    encoder, system = encoder_of(found.operator, readings.used, readings.variance), load_student(bench.run)
    scenes = []
    for seed in range(6):
        simulate(bench.run, tmp_path / str(seed), faults={}, scene=tmp_path / "scene.npy", seed=100 + seed)
        scenes.append(readings_of(read_cassi_capture(tmp_path / str(seed)), found, 0.0).y)
    again = deviation_of(student_cubes(system, np.stack(scenes), encoder))
    (student,) = student_cubes(system, readings.y[None], encoder)
    draws = redrawn(readings.y, readings.variance, found.operator, student, found.pixel_uncertainty_px)
    predicted = deviation_of(student_cubes(system, draws, encoder))
    assert float(np.mean(predicted**2)) == pytest.approx(float(np.mean(again**2)), rel=0.15)


def test_what_the_operator_does_not_predict_scatters_the_cube(bench: Bench) -> None:
    """The map holds the error of the operator, its place and the detector's noise; with the noise alone it is less."""
    outcome = reconstruct(bench.run, bench.capture, bench.calibration)
    student = outcome.images.student
    stored, capture = read_cassi_calibration(bench.calibration), read_cassi_capture(bench.capture)
    found, score = stored.calibration, stored.record.verification.score
    assert score is not None
    readings = readings_of(capture, found, score)
    noise = readings_of(capture, found, 0.0).variance
    encoder, system = encoder_of(found.operator, readings.used, readings.variance), load_student(bench.run)

    def scatter(variance: NDArray[np.float64], uncertainty_px: float) -> NDArray[np.float32]:
        return deviation_of(
            student_cubes(system, redrawn(readings.y, variance, found.operator, student, uncertainty_px), encoder)
        )

    full = scatter(readings.variance, found.pixel_uncertainty_px)
    assert np.array_equal(outcome.maps.uncertainty, full)
    assert float(np.mean(full**2)) > 1.2 * float(np.mean(scatter(noise, found.pixel_uncertainty_px) ** 2))
    assert float(np.mean(scatter(readings.variance, 0.3) ** 2)) > 1.2 * float(np.mean(full**2))
