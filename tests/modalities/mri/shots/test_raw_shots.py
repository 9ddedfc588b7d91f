"""Raw data of shots: files that the ISMRMRD library and BART's format define, through calibrate and reconstruct."""

import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

from cidesign.benchwork import calibrate, open_capture, reconstruct, simulate
from cidesign.calibration.mri.shots.capture import Beside, RawShots, read_shots_capture
from cidesign.calibration.mri.shots.raw import read_shots
from cidesign.calibration.mri.shots.record import read_shots_calibration
from cidesign.designs.exporting import export_run
from cidesign.designs.fixed import fixed_design
from cidesign.designs.folder import read_files
from cidesign.designs.untrained import untrained_run
from cidesign.errors import CidesignError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.io.bart import read_cfl, write_cfl
from cidesign.modalities.mri.shots.beside import trajectory_beside
from cidesign.modalities.mri.shots.run import ShotsRun
from cidesign.pattern.shots import Unit, units_in_steps

ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")

DATA = Path(__file__).parents[4].parent / "shared" / "data"
SIDE, FOV_MM = 32, 256.0
LATE_US = (2.0, -1.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ShotsRun:
    folder = tmp_path_factory.mktemp("shots")
    fixed_design("radial", folder / "design", profile="mri-siemens-prisma", sampling="radial", side=SIDE, shots=20)
    return ShotsRun(untrained_run(folder / "design", coils=3, images=8, validation_images=2).path)


@pytest.fixture(scope="module")
def simulated(run: ShotsRun, tmp_path_factory: pytest.TempPathFactory) -> RawShots:
    folder = tmp_path_factory.mktemp("simulated") / "capture"
    simulate(run, folder, delay_rows_us=LATE_US[0], delay_columns_us=LATE_US[1])
    return read_shots_capture(folder)


def header(fov_mm: float, side: int, unit: str | None, wider: int) -> bytes:
    xsd = ismrmrd.xsd

    def space(times: int) -> Any:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=side * times, y=side * times, z=1),
            fieldOfView_mm=xsd.fieldOfViewMm(x=fov_mm * times, y=fov_mm * times, z=5.0),
        )

    said = [] if unit is None else [xsd.userParameterStringType(name="trajectory_unit", value=unit)]
    encoding = xsd.encodingType(
        encodedSpace=space(wider),
        reconSpace=space(1),
        encodingLimits=xsd.encodingLimitsType(),
        trajectory=xsd.trajectoryType.RADIAL,
        trajectoryDescription=xsd.trajectoryDescriptionType(
            identifier="test", userParameterLong=[], userParameterDouble=[], userParameterString=said, comment=""
        ),
    )
    whole = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=128_000_000), encoding=[encoding]
    )
    return str(xsd.ToXML(whole)).encode()


def write_mrd(
    path: Path,
    run: ShotsRun,
    raw: RawShots,
    *,
    unit: str | None = "1/FOV",
    scale: float = 1.0,
    fov_mm: float = FOV_MM,
    side: int = SIDE,
    wider: int = 1,
    dimensions: int = 2,
    imaging: bool = True,
    turned: bool = False,
) -> Path:
    """The scan as the library of the format writes it: a noise scan, and the shots, the last one first."""
    design = run.design
    assert raw.noise is not None
    points = design.samples if turned else design.samples[..., ::-1]
    with ismrmrd.Dataset(str(path), "dataset") as stored:
        stored.write_xml_header(header(fov_mm, side, unit, wider))
        for number in range(-1, design.shots if imaging else 0):
            shot = design.shots - 1 - number
            samples = raw.noise if number < 0 else raw.k[:, shot]
            one = ismrmrd.Acquisition()
            one.resize(samples.shape[1], len(samples), dimensions if number >= 0 else 0)
            one.data[:] = samples
            one.sample_time_us = design.dwell_ns / 1e3
            one.scan_counter = number + 1
            if number < 0:
                one.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
            else:
                one.idx.kspace_encode_step_1 = shot
                if dimensions:
                    one.traj[:] = points[shot] * scale
            stored.append_acquisition(one)
    return path


def write_bart(folder: Path, run: ShotsRun, raw: RawShots) -> tuple[Path, Path]:
    points = np.zeros((3, *run.design.samples.shape[1::-1]), dtype=np.complex64)
    points[0], points[1] = run.design.samples[..., 1].T, run.design.samples[..., 0].T
    write_cfl(folder / "traj", points)
    write_cfl(folder / "data", np.ascontiguousarray(raw.k.transpose(2, 1, 0))[None])
    return folder / "data.cfl", folder / "traj.cfl"


