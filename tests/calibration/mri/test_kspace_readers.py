"""Raw data files of every kind: what is read is what was written, and what is wrong is named."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import RawKspace, centred_fft, require_coils, require_design
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.io.bart import write_cfl
from cidesign.pattern import CartesianLines

DATA = Path(__file__).parents[3].parent / "shared" / "data"
COILS, LINES, SAMPLES = 3, 12, 10
ACQUIRED = (1, 4, 5, 6, 7, 10)
NOISE_FLAG, REVERSE_FLAG, DUMMY_FLAG, CALIBRATION_FLAG = 19, 22, 27, 20


def design(lines: tuple[int, ...] = ACQUIRED) -> CartesianLines:
    return CartesianLines(LINES, SAMPLES, np.array(lines, dtype=np.int64), 4, "some", "0" * 64)


def kspace(coils: int = COILS, oversampling: int = 1) -> NDArray[np.complex64]:
    """Full k-space of a field of view that is empty beyond the middle samples."""
    rng = np.random.default_rng(5)
    image = np.zeros((coils, LINES, SAMPLES * oversampling), dtype=np.complex64)
    first = image.shape[2] // 2 - SAMPLES // 2
    values = rng.standard_normal((2, coils, LINES, SAMPLES))
    image[:, :, first : first + SAMPLES] = values[0] + 1j * values[1]
    return centred_fft(image, (-2, -1))


def header(ismrmrd: Any, oversampling: int, lines: int, centre: int, fov_ratio: float) -> str:
    xsd = ismrmrd.xsd

    def space(samples: int, width: float) -> Any:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=samples, y=lines, z=1),
            fieldOfView_mm=xsd.fieldOfViewMm(x=width, y=200.0, z=5.0),
        )

    encoding = xsd.encodingType(
        encodedSpace=space(SAMPLES * oversampling, 200.0 * fov_ratio),
        reconSpace=space(SAMPLES, 200.0),
        encodingLimits=xsd.encodingLimitsType(
            kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=lines - 1, center=centre)
        ),
        trajectory=xsd.trajectoryType.CARTESIAN,
    )
    whole = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_000_000), encoding=[encoding]
    )
    return str(xsd.ToXML(whole))


@pytest.fixture
def write_mrd(tmp_path: Path) -> Callable[..., Path]:
    """An ISMRMRD file written by its own library: one acquisition per (line, changes of its header)."""
    ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")
    importlib.import_module("ismrmrd.xsd")

    def write(
        acquisitions: list[tuple[int, dict[str, Any]]],
        oversampling: int = 2,
        lines: int = LINES,
        centre: int = LINES // 2,
        fov_ratio: float | None = None,
        data: NDArray[np.complex64] | None = None,
    ) -> Path:
        path = tmp_path / "raw.h5"
        k = kspace(oversampling=oversampling) if data is None else data
        dataset = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
        dataset.write_xml_header(header(ismrmrd, oversampling, lines, centre, fov_ratio or oversampling).encode())
        for number, (line, changes) in enumerate(acquisitions):
            samples = changes.get("data", k[:, line % LINES])
            acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(samples))
            acquisition.center_sample = changes.get("centre", samples.shape[1] // 2)
            acquisition.sample_time_us = changes.get("dwell_us", 10.0)
            acquisition.scan_counter = number
            acquisition.idx.kspace_encode_step_1 = line
            for name, value in changes.items():
                if hasattr(acquisition.idx, name):
                    setattr(acquisition.idx, name, value)
            for flag in changes.get("flags", ()):
                acquisition.set_flag(flag)
            dataset.append_acquisition(acquisition)
        dataset.close()
        return path

    return write


SHUFFLED = [(line, {}) for line in (10, 5, 1, 7, 4, 6)]


def test_mrd_lines_are_placed_by_their_counters(write_mrd: Callable[..., Path]) -> None:
    noise = np.ones((COILS, 8), dtype=np.complex64)
    more = [(0, {"flags": [NOISE_FLAG], "data": noise, "dwell_us": 40.0}), (3, {"flags": [DUMMY_FLAG]})]
    raw = read_kspace(write_mrd([*more, *SHUFFLED, (2, {"flags": [CALIBRATION_FLAG]})]))
    assert raw.lines.tolist() == list(ACQUIRED)
    assert (raw.matrix_lines, raw.oversampling, raw.source) == (LINES, 2.0, "ISMRMRD")
    np.testing.assert_allclose(raw.k, kspace(oversampling=1)[:, list(ACQUIRED)], atol=2e-6)
    assert raw.placed()[:, 0].any() == False  # noqa: E712
    assert require_design(raw, design()) == "prospective"
    # The noise was read out four times as slowly: half the deviation of the image's noise.
    assert raw.noise is not None
    np.testing.assert_allclose(raw.noise, 2 * noise)
    left_out = "2 readouts that are no image (navigators ...) left out; 1 are calibration lines"
    assert any(note.startswith(left_out) for note in raw.notes)


def test_mrd_centre_of_the_header_moves_the_lines(write_mrd: Callable[..., Path]) -> None:
    raw = read_kspace(write_mrd([(0, {}), (1, {})], centre=1))
    assert raw.lines.tolist() == [5, 6]


def test_mrd_averages(write_mrd: Callable[..., Path]) -> None:
    k = kspace(oversampling=2)
    twice = [(line, {"average": n, "data": k[:, line] * (1 + n)}) for n in (0, 1) for line in ACQUIRED]
    raw = read_kspace(write_mrd(twice))
    np.testing.assert_allclose(raw.k, 1.5 * kspace()[:, list(ACQUIRED)], atol=4e-6)
    assert "2 averages of every line were averaged" in raw.notes


@pytest.mark.parametrize(
    ("acquisitions", "options", "message"),
    [
        ([*SHUFFLED, (5, {})], {}, "duplicated lines 5; each line is measured once"),
        ([*SHUFFLED, (5, {"average": 1})], {}, "of 2 averages, some are missing at lines 1, 4, 6, 7, 10"),
        ([(11, {}), (12, {})], {}, r"unexpected lines 12 outside 0 .. 11 \(encoding.encodedSpace.matrixSize.y"),
        ([(1, {"repetition": 0}), (2, {"repetition": 1})], {}, r"2 images by its repetition counter \(0, 1\)"),
        ([(1, {}), (2, {"flags": [REVERSE_FLAG]})], {}, "reversed readouts"),
        ([(1, {"centre": 4})], {}, "echo lies on sample 4 of 20 by the header of the readout, 10 is expected"),
        ([(1, {"flags": [NOISE_FLAG]})], {}, "holds no imaging readouts among 1"),
        ([(1, {"data": np.ones((COILS, 16), np.complex64)})], {}, r"readouts of 16 samples .* the header says 20"),
        ([(1, {}), (2, {"data": np.ones((2, 20), np.complex64)})], {}, "2 x 20, 3 x 20"),
        ([(1, {})], {"fov_ratio": 1.0}, "fields of view are 1 to 1; only readout oversampling is removed"),
        ([(1, {"data": np.zeros((COILS, 20), np.complex64)})], {}, "holds nothing but zeros; is it a template"),
        ([(1, {"data": np.full((COILS, 20), np.nan, np.complex64)})], {}, "samples are not finite numbers"),
    ],
)  # fmt: skip
def test_mrd_problems_are_named(
    write_mrd: Callable[..., Path], acquisitions: list[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(FileError, match=message):
        read_kspace(write_mrd(acquisitions, **options))


def test_slices_are_chosen(write_mrd: Callable[..., Path]) -> None:
    path = write_mrd([(1, {}), (2, {}), (5, {"slice": 4})])
    with pytest.raises(InputError, match="holds slices 0, 4; choose one with --set slice_index=N"):
        read_kspace(path)
    with pytest.raises(InputError, match="no slice 1; there are slices 0, 4"):
        read_kspace(path, 1)
    assert read_kspace(path, 4).lines.tolist() == [5]


def test_a_file_cut_short_and_a_series_of_images(write_mrd: Callable[..., Path], tmp_path: Path) -> None:
    whole = write_mrd(SHUFFLED).read_bytes()
    short = tmp_path / "short.h5"
    short.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=f"not a sound raw data file.*; {len(whole) // 2} bytes were found"):
        read_kspace(short)
    images = tmp_path / "images.h5"
    with h5py.File(images, "w") as stored:
        stored["run/image_0/data"] = np.zeros((1, 4, 4))
        stored["run/image_0/header"] = np.zeros(1)
    with pytest.raises(FileError, match="a series of reconstructed ISMRMRD images, not raw data"):
        read_kspace(images)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 0.999), value=st.integers(0, 255), length=st.integers(1, 64))
def test_damaged_hdf5_never_ends_in_a_traceback(
    write_mrd: Callable[..., Path], tmp_path: Path, where: float, value: int, length: int
) -> None:
    path = tmp_path / "raw.h5"
    if not path.exists():
        write_mrd(SHUFFLED)
    content = bytearray(path.read_bytes())
    at = int(where * len(content))
    content[at : at + length] = bytes([value]) * len(content[at : at + length])
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(content)
    try:
        raw = read_kspace(damaged)
    except CidesignError as error:
        message = str(error)
    else:
        message = str(raw.path)
    assert str(damaged) in message


def test_fastmri_layout(tmp_path: Path) -> None:
    k = kspace()
    k[:, [0, 2, 3]] = 0
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as stored:
        stored["kspace"] = np.stack([np.zeros_like(k), k]).transpose(0, 1, 3, 2)
    with pytest.raises(InputError, match="holds slices 0, 1; choose one with --set slice_index=N"):
        read_kspace(path)
    raw = read_kspace(path, 1)
    assert raw.lines.tolist() == [1, *range(4, LINES)]
    np.testing.assert_array_equal(raw.placed(), k)
    with pytest.raises(FileError, match="nothing but zeros"):
        read_kspace(path, 0)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".cfl", ".hdr", ""])
def test_arrays_of_whole_matrices(tmp_path: Path, suffix: str) -> None:
    k = kspace()
    k[:, np.setdiff1d(np.arange(LINES), ACQUIRED)] = 0
    if suffix == ".npy":
        np.save(tmp_path / "raw.npy", k)
    elif suffix == ".npz":
        np.savez(tmp_path / "raw.npz", kspace=k)
    else:
        write_cfl(tmp_path / "raw", np.ascontiguousarray(k.transpose(2, 1, 0)[:, :, None]))
    raw = read_kspace(tmp_path / f"raw{suffix}")
    np.testing.assert_array_equal(raw.placed(), k)
    assert require_design(raw, design()) == "prospective"


def test_arrays_that_are_no_line_wise_kspace(tmp_path: Path) -> None:
    path = tmp_path / "raw.npy"
    np.save(path, np.where(np.random.default_rng(0).random((COILS, LINES, SAMPLES)) < 0.3, kspace(), 0)[:, :])
    with pytest.raises(
        FileError, match=r"k-space columns differ in .* no fully sampled reference: metrics unavailable"
    ):
        read_kspace(path)
    np.save(path, kspace().real)
    with pytest.raises(FileError, match="is not k-space; complex numbers"):
        read_kspace(path)
    np.save(path, np.stack([kspace(), kspace()]))
    with pytest.raises(InputError, match="slices 0, 1; choose one with --set slice_index=N"):
        read_kspace(path)
    write_cfl(tmp_path / "echoes", np.ones((SAMPLES, LINES, 1, 2, 1, 3), dtype=np.complex64))
    with pytest.raises(FileError, match=r"BART dimensions 5 \(3\) are not 1"):
        read_kspace(tmp_path / "echoes.cfl")


def test_a_cfl_cut_short_names_both_sizes(tmp_path: Path) -> None:
    data, _ = write_cfl(tmp_path / "raw", np.ones((SAMPLES, LINES, 1, 2), dtype=np.complex64))
    data.write_bytes(data.read_bytes()[:-8])
    expected = 8 * SAMPLES * LINES * 2
    with pytest.raises(FileError, match=f"has {expected - 8} bytes, its header says {expected}"):
        read_kspace(data)


def test_other_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such capture"):
        read_kspace(tmp_path / "none.h5")
    (tmp_path / "text.txt").write_text("?")
    with pytest.raises(FileError, match=r".txt files are not read as raw data; use .h5"):
        read_kspace(tmp_path / "text.txt")
    with pytest.raises(InputError, match="--set matrix_lines: only the protocol of a Siemens file"):
        read_kspace(tmp_path / "text.txt", matrix_lines=4)


def test_lines_other_than_the_design_are_named() -> None:
    k = np.ones((2, 5, SAMPLES), dtype=np.complex64)
    raw = RawKspace(Path("some.h5"), "test", k, np.array([1, 4, 5, 6, 8]), LINES, "0" * 64)
    with pytest.raises(FileError, match="missing 7, 10; unexpected 8; no fully sampled reference: metrics unavailable"):
        require_design(raw, design())
    wider = RawKspace(Path("some.h5"), "test", k, raw.lines, 16, "0" * 64, fields={"lines": "the.field"})
    with pytest.raises(
        FileError, match=r"a matrix of 16 lines \(the.field\), the design has 12; use a run with --side 16"
    ):
        require_design(wider, design())
    longer = RawKspace(Path("some.h5"), "test", np.ones((2, 5, 9), np.complex64), raw.lines, LINES, "0" * 64)
    with pytest.raises(FileError, match=r"a matrix of 9 samples \(shape of the array\), the design has 10"):
        require_design(longer, design())
    with pytest.raises(FileError, match=r"2 coils \(shape of the array\), 3 were calibrated"):
        require_coils(raw, 3)
    full = RawKspace(Path("f"), "test", np.ones((1, LINES, SAMPLES), np.complex64), np.arange(LINES), LINES, "0" * 64)
    assert require_design(full, design()) == "retrospective"


class TestPaddedScans:
    """Full scans whose outermost lines, or ends of readouts, were never acquired and are zeros."""

    def padded(self, tmp_path: Path, below: int, above: int, start: int = 0, oversampling: int = 1) -> RawKspace:
        k = kspace(oversampling=oversampling)
        k[:, :below] = 0
        k[:, LINES - above :] = 0
        k[..., :start] = 0
        np.save(tmp_path / "raw.npy", k)
        return read_kspace(tmp_path / "raw.npy")

    @pytest.mark.parametrize(("below", "above"), [(1, 1), (1, 2), (0, 3), (2, 0)])
    def test_are_references_for_designs_within(self, tmp_path: Path, below: int, above: int) -> None:
        raw = self.padded(tmp_path, below, above)
        assert (raw.padding, raw.complete) == ((below, above), False)
        assert require_design(raw, design((3, 4, 5, 6, 7, 8))) == "retrospective"
        assert (
            f"({below} below, {above} above) hold nothing: a full scan of {LINES - below - above} of 12 lines"
            in str(raw.padding_note())
        )
        with pytest.raises(FileError, match=r"the design has lines (0|11|0, 11) among"):
            require_design(raw, design((0, 4, 5, 6, 7, 11)))

    def test_a_scan_with_gaps_or_of_the_middle_alone_is_none(self, tmp_path: Path) -> None:
        assert self.padded(tmp_path, 2, 2).padding is None
        k = kspace()
        k[:, [2, 9]] = 0
        np.save(tmp_path / "gaps.npy", k)
        raw = read_kspace(tmp_path / "gaps.npy")
        assert (raw.padding, raw.padding_note()) == (None, None)
        with pytest.raises(FileError, match="missing none; unexpected 0, 1, 3, 8"):
            require_design(raw, design((4, 5, 6, 7)))
        assert read_kspace(tmp_path / "gaps.npy").lines.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 10, 11]

    def test_padded_ends_of_readouts_are_told(self, tmp_path: Path) -> None:
        raw = self.padded(tmp_path, 0, 0, start=2)
        assert "2 samples at the start and 0 at the end of all readouts are exactly 0: padded" in raw.notes
        with pytest.raises(FileError, match=r"4 samples at the start and 0 at the end .* partial echoes are not read"):
            self.padded(tmp_path, 0, 0, start=4)

    def test_zeros_are_seen_before_oversampling_is_removed(self, tmp_path: Path) -> None:
        k = kspace(oversampling=2)
        k[..., :8] = 0
        space = "<matrixSize><x>{}</x><y>12</y></matrixSize><fieldOfView_mm><x>{}</x></fieldOfView_mm>"
        limits = "<encodingLimits><kspace_encoding_step_1><center>6</center></kspace_encoding_step_1></encodingLimits>"
        with h5py.File(tmp_path / "raw.h5", "w") as stored:
            stored["kspace"] = k.transpose(0, 2, 1)[None]
            stored["ismrmrd_header"] = (
                f"<ismrmrdHeader><encoding><encodedSpace>{space.format(20, 400)}</encodedSpace><reconSpace>"
                f"{space.format(10, 200)}</reconSpace>{limits}</encoding></ismrmrdHeader>"
            )
        with pytest.raises(FileError, match="8 samples at the start and 0 at the end of all readouts of 20"):
            read_kspace(tmp_path / "raw.h5")


@pytest.mark.parametrize("length", [0, 7, 8, 9, 400, 10_238])
def test_twix_cut_within_its_directory(tmp_path: Path, length: int) -> None:
    pytest.importorskip("twixtools", reason="the extra 'mri' is not installed")
    start = np.zeros(2560, dtype="<u4")
    start[:2] = 0, 1
    (tmp_path / "cut.dat").write_bytes(start.tobytes()[:length])
    with pytest.raises(FileError, match=r"cut\.dat"):
        read_kspace(tmp_path / "cut.dat")


def test_twix_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.dat").write_bytes(bytes(100))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'cidesign\[mri\]'"):
        read_kspace(tmp_path / "some.dat")
