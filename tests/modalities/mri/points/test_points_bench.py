"""Points of a 3-D scan through the bench: simulate, calibrate, reconstruct, and BART on the same readouts."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.benchwork import calibrate, reconstruct, simulate
from cidesign.calibration.mri.points.capture import read_points_capture
from cidesign.calibration.mri.points.record import read_points_calibration
from cidesign.designs.folder import write_design
from cidesign.designs.untrained import untrained_run
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.io.bart import bart_points, read_cfl, write_cfl
from cidesign.modalities.mri.points.bench import CalibratePoints, PointsBench
from cidesign.modalities.mri.points.run import PointsRun
from cidesign.modalities.mri.points.scenes import procedural_volume, volume_coils
from cidesign.pattern import CartesianPoints

MATRIX, SAMPLES = (24, 20), 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> PointsRun:
    """A mask of one's own as a run that was never trained: its decoder is the linear estimate."""
    folder = tmp_path_factory.mktemp("points")
    mask = np.random.default_rng(2).random(MATRIX) < 0.35
    mask[8:16, 6:14] = True
    np.save(folder / "mask.npy", mask)
    options = {"sampling": "points", "readout": SAMPLES}
    write_design([folder / "mask.npy"], load_profile("mri-generic-3t"), folder / "design", options)
    return PointsRun(untrained_run(folder / "design", coils=4, images=8, validation_images=2).path)


@pytest.fixture(scope="module")
def chain(run: PointsRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    simulate(run, folder / "capture", coils=4)
    calibrate(run, folder / "capture", folder / "calibration")
    done = reconstruct(run, folder / "capture", folder / "calibration", folder / "images")
    value, text = done.printed
    (folder / "printed.json").write_text(json.dumps(value))
    assert "CG-SENSE" in text
    return folder


def image(folder: Path, name: str) -> NDArray[Any]:
    found: NDArray[Any] = np.load(folder / "images" / f"{name}.npz")["image"]
    return found


def test_volumes_are_those_that_were_scanned(chain: Path) -> None:
    value = json.loads((chain / "printed.json").read_text())
    assert (value["sampling"], value["reference"], value["slices"]) == ("prospective", "truth (simulated)", SAMPLES)
    found = {entry["reconstruction"]: entry for entry in value["images"]}
    assert set(found) == {"zero_filled", "cg_sense", "total_variation", "linear"}
    assert found["linear"]["psnr_db"] > found["zero_filled"]["psnr_db"] > 10
    assert found["linear"]["psnr_db"] > 22
    assert found["cg_sense"]["chi_square_reduced"] < 2
    truth = np.abs(read_points_capture(chain / "capture").truth)
    volume = image(chain, "linear")

    def alike(other: NDArray[Any]) -> float:
        return float(np.corrcoef(other.ravel(), truth.ravel())[0, 1])

    assert volume.shape == (SAMPLES, *MATRIX)
    assert alike(volume) > 0.96
    assert max(alike(volume[::-1]), alike(volume[:, ::-1]), alike(volume[:, :, ::-1])) < alike(volume) - 0.05
    written = {path.name for path in (chain / "images").iterdir()}
    assert {"reference.nii", "linear.tiff", "disagreement.png", "uncertainty.npz", "comparison.png"} <= written


@pytest.mark.skipif(shutil.which("bart") is None, reason="bart is not installed")
def test_bart_makes_the_same_volume_of_the_readouts(run: PointsRun, chain: Path, tmp_path: Path) -> None:
    """Its own transform along the readout, its own coil maps, its own solver, on the exported pattern."""
    raw, design = read_points_capture(chain / "capture"), run.design
    k = np.zeros((SAMPLES, *MATRIX, raw.coils), dtype=np.complex64)
    k[:, raw.points[:, 0], raw.points[:, 1]] = raw.k.transpose(2, 1, 0) / np.abs(raw.k).max()
    write_cfl(tmp_path / "k", k)
    write_cfl(tmp_path / "pattern", bart_points(design))

    def bart(*words: str) -> None:
        subprocess.run(["bart", *words], cwd=tmp_path, check=True, capture_output=True)

    bart("fft", "-u", "-i", "1", "k", "hybrid")
    numbers = []
    truth = np.abs(raw.truth)
    for number in (2, 3):
        bart("slice", "0", str(number), "hybrid", "one")
        bart("ecalib", "-m", "1", "-r", "8", "-k", "4", "-c", "0.4", "one", "maps")
        bart("pics", "-S", "-p", "pattern", "-l2", "-r", "0.001", "one", "maps", "x")
        found = np.abs(read_cfl(tmp_path / "x", 3)[0])
        ours = image(chain, "cg_sense")[number]
        numbers.append(
            (np.corrcoef(found.ravel(), ours.ravel())[0, 1], np.corrcoef(found.ravel(), truth[number].ravel())[0, 1])
        )
    assert min(alike for alike, _ in numbers) > 0.97, numbers
    assert min(right for _, right in numbers) > 0.95, numbers


def test_a_full_scan_is_sampled_with_the_design_and_with_a_poisson_disc(run: PointsRun, tmp_path: Path) -> None:
    simulate(run, tmp_path / "capture", coils=1, all_points=True)
    value, _ = reconstruct(run, tmp_path / "capture", None, tmp_path / "images").printed
    assert value["sampling"] == "retrospective"
    assert {entry["points"] for entry in value["images"]} == {"design", "Poisson disc"}
    assert any("no calibration was named" in note for note in value["notes"])


def test_procedural_volumes_and_coils_are_smooth_along_the_readout() -> None:
    volume = procedural_volume(32, MATRIX, 3, "gradient")
    assert np.abs(volume).max() == pytest.approx(1)
    overlap = np.abs(np.vdot(volume[15], volume[16])) / np.linalg.norm(volume[15]) / np.linalg.norm(volume[16])
    assert overlap > 0.95
    maps = volume_coils(4, 32, MATRIX, 1)
    assert np.allclose((np.abs(maps) ** 2).sum(axis=0), 1, atol=1e-5)
    assert np.abs(np.diff(maps, axis=1)).max() < 0.15
    assert np.abs(maps[:, 0] - maps[:, -1]).max() > 0.2


def test_what_the_bench_is_not_told_is_refused(run: PointsRun, chain: Path, tmp_path: Path) -> None:
    bench = PointsBench()
    raw = read_points_capture(chain / "capture")
    with pytest.raises(InputError, match="give both or none"):
        bench.calibrate(run, raw, tmp_path / "x", CalibratePoints(acs_lines=8), False)
    with pytest.raises(InputError, match="has coil maps of its own"):
        bench.student(run, read_points_calibration(chain / "calibration"))
    np.save(tmp_path / "scene.npy", np.ones((3, 3, 3)))
    with pytest.raises(CidesignError, match=r"an array of shape \(3, 3, 3\)"):
        simulate(run, tmp_path / "c", scene=tmp_path / "scene.npy")
    with pytest.raises(FileError, match="no such capture"):
        bench.read_capture(tmp_path / "none", CalibratePoints())
    assert not (tmp_path / "c").exists()
    assert isinstance(run.design, CartesianPoints)
    assert [step.title for step in bench.plan(run)] == ["Noise scan", "The scan itself"]
