"""Every header field of a readout that changes what a sample means: honoured, or refused by its name."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from raw_files import COILS, LINES, RECORDED, SAMPLES, Complex, encoding, header, kspace, plain, readout, scan, write

from cidesign.calibration.mri.kspace import centred_fft, centred_ifft
from cidesign.calibration.mri.raw import files as kspace_files
from cidesign.calibration.mri.raw.child import answer, by_number
from cidesign.calibration.mri.raw.flags import ISMRMRD_FLAGS, SIEMENS_FLAGS
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.errors import FileError, InputError
from cidesign.io.child import Refused


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader without its process, which takes a second to start; `test_kspace_readers` tries it with."""

    def asked(path: Path, reader: str, request: dict[str, Any], *_: Any) -> Any:
        try:
            return answer({**request, "path": str(path)})
        except Refused as error:
            raise FileError(f"{path}: {error}") from error

    monkeypatch.setattr(kspace_files, "ask", asked)


@pytest.fixture
def mrd(tmp_path: Path) -> Callable[..., Path]:
    """A file of one group from acquisitions and encodings."""

    def made(acquisitions: list[tuple[Any, Complex]], *encodings: str) -> Path:
        return write(tmp_path / "raw.h5", {"dataset": (acquisitions, header(*encodings))})

    return made


def test_a_plain_file_raises_no_remark(mrd: Callable[..., Path]) -> None:
    raw = read_kspace(mrd(scan()))
    np.testing.assert_allclose(raw.k, plain(kspace()), atol=2e-6)
    assert raw.notes == ("readout oversampling of 2 removed",)


class TestMeasurements:
    """Several measurements in one file."""

    def file(self, tmp_path: Path, names: list[str], noise: tuple[str, ...] = ()) -> Path:
        groups = {}
        for seed, name in enumerate(names):
            acquisitions = scan(kspace(seed))
            if name in noise:
                acquisitions = [readout(0, np.ones((COILS, RECORDED), np.complex64), (19,))]
            more = f"<measurementInformation><protocolName>scan_{seed}</protocolName></measurementInformation>"
            groups[name] = (acquisitions, header(more=more))
        return write(tmp_path / "raw.h5", groups)

    def test_are_listed_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        path = self.file(tmp_path, [f"dataset_{number}" for number in (1, 11, 2)])
        with pytest.raises(InputError) as told:
            read_kspace(path)
        text = str(told.value)
        assert "holds 3 measurements" in text
        assert "choose one with --set measurement=NAME" in text
        assert re.findall(r"dataset_(\d+) \(protocol scan_(\d)", text) == [("1", "0"), ("2", "2"), ("11", "1")]
        assert "8 imaging readouts of lines 0 to 7, 64 samples, 2 coils" in text

    def test_one_is_chosen_and_the_others_are_told(self, tmp_path: Path) -> None:
        path = self.file(tmp_path, ["dataset_1", "nested/dataset_2"])
        first, second = (read_kspace(path, measurement=name) for name in ("dataset_1", "nested/dataset_2"))
        np.testing.assert_allclose(first.k, plain(kspace(0)), atol=2e-6)
        np.testing.assert_allclose(second.k, plain(kspace(1)), atol=2e-6)
        # A calibration of one is not taken for a calibration of the other.
        assert first.digest != second.digest
        assert second.notes[0].startswith("measurement nested/dataset_2 (protocol scan_1")
        assert "left out: dataset_1 (protocol scan_0" in second.notes[0]
        with pytest.raises(InputError, match="dataset_3 is none of them with an image; choose another"):
            read_kspace(path, measurement="dataset_3")

    def test_noise_alone_leaves_one_image(self, tmp_path: Path) -> None:
        path = self.file(tmp_path, ["dataset_1", "dataset_2"], noise=("dataset_1",))
        raw = read_kspace(path)
        np.testing.assert_allclose(raw.k, plain(kspace(1)), atol=2e-6)
        assert "left out: dataset_1 (protocol scan_0, no imaging readouts (noise or adjustment alone))" in raw.notes[0]

    def test_an_array_beside_acquisitions_is_one_more(self, tmp_path: Path) -> None:
        path = self.file(tmp_path, ["dataset"])
        with h5py.File(path, "a") as stored:
            stored["kspace"] = plain(kspace(3)).transpose(0, 2, 1)[None]
        with pytest.raises(InputError, match=r"2 measurements: dataset .*; kspace \(an array of 1 x 2 x 32 x 8\)"):
            read_kspace(path)
        np.testing.assert_array_equal(read_kspace(path, measurement="kspace").k, plain(kspace(3)))
        np.testing.assert_allclose(read_kspace(path, measurement="dataset").k, plain(kspace(0)), atol=2e-6)

    def test_only_files_that_can_hold_several_take_the_setting(self, tmp_path: Path) -> None:
        np.save(tmp_path / "raw.npy", kspace())
        for options in ({"measurement": "dataset_1"}, {"encoding": 1}):
            with pytest.raises(InputError, match=rf"--set {next(iter(options))}: only ISMRMRD .* leave it out"):
                read_kspace(tmp_path / "raw.npy", **options)

    def test_names_are_sorted_by_their_numbers(self) -> None:
        names = ["dataset_11", "dataset_2", "a/3", "a/10", "/", "dataset"]
        assert sorted(names, key=by_number) == ["/", "a/3", "a/10", "dataset", "dataset_2", "dataset_11"]