@pytest.mark.parametrize(
    ("unit", "scale", "wider"),
    [
        ("1/FOV", 1.0, 1),
        ("1/FOV", 2.0, 2),
        ("1/m", 1e3 / FOV_MM, 2),
        ("rad/m", 2 * np.pi * 1e3 / FOV_MM, 1),
        ("cycles/px", 1 / SIDE, 2),
        ("rad/px", 2 * np.pi / SIDE, 1),
    ],
)
def test_samples_lie_where_the_acquisitions_say(
    run: ShotsRun, simulated: RawShots, tmp_path: Path, unit: str, scale: float, wider: int
) -> None:
    raw = read_shots(write_mrd(tmp_path / "scan.h5", run, simulated, unit=unit, scale=scale, wider=wider))
    assert np.array_equal(raw.k, simulated.k)
    assert raw.noise is not None
    assert raw.recorded is not None
    assert raw.recorded.fov_mm == FOV_MM
    assert raw.recorded.size == (SIDE, SIDE)
    assert np.abs(raw.recorded.points - run.design.samples).max() < 1e-4


def test_a_raw_file_is_calibrated_and_reconstructed_as_its_capture_is(
    run: ShotsRun, simulated: RawShots, tmp_path: Path
) -> None:
    scan = write_mrd(tmp_path / "scan.h5", run, simulated)
    calibrate(run, scan, tmp_path / "calibration")
    found = read_shots_calibration(tmp_path / "calibration").calibration
    assert found.delays_ns == pytest.approx([1e3 * one for one in LATE_US], abs=100)
    value, _ = reconstruct(run, scan, tmp_path / "calibration", tmp_path / "images").printed
    names = [one["reconstruction"] for one in value["images"]]
    assert {"gridding", "cg_sense"} <= set(names)
    assert value["delays_us"] == pytest.approx(LATE_US, abs=0.1)
    truth = np.abs(simulated.truth)
    for name, least in (("cg_sense", 0.95), ("gridding", 0.85)):
        image = np.abs(np.load(tmp_path / "images" / f"{name}.npz")["image"])
        alike = [float(np.corrcoef(one.ravel(), truth.ravel())[0, 1]) for one in (image, image[::-1], image.T)]
        assert alike[0] > least
        assert max(alike[1:]) < alike[0] - 0.05


def test_the_shots_of_a_scan_are_a_design(run: ShotsRun, simulated: RawShots, tmp_path: Path) -> None:
    scan = write_mrd(tmp_path / "scan.h5", run, simulated, unit=None, scale=1 / SIDE)
    settings = {"sampling": "radial", "units": "cycles/px"}
    own = read_files([scan], load_profile("mri-siemens-prisma"), settings)
    assert own.design.size == (SIDE, SIDE)
    assert own.design.dwell_ns == run.design.dwell_ns
    assert np.abs(own.design.samples - run.design.samples).max() < 2e-3


def test_a_pair_of_bart_is_the_same_scan(run: ShotsRun, simulated: RawShots, tmp_path: Path) -> None:
    data, trajectory = write_bart(tmp_path, run, simulated)
    raw = read_shots(data, trajectory_beside(trajectory, None, None))
    raw.require_design(run.design)
    assert np.array_equal(raw.k, simulated.k)
    with pytest.raises(CidesignError, match="--set trajectory"):
        read_shots(data)


def sequence(folder: Path, run: ShotsRun) -> Path:
    """The run's shots as a Pulseq file."""
    pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
    export_run(run, folder / "exported", formats=("pulseq",))
    return next((folder / "exported").glob("*_v150.seq"))


@pytest.mark.parametrize("suffix", [".npy", ".cfl"])
@pytest.mark.parametrize("unit", ["1/fov", "1/m", "rad/m", "cycles/px", "rad/px"])
def test_samples_with_an_array_beside_them(
    run: ShotsRun, simulated: RawShots, tmp_path: Path, suffix: str, unit: Unit
) -> None:
    np.save(tmp_path / "traj.npy", run.design.samples / units_in_steps(FOV_MM, SIDE)[unit])
    np.save(tmp_path / "data.npy", simulated.k)
    write_bart(tmp_path, run, simulated)
    said: dict[str, Any] = {"trajectory": str(tmp_path / "traj.npy"), "units": unit}
    raw = open_capture(tmp_path / f"data{suffix}", run, **said, first="down")
    raw.require_design(run.design)
    assert np.array_equal(raw.k, simulated.k)
    assert raw.notes[-1] == f"trajectory: traj.npy, in {unit}"
    turned = open_capture(tmp_path / f"data{suffix}", run, **said, first="right")
    with pytest.raises(CidesignError, match="its trajectory is not the design's: sample"):
        turned.require_design(run.design)


def test_samples_with_a_sequence_beside_them(run: ShotsRun, simulated: RawShots, tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", simulated.k)
    played = sequence(tmp_path, run)
    calibrate(run, tmp_path / "data.npy", tmp_path / "calibration", trajectory=played)
    found = read_shots_calibration(tmp_path / "calibration").calibration
    assert found.delays_ns == pytest.approx([1e3 * one for one in LATE_US], abs=100)
    with pytest.raises(CidesignError, match=r"units=1/m: .*seq says it itself \(1/m\); leave it out"):
        open_capture(tmp_path / "data.npy", run, trajectory=played, units="1/m")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, r"traj.npy: does not say the unit of k .*; which of the two comes first"),
        ({"units": "1/fov"}, r"traj.npy: does not say which of the two comes first"),
        ({"units": "furlongs", "first": "down"}, "--set units=furlongs: .*'1/fov'"),
        ({"units": "1/fov", "first": "down", "slice_index": 0}, "slice_index=0: .* leaves no such thing open"),
        ({"units": "1/m", "first": "down"}, "its trajectory is not the design's"),
    ],
)
def test_a_trajectory_beside_that_is_not_known_is_refused_and_nothing_written(
    run: ShotsRun, simulated: RawShots, tmp_path: Path, said: dict[str, Any], words: str
) -> None:
    np.save(tmp_path / "traj.npy", run.design.samples)
    np.save(tmp_path / "data.npy", simulated.k)
    with pytest.raises(CidesignError, match=words) as caught:
        calibrate(run, tmp_path / "data.npy", tmp_path / "calibration", trajectory=str(tmp_path / "traj.npy"), **said)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "calibration").exists()


