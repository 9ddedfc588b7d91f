"""Raw data of shots: files that the ISMRMRD library and BART's format define, through calibrate and reconstruct."""

import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

from cidesign.benchwork import calibrate, reconstruct, simulate
from cidesign.calibration.mri.shots.capture import RawShots, read_shots_capture
from cidesign.calibration.mri.shots.raw import read_shots
from cidesign.calibration.mri.shots.record import read_shots_calibration
from cidesign.designs.fixed import fixed_design
from cidesign.designs.folder import read_files
from cidesign.designs.untrained import untrained_run
from cidesign.errors import CidesignError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.io.bart import read_cfl, write_cfl
from cidesign.modalities.mri.shots.run import ShotsRun

ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")

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
    raw = read_shots(data, trajectory)
    raw.require_design(run.design)
    assert np.array_equal(raw.k, simulated.k)
    with pytest.raises(CidesignError, match="--set trajectory"):
        read_shots(data)


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