class TestDiscards:
    """Samples that the header says to discard."""

    @pytest.mark.parametrize(("pre", "post"), [(8, 0), (0, 5), (3, 8)])
    def test_are_0_where_the_readout_fills_the_matrix(self, mrd: Callable[..., Path], pre: int, post: int) -> None:
        k = kspace()
        spoilt = k.copy()
        spoilt[..., :pre] = 1e3
        spoilt[..., RECORDED - post :] = 1e3
        k[..., :pre] = 0
        k[..., RECORDED - post :] = 0
        raw = read_kspace(mrd(scan(spoilt, discard_pre=pre, discard_post=post)))
        np.testing.assert_allclose(raw.k, plain(k), atol=2e-6)
        assert raw.notes[0] == (
            f"{pre} samples before and {post} after the signal of a readout set to 0, as its header says "
            "(AcquisitionHeader.discard_pre, discard_post)"
        )
        # The garbage is not taken for clipped samples either.
        assert raw.at_limit == 1

    def test_are_cut_off_where_they_come_on_top(self, mrd: Callable[..., Path]) -> None:
        longer = np.full((COILS, LINES, RECORDED + 10), 1e3, dtype=np.complex64)
        longer[..., 6 : 6 + RECORDED] = kspace()
        raw = read_kspace(mrd(scan(longer, discard_pre=6, discard_post=4, center_sample=6 + SAMPLES)))
        np.testing.assert_allclose(raw.k, plain(kspace()), atol=2e-6)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"discard_pre": 9}, r"9 of 64 samples at one end .*discard_post\); at most 8 .* partial echoes"),
            ({"discard_pre": 40, "discard_post": 24}, "40 and 24 of 64 samples are to be discarded .* leaves none"),
        ],
    )  # fmt: skip
    def test_that_leave_a_partial_echo_are_refused(
        self, mrd: Callable[..., Path], changes: dict[str, int], message: str
    ) -> None:
        with pytest.raises(FileError, match=message):
            read_kspace(mrd(scan(**changes)))

    def test_of_readouts_of_another_length_are_refused(self, mrd: Callable[..., Path]) -> None:
        longer = np.ones((COILS, LINES, RECORDED + 10), dtype=np.complex64)
        with pytest.raises(FileError, match=r"readouts of 74 samples .*, 70 without those of .*the header says 64"):
            read_kspace(mrd(scan(longer, discard_pre=4, center_sample=37)))

    def test_of_the_noise_scan_are_left_out(self, mrd: Callable[..., Path]) -> None:
        noise = np.ones((COILS, 20), dtype=np.complex64)
        noise[:, :4] = 1e3
        raw = read_kspace(mrd([readout(0, noise, (19,), discard_pre=4, discard_post=1), *scan()]))
        assert raw.noise is not None
        np.testing.assert_array_equal(raw.noise, np.ones((COILS, 15), np.complex64))