def test_samples_of_other_shots_or_of_no_complex_numbers(run: ShotsRun, simulated: RawShots, tmp_path: Path) -> None:
    beside = Beside(run.design.samples, "1/fov", "traj.npy", "0" * 64)
    np.save(tmp_path / "fewer.npy", simulated.k[:, :19])
    with pytest.raises(CidesignError, match=r"traj.npy: a trajectory of 20 shots of 64 samples, .* holds 19 of 64"):
        read_shots(tmp_path / "fewer.npy", beside)
    np.save(tmp_path / "real.npy", np.abs(simulated.k))
    with pytest.raises(CidesignError, match=r"float32 of shape \(3, 20, 64\); samples of shots are complex"):
        read_shots(tmp_path / "real.npy", beside)


@pytest.mark.skipif(not (DATA / "mri").is_dir(), reason="the sample data are not beside the repository")
def test_a_real_trajectory_lies_beside_samples(tmp_path: Path) -> None:
    """A design of the file, and samples beside the file, are of one trajectory: no scan of it exists here."""
    path = DATA / "mri" / "projection_coord.npy"
    options = {"sampling": "radial", "fov_mm": 256, "side": 256, "dwell_us": 5, "units": "1/fov", "first": "down"}
    own = read_files([path], load_profile("mri-siemens-prisma"), options)
    np.save(tmp_path / "data.npy", np.ones((1, 96, 512), np.complex64))
    beside = trajectory_beside(path, "1/fov", "down")
    read_shots(tmp_path / "data.npy", beside).require_design(own.design)
    with pytest.raises(CidesignError, match=r"sample \d+ of shot \d+ lies \d+ of 1/FOV from it"):
        read_shots(tmp_path / "data.npy", trajectory_beside(path, "1/fov", "right")).require_design(own.design)


@pytest.mark.skipif(not (DATA / "formats").is_dir(), reason="the sample data are not beside the repository")
def test_a_real_sequence_lies_beside_samples(tmp_path: Path) -> None:
    """60 readouts of 64 samples: the sequence is a design, and samples beside it are of that design."""
    pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
    path = DATA / "formats" / "seq" / "write_radial_gre.seq"
    own = read_files([path], load_profile("mri-siemens-prisma"), {"sampling": "radial", "side": 64})
    np.save(tmp_path / "data.npy", np.ones((1, 60, 64), np.complex64))
    raw = read_shots(tmp_path / "data.npy", trajectory_beside(path, None, None))
    raw.require_design(own.design)
    assert raw.notes[-1] == "trajectory: write_radial_gre.seq, in 1/m"


@pytest.mark.skipif(which("bart") is None, reason="BART is not installed")
def test_bart_reads_the_pair_as_it_is_read_here(run: ShotsRun, simulated: RawShots, tmp_path: Path) -> None:
    write_bart(tmp_path, run, simulated)
    command = ["bart", "nufft", "-i", "-d", f"{SIDE}:{SIDE}:1", "traj", "data", "image"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    image = read_cfl(tmp_path / "image", 4)[:, :, 0].T
    root = np.sqrt((np.abs(image) ** 2).sum(axis=0))
    truth = np.abs(simulated.truth)
    alike = [float(np.corrcoef(one.ravel(), truth.ravel())[0, 1]) for one in (root, root[::-1], root.T)]
    assert alike[0] > 0.8
    assert max(alike[1:]) < alike[0] - 0.05


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"unit": None}, "--set units"),
        ({"unit": "furlongs"}, "furlongs"),
        ({"dimensions": 0}, "have no trajectory"),
        ({"fov_mm": 220.0}, "220 mm, the design has 256 mm"),
        ({"side": 64}, "64 x 64 pixels"),
        ({"scale": 0.5}, "its trajectory is not the design's"),
        ({"turned": True}, "its trajectory is not the design's"),
        ({"imaging": False}, "no imaging readouts"),
        ({"scale": np.nan}, "not finite"),
        ({"scale": 0.0}, "0 everywhere"),
    ],
)
def test_what_cannot_be_known_is_refused_and_nothing_written(
    run: ShotsRun, simulated: RawShots, tmp_path: Path, made: dict[str, Any], words: str
) -> None:
    scan = write_mrd(tmp_path / "scan.h5", run, simulated, **made)
    with pytest.raises(CidesignError, match=words) as caught:
        calibrate(run, scan, tmp_path / "calibration")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "calibration").exists()
