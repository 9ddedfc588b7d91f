"""Somebody's undersampled scan, reconstructed with its own lines and without training."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

import cidesign as ci
from cidesign.calibration.mri.kspace import centred_fft
from cidesign.calibration.mri.record import read_kspace_calibration
from cidesign.errors import FileError
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.modalities.mri.record import MriRecord
from cidesign.pattern import CartesianLines
from cidesign.reconstruct.outcome import Reconstruction

LINES, SAMPLES = 40, 48
POSITION = np.array([12.0, -30.0, 45.0])
FOV_READ_MM, FOV_PHASE_MM, THICK_MM = 240.0, 200.0, 4.0
# Where a small bright thing lies, off the middle of every axis and unlike its mirror images.
SPOT = (12, 33)
NOISE = 0.01


class Slice(NamedTuple):
    """A slice by its number in the file: how high it lies, how bright the same object is in it, lines that it lacks."""

    number: int
    height_mm: float
    brightness: float
    missing: tuple[int, ...] = ()


def _rotation() -> NDArray[np.float64]:
    """Columns: read, phase and slice direction of an oblique slice."""
    a, b = np.deg2rad(20), np.deg2rad(-35)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return about_x @ about_z


def _object() -> NDArray[np.complex64]:
    rows, columns = np.mgrid[:LINES, :SAMPLES]
    body = (((rows - 20) / 15) ** 2 + ((columns - 24) / 18) ** 2 < 1) * 0.5
    body[24:30, 14:22] = 0.2
    body[SPOT[0] - 1 : SPOT[0] + 2, SPOT[1] - 1 : SPOT[1] + 2] = 0.9
    body[SPOT] = 1.0
    return (body * np.exp(0.02j * rows)).astype(np.complex64)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Every second line and a block around the centre, as ISMRMRD's own library writes them."""
    ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")
    xsd = pytest.importorskip("ismrmrd.xsd")

    def write(
        block: int = 14, coils: int = 4, mode: str = "embedded", slices: tuple[Slice, ...] = (Slice(0, 0.0, 1.0),)
    ) -> Path:
        path = tmp_path_factory.mktemp("scan") / "scan.h5"
        maps = coil_maps(coils, LINES, 4, SAMPLES) if coils > 1 else np.ones((1, LINES, SAMPLES), np.complex64)
        wide = np.zeros((coils, LINES, 2 * SAMPLES), dtype=np.complex64)
        wide[:, :, SAMPLES // 2 : SAMPLES // 2 + SAMPLES] = maps * _object()
        rng = np.random.default_rng(1)

        def noisy(values: NDArray[Any]) -> NDArray[np.complex64]:
            draws = rng.normal(size=(2, *values.shape)) * NOISE
            return np.asarray(1e-5 * (values + draws[0] + 1j * draws[1]), dtype=np.complex64)

        k = noisy(centred_fft(wide, (-2, -1)))
        dataset = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
        dataset.write_xml_header(_header(xsd, mode).encode())

        def add(samples: NDArray[np.complex64], line: int, flags: list[int], place: Slice = slices[0]) -> None:
            one = ismrmrd.Acquisition.from_array(np.ascontiguousarray(samples))
            one.idx.slice = place.number
            one.center_sample, one.sample_time_us, one.scan_counter = samples.shape[1] // 2, 5.0, 1 + line
            one.idx.kspace_encode_step_1 = line
            one.position[:] = POSITION + place.height_mm * _rotation()[:, 2]
            one.read_dir[:], one.phase_dir[:], one.slice_dir[:] = _rotation().T
            for flag in flags:
                one.set_flag(flag)
            dataset.append_acquisition(one)

        add(noisy(np.zeros((coils, 2000))), 0, [ismrmrd.ACQ_IS_NOISE_MEASUREMENT])
        first = LINES // 2 - block // 2
        for line, place in itertools.product(range(LINES), slices):
            central = first <= line < first + block
            if line in place.missing:
                continue
            samples = np.asarray(place.brightness * k[:, line], dtype=np.complex64)
            if line % 2 == 0:
                add(samples, line, [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING] if central else [], place)
            elif central:
                add(samples, line, [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION], place)
        dataset.close()
        return path

    return write


def _header(xsd: Any, mode: str) -> str:
    def space(samples: int, width: float) -> Any:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=samples, y=LINES, z=1),
            fieldOfView_mm=xsd.fieldOfViewMm(x=width, y=FOV_PHASE_MM, z=THICK_MM),
        )

    limits = xsd.limitType(minimum=0, maximum=LINES - 1, center=LINES // 2)
    encoding = xsd.encodingType(
        encodedSpace=space(2 * SAMPLES, 2 * FOV_READ_MM),
        reconSpace=space(SAMPLES, FOV_READ_MM),
        encodingLimits=xsd.encodingLimitsType(kspace_encoding_step_1=limits),
        trajectory=xsd.trajectoryType.CARTESIAN,
        parallelImaging=xsd.parallelImagingType(
            accelerationFactor=xsd.accelerationFactorType(kspace_encoding_step_1=2, kspace_encoding_step_2=1),
            calibrationMode=xsd.calibrationModeType(mode),
        ),
    )
    conditions = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_000_000)
    return str(xsd.ToXML(xsd.ismrmrdHeader(experimentalConditions=conditions, encoding=[encoding])))