class TestEncodings:
    """Acquisitions of several encodings."""

    def file(self, mrd: Callable[..., Path], image: int, low: int = 4) -> Path:
        small = 9 * kspace(7)[:, :low]
        extra = [readout(line, small[:, line], encoding_space_ref=1 - image) for line in range(low)]
        encodings = [encoding(), encoding(low)]
        return mrd([*extra, *scan(encoding_space_ref=image)], *(encodings if image == 0 else encodings[::-1]))

    @pytest.mark.parametrize("image", [0, 1])
    def test_the_image_is_the_larger_matrix(self, mrd: Callable[..., Path], image: int) -> None:
        raw = read_kspace(self.file(mrd, image))
        np.testing.assert_allclose(raw.k, plain(kspace()), atol=2e-6)
        assert raw.matrix_lines == LINES
        (note,) = [note for note in raw.notes if "encoding_space_ref" in note]
        assert f"{image} (8 x 32, 8 readouts)" in note
        assert f"{image} is read (the largest matrix)" in note

    def test_another_is_chosen(self, mrd: Callable[..., Path]) -> None:
        raw = read_kspace(self.file(mrd, 0), encoding=1)
        assert raw.k.shape == (COILS, 4, SAMPLES)
        np.testing.assert_allclose(raw.k, plain(9 * kspace(7)[:, :4]), atol=2e-5)
        assert raw.digest != read_kspace(self.file(mrd, 0), encoding=0).digest
        with pytest.raises(InputError, match=r"--set encoding=2: .* holds acquisitions of encodings 0, 1"):
            read_kspace(self.file(mrd, 0), encoding=2)

    def test_equal_ones_have_to_be_chosen_from(self, mrd: Callable[..., Path]) -> None:
        with pytest.raises(InputError, match=r"of 2 encodings \(encoding_space_ref\): .* --set encoding=N"):
            read_kspace(self.file(mrd, 0, low=LINES))

    def test_one_that_the_header_lacks(self, mrd: Callable[..., Path]) -> None:
        with pytest.raises(
            FileError, match=r"encoding 1 \(AcquisitionHeader.encoding_space_ref\), the header describes 1"
        ):
            read_kspace(mrd(scan(encoding_space_ref=1)))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"trajectory": "radial"}, r"its trajectory is radial \(encoding.trajectory\)"),
            ({"trajectory": "spiral"}, "its trajectory is spiral"),
            ({"more": "<parallelImaging><multiband><multiband_factor>2</multiband_factor></multiband>"
                      "</parallelImaging>"}, "2 slices were excited at once"),
            ({"limits": "<kspace_encoding_step_2><minimum>0</minimum><maximum>7</maximum><center>4</center>"
                        "</kspace_encoding_step_2>"}, "partitions 0 to 7 .* are a 3-D scan"),
        ],
    )  # fmt: skip
    def test_that_are_no_lines_of_one_slice(
        self, mrd: Callable[..., Path], changes: dict[str, str], message: str
    ) -> None:
        with pytest.raises(FileError, match=message):
            read_kspace(mrd(scan(), encoding(**changes)))

    def test_without_a_trajectory_are_remarked(self, mrd: Callable[..., Path]) -> None:
        assert "names no trajectory" in read_kspace(mrd(scan(), encoding(trajectory=""))).notes[0]


