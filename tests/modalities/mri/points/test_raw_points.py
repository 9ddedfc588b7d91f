"""Raw data of points: files that the ISMRMRD library and BART's format define, through calibrate and reconstruct."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.benchwork import calibrate, open_capture, reconstruct, simulate
from cidesign.calibration.mri.points.capture import read_points_capture
from cidesign.calibration.mri.points.raw import read_points
from cidesign.calibration.mri.points.volume import RawVolume
from cidesign.designs.folder import write_design
from cidesign.designs.untrained import untrained_run
from cidesign.errors import CidesignError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.io.bart import write_cfl
from cidesign.modalities.mri.points.run import PointsRun

ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")

# Enough samples beside the object for the noise of four coils where there is no noise scan.
MATRIX, SAMPLES, COILS = (24, 20), 16, 4


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> PointsRun:
    folder = tmp_path_factory.mktemp("points")
    mask = np.random.default_rng(2).random(MATRIX) < 0.35
    mask[8:16, 6:14] = True
    np.save(folder / "mask.npy", mask)
    options = {"sampling": "points", "readout": SAMPLES}
    write_design([folder / "mask.npy"], load_profile("mri-generic-3t"), folder / "design", options)
    return PointsRun(untrained_run(folder / "design", coils=COILS, images=8, validation_images=2).path)


@pytest.fixture(scope="module")
def capture(run: PointsRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "capture"
    simulate(run, folder, coils=COILS)
    return folder


@pytest.fixture(scope="module")
def simulated(capture: Path) -> RawVolume:
    return read_points_capture(capture)


def header(lines: int, partitions: int, samples: int, wider: int, centre: tuple[int, int]) -> bytes:
    xsd = ismrmrd.xsd

    def space(times: int) -> Any:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=samples * times, y=lines, z=partitions),
            fieldOfView_mm=xsd.fieldOfViewMm(x=200.0 * times, y=220.0, z=160.0),
        )

    def limit(last: int, middle: int) -> Any:
        return xsd.limitType(minimum=0, maximum=last, center=middle)

    encoding = xsd.encodingType(
        encodedSpace=space(wider),
        reconSpace=space(1),
        encodingLimits=xsd.encodingLimitsType(
            kspace_encoding_step_1=limit(lines - 1, centre[0]), kspace_encoding_step_2=limit(partitions - 1, centre[1])
        ),
        trajectory=xsd.trajectoryType.CARTESIAN,
    )
    whole = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=128_000_000), encoding=[encoding]
    )
    return str(xsd.ToXML(whole)).encode()


def write_mrd(
    path: Path,
    capture: Path,
    *,
    inside: int = 0,
    left_out: int = 0,
    twice: bool = False,
    moved: tuple[int, int] = (0, 0),
    edit: Callable[[Any], None] = lambda one: None,
) -> Path:
    """The scan as the library of the format writes it: a noise scan, and the points in the order of no design.

    `inside`: how far from the borders of the matrix points lie at least; `moved`: counters, and the centre of the
    header, differ by so much from a centre at N // 2.
    """
    with np.load(capture / "kspace.npz") as arrays:
        k, points, noise = arrays["k"], arrays["points"], arrays["noise"]
    lines, partitions = MATRIX
    kept = np.flatnonzero(((points >= inside) & (points < np.array(MATRIX) - inside)).all(axis=1))
    order = np.random.default_rng(8).permutation(kept)[left_out:]
    order = np.concatenate([order, order[:1]]) if twice else order
    centre = (lines // 2 + moved[0], partitions // 2 + moved[1])
    with ismrmrd.Dataset(str(path), "dataset") as stored:
        stored.write_xml_header(header(lines, partitions, SAMPLES, 2, centre))
        for number in range(-1, len(order)):
            samples = noise if number < 0 else k[:, order[number]]
            one = ismrmrd.Acquisition()
            one.resize(samples.shape[1], len(samples))
            one.data[:] = samples
            one.sample_time_us, one.scan_counter, one.center_sample = 5.0, number + 1, samples.shape[1] // 2
            if number < 0:
                one.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
            else:
                line, partition = points[order[number]] + moved
                one.idx.kspace_encode_step_1, one.idx.kspace_encode_step_2 = int(line), int(partition)
                edit(one)
            stored.append_acquisition(one)
    return path


def write_bart(folder: Path, raw: RawVolume) -> Path:
    k = np.zeros((raw.samples, *raw.matrix, raw.coils), dtype=np.complex64)
    k[:, raw.points[:, 0], raw.points[:, 1]] = raw.k.transpose(2, 1, 0)
    write_cfl(folder / "data", k)
    return folder / "data.cfl"


@pytest.mark.parametrize(("moved", "inside"), [((0, 0), 0), ((2, -1), 2)])
def test_readouts_lie_where_their_counters_say(
    capture: Path, simulated: RawVolume, tmp_path: Path, moved: tuple[int, int], inside: int
) -> None:
    raw = read_points(write_mrd(tmp_path / "scan.h5", capture, moved=moved, inside=inside))
    there = ((simulated.points >= inside) & (simulated.points < np.array(MATRIX) - inside)).all(axis=1)
    assert np.array_equal(raw.points, simulated.points[there])
    assert np.array_equal(raw.k, simulated.k[:, there])
    assert np.array_equal(raw.readouts.noise, simulated.readouts.noise)
    assert raw.readouts.oversampling == 2.0


@pytest.mark.parametrize("kind", ["h5", "cfl"])
def test_a_raw_file_is_calibrated_and_reconstructed_as_its_capture_is(
    run: PointsRun, capture: Path, simulated: RawVolume, tmp_path: Path, kind: str
) -> None:
    scan = write_mrd(tmp_path / "scan.h5", capture) if kind == "h5" else write_bart(tmp_path, simulated)
    calibrate(run, scan, tmp_path / "calibration")
    value, _ = reconstruct(run, scan, tmp_path / "calibration", tmp_path / "images").printed
    assert (value["sampling"], value["slices"], value["simulated"]) == ("prospective", SAMPLES, False)
    truth = np.abs(simulated.truth)
    image = np.abs(np.load(tmp_path / "images" / "cg_sense.npz")["image"])

    def alike(other: NDArray[Any]) -> float:
        return float(np.corrcoef(other.ravel(), truth.ravel())[0, 1])

    assert alike(image) > 0.95
    assert max(alike(image[::-1]), alike(image[:, ::-1]), alike(image[:, :, ::-1])) < alike(image) - 0.05


def test_a_missing_point_is_named(run: PointsRun, capture: Path, tmp_path: Path) -> None:
    scan = write_mrd(tmp_path / "scan.h5", capture, left_out=1)
    with np.load(capture / "kspace.npz") as arrays:
        points = arrays["points"]
    gone = points[np.random.default_rng(8).permutation(np.arange(len(points)))[0]].tolist()
    with pytest.raises(CidesignError, match=rf"missing \({gone[0]}, {gone[1]}\); unexpected none") as caught:
        calibrate(run, scan, tmp_path / "calibration")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "calibration").exists()


def average(one: Any) -> None:
    one.idx.average = one.scan_counter % 2


def beyond(one: Any) -> None:
    one.idx.kspace_encode_step_2 = 20 if one.scan_counter == 5 else one.idx.kspace_encode_step_2


def echo(one: Any) -> None:
    one.idx.contrast = one.scan_counter % 2


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"twice": True}, r"duplicated points \(\d+, \d+\) \(AcquisitionHeader"),
        ({"edit": average}, "averages of points"),
        ({"edit": beyond}, r"unexpected points \(\d+, 20\) outside of 24 x 20"),
        ({"edit": echo}, "2 images by its contrast counter"),
    ],
)
def test_what_is_no_scan_of_points_is_refused(capture: Path, tmp_path: Path, made: dict[str, Any], words: str) -> None:
    with pytest.raises(CidesignError, match=words):
        read_points(write_mrd(tmp_path / "scan.h5", capture, **made))


def test_other_files_and_options(run: PointsRun, simulated: RawVolume, tmp_path: Path) -> None:
    with pytest.raises(CidesignError, match=r"--set measurement=2: .* leaves no such thing open"):
        open_capture(write_bart(tmp_path, simulated), run, measurement=2)
    (tmp_path / "scan.raw").write_bytes(b"1")
    with pytest.raises(CidesignError, match=r"a Philips|Philips raw data"):
        read_points(tmp_path / "scan.raw")
    write_cfl(tmp_path / "slice", np.ones((6, 24), dtype=np.complex64))
    with pytest.raises(CidesignError, match=r"were measured|of 24 x 1 points|24 x 1 x 6"):
        calibrate(run, tmp_path / "slice.cfl", tmp_path / "calibration")
    half = np.zeros((SAMPLES, *MATRIX, 1), dtype=np.complex64)
    half[:3, 3, 4] = half[:, 12, 10] = 1
    write_cfl(tmp_path / "half", half)
    with pytest.raises(CidesignError, match=r"points \(3, 4\) are 0 for more than 30% of their samples"):
        read_points(tmp_path / "half.cfl")