@pytest.fixture(scope="module")
def embedded(scan: Callable[..., Path]) -> Path:
    """Such a scan with its design and its images beside it."""
    path = scan()
    _reconstructed(path)
    return path


def _reconstructed(path: Path) -> tuple[CartesianLines, Reconstruction]:
    folder = ci.design(path, "mri-generic-3t", path.with_name("design"))
    assert isinstance(folder.design, CartesianLines)
    return folder.design, ci.reconstruct(folder, path, out=path.with_name("images"))


def _psnr_db(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    scaled = image * (image * truth).sum() / (image**2).sum()
    return float(-10 * np.log10(((scaled - truth) ** 2).mean()))


def test_an_undersampled_scan_becomes_images_at_once(embedded: Path) -> None:
    folder = ci.open_design(embedded.with_name("design"))
    design, done = folder.design, ci.reconstruct(folder, embedded)
    assert isinstance(design, CartesianLines)
    assert design.acquired.tolist() == sorted({*range(0, LINES, 2), *range(13, 27)})
    assert (design.lines, design.readout) == (LINES, SAMPLES)
    truth = np.abs(_object())
    found = {name: _psnr_db(done.images[name], truth) for name in done.images}
    assert set(found) == {"zero_filled", "cg_sense", "total_variation", "linear"}
    assert min(found[name] for name in ("cg_sense", "total_variation", "linear")) > found["zero_filled"] + 2
    assert done.judgement is not None
    assert done.judgement.verdict == "not verified"
    assert any("no calibration was named" in note for note in done.remarks)
    assert {row[0] for row in done.rows} == {"design"}


def test_its_nifti_lies_where_the_scan_was(embedded: Path) -> None:
    """Read by a library that this project did not write: the bright thing is at its place in the patient."""
    stored = nibabel.load(embedded.with_name("images") / "total_variation.nii")
    assert isinstance(stored, nibabel.Nifti1Image)
    values = np.asarray(stored.dataobj)
    assert values.shape == (SAMPLES, LINES, 1)
    np.testing.assert_allclose(stored.header.get_zooms(), (FOV_READ_MM / SAMPLES, FOV_PHASE_MM / LINES, THICK_MM))
    assert stored.header["sform_code"] == stored.header["qform_code"] == 1
    voxel = np.unravel_index(values.argmax(), values.shape)
    off_mm = [(SPOT[1] - SAMPLES // 2) * FOV_READ_MM / SAMPLES, (SPOT[0] - LINES // 2) * FOV_PHASE_MM / LINES, 0.0]
    left_back_head = POSITION + _rotation() @ off_mm
    for affine in (stored.affine, stored.get_qform()):
        np.testing.assert_allclose((affine @ [*voxel, 1])[:3], left_back_head * [-1, -1, 1], atol=1e-3)


def test_without_enough_central_lines_the_count_that_is_needed_is_named(scan: Callable[..., Path]) -> None:
    path = scan(6)
    folder = ci.design(path, "mri-generic-3t", path.with_name("design"))
    with pytest.raises(FileError, match=r"too few for coil maps with a kernel of 4 x 4, which calls for 7; scan 7"):
        ci.reconstruct(folder, path)


def test_one_coil_needs_no_maps(scan: Callable[..., Path]) -> None:
    _, done = _reconstructed(scan(8, coils=1))
    assert _psnr_db(done.images["total_variation"], np.abs(_object())) > 24


def test_a_decoder_is_trained_for_lines_of_a_matrix_that_is_not_square(embedded: Path) -> None:
    folder = ci.open_design(embedded.with_name("design"))
    run = ci.distill(
        design=folder, out=embedded.with_name("run"), images=24, validation_images=4, batch=8, channels=4,
        teacher_epochs=0, student_epochs=1, device="cpu",
    )  # fmt: skip
    assert run.design.design_digest == folder.design.design_digest
    done = ci.reconstruct(run, embedded)
    assert done.images.student.shape == (LINES, SAMPLES)
    assert _psnr_db(done.images.student, np.abs(_object())) > 31


# Measured every other one first, and numbered in the order of time.
INTERLEAVED = (Slice(0, 0.0, 1.0), Slice(1, 10.0, 0.5), Slice(2, 5.0, 0.75))


def test_slices_become_one_stack_in_the_order_of_space(scan: Callable[..., Path]) -> None:
    path = scan(8, coils=1, slices=INTERLEAVED)
    _, done = _reconstructed(path)
    assert isinstance(done.record, MriRecord)
    assert [one.slice for one in done.record.slices] == [0, 2, 1]
    assert done.record.verdict == "not verified"
    stack = done.images["total_variation"]
    assert stack.shape == (3, LINES, SAMPLES)
    truth = np.abs(_object())
    for image in stack:
        assert _psnr_db(image, truth) > 24
    # One scale for all slices, as they were received: that of the brightest.
    scales = [one.full_scale for one in done.record.slices if one.full_scale is not None]
    assert len(scales) == 3
    assert done.record.full_scale == max(scales) > 1.2 * min(scales)
    bright = np.median(stack[:, 18:22, 22:26], axis=(1, 2))
    np.testing.assert_allclose(bright / bright[0], [1.0, 0.75, 0.5], rtol=0.05)
    stored = nibabel.load(path.with_name("images") / "total_variation.nii")
    assert isinstance(stored, nibabel.Nifti1Image)
    values = np.asarray(stored.dataobj)
    assert values.shape == (SAMPLES, LINES, 3)
    np.testing.assert_allclose(stored.header.get_zooms(), (FOV_READ_MM / SAMPLES, FOV_PHASE_MM / LINES, 5.0), rtol=1e-6)
    for number, height_mm in enumerate((0.0, 5.0, 10.0)):
        voxel = np.unravel_index(values[..., number].argmax(), values.shape[:2])
        off_mm = [(SPOT[1] - SAMPLES // 2) * FOV_READ_MM / SAMPLES, (SPOT[0] - LINES // 2) * FOV_PHASE_MM / LINES]
        left_back_head = POSITION + _rotation() @ [*off_mm, height_mm]
        for affine in (stored.affine, stored.get_qform()):
            np.testing.assert_allclose((affine @ [*voxel, number, 1])[:3], left_back_head * [-1, -1, 1], atol=1e-3)
    assert any("5 mm from middle to middle (a gap of 1 mm)" in note for note in done.remarks)
    again = ci.open_reconstruction(path.with_name("images"))
    np.testing.assert_array_equal(again.images["linear"], done.images["linear"])
    one = ci.reconstruct(ci.open_design(path.with_name("design")), path, slice_index=2)
    assert one.images["linear"].shape == (LINES, SAMPLES)


def test_a_calibration_of_slices_is_used_slice_by_slice(scan: Callable[..., Path]) -> None:
    path = scan(8, coils=1, slices=INTERLEAVED[:2])
    folder = ci.design(path, "mri-generic-3t", path.with_name("design"))
    run = ci.open_run(folder)
    done = ci.calibrate(run, path, path.with_name("calibration"))
    assert {one.name for one in path.with_name("calibration").glob("slice_*")} == {"slice_000", "slice_001"}
    assert done.record.slices == (0, 1)
    stack = ci.reconstruct(run, path, path.with_name("calibration"))
    assert stack.images["linear"].shape == (2, LINES, SAMPLES)
    single = ci.reconstruct(run, path, path.with_name("calibration"), slice_index=1)
    apart = ci.reconstruct(run, path, path.with_name("calibration") / "slice_001", slice_index=1)
    np.testing.assert_array_equal(single.images["linear"], apart.images["linear"])
    with pytest.raises(FileError, match=r"calibration of one slice.* holds 0, 1: calibrate it without slice_index"):
        ci.reconstruct(run, path, path.with_name("calibration") / "slice_001")
    with pytest.raises(FileError, match=r"several slices, one is needed here; name that of .*slice_000"):
        read_kspace_calibration(path.with_name("calibration"))


def test_a_slice_that_lacks_lines_is_named(scan: Callable[..., Path]) -> None:
    path = scan(8, coils=1, slices=(INTERLEAVED[0], INTERLEAVED[1]._replace(missing=(6, 30))))
    with pytest.raises(FileError, match=r"slices 0 and 1 have other lines \(24 and 22; only one has 6, 30\)"):
        ci.design(path, "mri-generic-3t", path.with_name("design"))
    folder = ci.design(path, "mri-generic-3t", path.with_name("design"), slice_index=0)
    with pytest.raises(FileError, match=r"^slice 1: .*missing 6, 30; unexpected none"):
        ci.reconstruct(folder, path)