ONE_LATER: dict[str, Any] = {
    "measurement_uid": 7, "sample_time_us": 4.0, "channel_mask": [3] + 15 * [0], "position": [0, 0, 2.0],
    "read_dir": [0, 1, 0], "phase_dir": [1, 0, 0], "slice_dir": [0, 0, 1], "patient_table_position": [0, 0, 5.0],
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_LATER)
def test_readouts_of_one_image_are_taken_alike(mrd: Callable[..., Path], name: str) -> None:
    acquisitions = scan()
    acquisitions[5][0][name] = ONE_LATER[name]
    with pytest.raises(FileError, match=name):
        read_kspace(mrd(acquisitions))
    # What is the same for all is of no matter, and nor is what differs from slice to slice.
    read_kspace(mrd(scan(**{name: ONE_LATER[name]})))
    several = [*scan(), *scan(slice=1, **{name: ONE_LATER[name]})]
    np.testing.assert_allclose(read_kspace(mrd(several), 1).k, plain(kspace()), atol=2e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trajectory_dimensions": 2}, "holds 0 numbers of a trajectory, its header says 128"),
        ({"flags": (53,)}, r"flagged COMPRESSION1 \(compressed samples\) \(AcquisitionHeader.flags\)"),
        ({"flags": (56,)}, "flagged COMPRESSION4"),
        ({"version": 2}, r"version 2 \(AcquisitionHeader.version\)"),
        ({"center_sample": 20}, "the echo lies on sample 20 of 64"),
    ],
)
def test_fields_that_are_refused(mrd: Callable[..., Path], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FileError, match=message):
        read_kspace(mrd(scan(**changes)))


@pytest.mark.parametrize("flag", [23, 24, 26, 27, 28, 29, 30, 31, 20])
def test_readouts_that_are_no_image_are_left_out(mrd: Callable[..., Path], flag: int) -> None:
    other = readout(3, np.full((COILS, RECORDED), 99, np.complex64), (flag,), sample_time_us=1.0)
    raw = read_kspace(mrd([*scan(), other]))
    np.testing.assert_allclose(raw.k, plain(kspace()), atol=2e-6)
    said = raw.notes[0]
    assert said.startswith("1 readouts that are no image (navigators ...) left out")
    assert ("calibration lines" in said) == (flag == 20)


def test_an_echo_planar_file_is_put_right_by_its_own_readouts(mrd: Callable[..., Path]) -> None:
    """Two slices, each with its own delay between the directions."""
    k = kspace()
    places = np.arange(RECORDED) - RECORDED // 2

    def turned(row: Complex, delay: float) -> Complex:
        ramp = np.exp(1j * (0.6 + 2 * np.pi * delay * places / RECORDED)).astype(np.complex64)
        return centred_fft(centred_ifft(row, (-1,)) * ramp, (-1,))[:, ::-1]

    acquisitions = []
    for number, delay in enumerate((0.3, -0.8)):
        middle = k[:, LINES // 2]
        rows: list[tuple[int, Complex, tuple[int, ...]]] = [
            (0, middle, (24,)), (0, turned(middle, delay), (24, 22)), (0, middle, (24,)),
        ]  # fmt: skip
        for line in range(LINES):
            rows.append((line, turned(k[:, line], delay), (22,)) if line % 2 else (line, k[:, line], ()))
        acquisitions += [
            readout(line, row, flags, slice=number, scan_counter=20 * number + count + 1)
            for count, (line, row, flags) in enumerate(rows)
        ]
    for number, said in enumerate(("+0.300 samples and +34.38 degrees", "-0.800 samples and +34.38 degrees")):
        raw = read_kspace(mrd(acquisitions, encoding(trajectory="epi")), number)
        np.testing.assert_allclose(raw.k, plain(k), atol=1e-4)
        assert said in " ".join(raw.notes)


class TestCalibrationLines:
    """Those of parallel imaging: lines of the image too where the header says so."""

    EMBEDDED = (
        "<parallelImaging><accelerationFactor><kspace_encoding_step_1>2</kspace_encoding_step_1>"
        "</accelerationFactor><calibrationMode>{mode}</calibrationMode></parallelImaging>"
    )

    def lines(self, k: Complex) -> list[tuple[Any, Complex]]:
        """Every second line, and 3 and 5, which are for calibration alone; 4 is both."""
        kinds: dict[int, tuple[int, ...]] = {4: (21,), 3: (20,), 5: (20,)}
        return [readout(line, k[:, line], kinds.get(line, ())) for line in (0, 2, 3, 4, 5, 6)]

    @pytest.mark.parametrize(("mode", "wanted"), [("embedded", [0, 2, 3, 4, 5, 6]), ("separate", [0, 2, 4, 6])])
    def test_are_lines_of_the_image_where_they_are_embedded(
        self, mrd: Callable[..., Path], mode: str, wanted: list[int]
    ) -> None:
        k = kspace()
        raw = read_kspace(mrd(self.lines(k), encoding(more=self.EMBEDDED.format(mode=mode))))
        assert raw.lines.tolist() == wanted
        np.testing.assert_allclose(raw.k, plain(k)[:, wanted], atol=2e-6)
        assert (
            "2 calibration lines are lines of the image as well (parallelImaging.calibrationMode)" in raw.notes
        ) == (mode == "embedded")

    def test_a_line_that_the_image_has_measured_is_not_taken_twice(self, mrd: Callable[..., Path]) -> None:
        k = kspace()
        again = readout(2, np.full((COILS, RECORDED), 9, np.complex64), (20,))
        raw = read_kspace(mrd([*self.lines(k), again], encoding(more=self.EMBEDDED.format(mode="embedded"))))
        np.testing.assert_allclose(raw.k, plain(k)[:, [0, 2, 3, 4, 5, 6]], atol=2e-6)


def test_flags_of_the_site_are_remarked(mrd: Callable[..., Path]) -> None:
    raw = read_kspace(mrd(scan(flags=(7, 21, 25, 40, 58))))
    assert raw.notes[0] == (
        "flags whose meaning is the site's are ignored: bit 39 (no meaning known), USER2 (AcquisitionHeader.flags)"
    )


def test_noise_of_other_coils_or_of_two_bandwidths(mrd: Callable[..., Path]) -> None:
    noise = np.ones((COILS, 20), dtype=np.complex64)
    with pytest.raises(FileError, match="the noise scan is of other coils than the image"):
        read_kspace(mrd([readout(0, noise, (19,), channel_mask=12), *scan(channel_mask=3)]))
    both = [readout(0, noise, (19,), sample_time_us=dwell) for dwell in (5.0, 10.0)]
    with pytest.raises(FileError, match=r"noise scans of 2 bandwidths \(AcquisitionHeader.sample_time_us\)"):
        read_kspace(mrd([*both, *scan()]))


def test_the_scan_counter_is_the_order_of_time(mrd: Callable[..., Path]) -> None:
    acquisitions = scan()
    assert read_kspace(mrd(acquisitions)).order is not None
    np.testing.assert_array_equal(read_kspace(mrd(acquisitions[::-1])).order, np.arange(LINES))
    # Without one it is that of the file.
    for head, _ in acquisitions:
        head["scan_counter"] = 0
    np.testing.assert_array_equal(read_kspace(mrd(acquisitions[::-1])).order, np.arange(LINES)[::-1])


def test_fields_without_a_meaning_for_samples_change_nothing(mrd: Callable[..., Path]) -> None:
    changes = {
        "acquisition_time_stamp": 9, "physiology_time_stamp": [1, 2, 3], "available_channels": 64, "segment": 3,
        "user": np.arange(8), "user_int": np.arange(8), "user_float": np.arange(8),
    }  # fmt: skip
    raw = read_kspace(mrd(scan(**changes)))
    np.testing.assert_allclose(raw.k, plain(kspace()), atol=2e-6)
    assert raw.notes == ("readout oversampling of 2 removed",)


def test_every_bit_of_both_formats_is_of_one_kind() -> None:
    for table in (ISMRMRD_FLAGS, SIEMENS_FLAGS):
        single = [table.noise, table.reverse, table.calibration, table.calibration_and_imaging]
        bits = [*single, *table.skip, *table.refused, *table.remarked, *table.harmless]
        assert len(bits) == len(set(bits))
        assert set(bits) <= set(range(64))
