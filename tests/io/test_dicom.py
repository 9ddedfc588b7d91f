"""DICOM files: what is stored, what it means, and what is refused by name."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.data.folders import read_folder
from cidesign.data.picture_files import find_images
from cidesign.errors import FileError
from cidesign.io.dicom import is_dicom, read_dicom
from cidesign.modalities.mri.data.image_files import read_volume
from cidesign.modalities.mri.data.images import PHASE_NOTE, read_slices

pytest.importorskip("pydicom")

VALUES = np.add.outer(40 * np.arange(16), 3 * np.arange(12)).astype(np.uint16)


def _write(path: Path, pixels: np.ndarray = VALUES, **changes: Any) -> None:
    """A secondary capture or MR file, uncompressed; `changes` are elements by keyword, None removes one."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
    data.Modality, data.SeriesInstanceUID = "MR", "1.2.3.4"
    data.Rows, data.Columns = pixels.shape[:2] if colour or pixels.ndim == 2 else pixels.shape[1:]
    if pixels.ndim == 3 and not colour:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)


def test_what_is_stored_and_what_it_means(tmp_path: Path) -> None:
    _write(tmp_path / "a.dcm", RescaleSlope="2.5", RescaleIntercept="-10", InstanceNumber="7")
    found = read_dicom(tmp_path / "a.dcm")
    np.testing.assert_array_equal(found.stored, VALUES[None])
    assert (found.slope.tolist(), found.intercept.tolist(), found.position_mm.tolist()) == ([2.5], [-10.0], [7.0])
    assert (found.modality, found.part, found.series, found.inverted) == ("MR", "", "1.2.3.4", False)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm").slices[0], np.float32(2.5) * VALUES - 10)


@pytest.mark.parametrize(("kind", "bits"), [("u2", 12), ("u1", 8), ("i2", 16), ("i2", 12)])
def test_monochrome1_is_inverted(tmp_path: Path, kind: str, bits: int) -> None:
    pixels = (VALUES // 4).astype(kind)
    _write(tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1", BitsStored=bits, HighBit=bits - 1)
    found = read_dicom(tmp_path / "a.dcm")
    assert found.inverted
    largest = 2**bits - 1 if kind[0] == "u" else -1
    np.testing.assert_array_equal(found.stored[0].astype(int), largest - pixels.astype(int))


def test_bits_above_the_stored_ones_are_no_signal(tmp_path: Path) -> None:
    _write(tmp_path / "a.dcm", VALUES | 0x8000, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read_dicom(tmp_path / "a.dcm").stored[0], VALUES)
    signed = (VALUES.astype(np.int16) - 300) & 0x0FFF
    _write(tmp_path / "b.dcm", signed, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read_dicom(tmp_path / "b.dcm").stored[0], VALUES.astype(np.int16) - 300)


def test_frames_with_scales_and_places_of_their_own(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    def group(number: int) -> Dataset:
        values, place, whole = Dataset(), Dataset(), Dataset()
        values.RescaleSlope, values.RescaleIntercept = 1 + number, 0
        place.ImagePositionPatient = [0, 0, -5.0 * number]
        whole.PixelValueTransformationSequence, whole.PlanePositionSequence = [values], [place]
        return whole

    shared, plane = Dataset(), Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PlaneOrientationSequence = [plane]
    _write(
        tmp_path / "a.dcm",
        np.stack([VALUES, VALUES, VALUES]),
        PerFrameFunctionalGroupsSequence=[group(number) for number in range(3)],
        SharedFunctionalGroupsSequence=[shared],
    )
    found = read_dicom(tmp_path / "a.dcm")
    assert (found.slope.tolist(), found.position_mm.tolist()) == ([1, 2, 3], [0, -5, -10])
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm").slices, np.stack([VALUES, 2 * VALUES, 3 * VALUES]))


def test_colour_is_grey_for_pictures_and_no_slice(tmp_path: Path) -> None:
    colours = np.stack([np.full((16, 12), 200), np.arange(192).reshape(16, 12), np.zeros((16, 12))], -1).astype(
        np.uint8
    )
    _write(tmp_path / "a.dcm", colours)
    _write(tmp_path / "b.dcm", colours[::-1].copy(), SeriesInstanceUID="1.9")
    assert read_folder(tmp_path, 8, 4, 2, 1).pictures == 2
    with pytest.raises(FileError, match="in colour"):
        read_volume(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"PixelData": VALUES.tobytes()[:-20]}, "384 bytes, but holds 364 of pixels; it is cut off"),
        ({"Rows": 60000, "Columns": 60000}, "at most 2000000000 bytes are read"),
        ({"Rows": None}, "its header has no Rows"),
        ({"PixelData": None}, "holds no picture (MR Image Storage)"),
        ({"BitsStored": 17}, "declares 17 stored bits of 16"),
        ({"PhotometricInterpretation": "HSV"}, "pictures of HSV are not read"),
        ({"RescaleSlope": "0"}, "its rescale slope is 0"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_what_is_not_whole_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    _write(tmp_path / "a.dcm", **changes)
    with pytest.raises(FileError, match=re.escape(said)):
        read_dicom(tmp_path / "a.dcm")


def test_other_modalities_and_phase_images_are_no_slices(tmp_path: Path) -> None:
    _write(tmp_path / "a.dcm", Modality="CT")
    with pytest.raises(FileError, match="its modality is CT; slices of MR are needed"):
        read_volume(tmp_path / "a.dcm")
    _write(tmp_path / "b.dcm", ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])
    with pytest.raises(FileError, match="holds phase images"):
        read_volume(tmp_path / "b.dcm")
    _write(tmp_path / "c.dcm", ImageType=["ORIGINAL", "PRIMARY", "M", "ND"])
    assert read_volume(tmp_path / "c.dcm").slices.shape == (1, 16, 12)


def test_files_without_a_suffix_and_other_files(tmp_path: Path) -> None:
    for name in ("IM0001", "1.2.840.113.5"):
        _write(tmp_path / name)
        assert is_dicom(tmp_path / name)
    (tmp_path / "notes").write_text("none")
    assert [entry.name for entry in find_images(tmp_path)[0]] == ["1.2.840.113.5", "IM0001"]
    (tmp_path / "x.dcm").write_bytes(b"rubbish" * 100)
    with pytest.raises(FileError, match=r"x\.dcm: not a DICOM file, whatever its name says"):
        read_dicom(tmp_path / "x.dcm")
    with pytest.raises(FileError, match="cannot be read"):
        read_dicom(tmp_path / "absent.dcm")


def test_a_series_is_one_scene_in_the_order_of_its_slices(tmp_path: Path) -> None:
    body = np.zeros((16, 16), np.uint16)
    body[4:12, 4:12] = 100 + np.arange(64).reshape(8, 8)
    for number in range(12):
        place = {"ImagePositionPatient": [0, 0, 3.0 * number], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        image = body.copy()
        image[8, 8] = 200 + 50 * number
        _write(tmp_path / f"{(7 * number) % 12:02d}.dcm", image, **place)
    found = read_slices(tmp_path, 16, 9, 1, 1)
    assert found.pictures == 12
    assert PHASE_NOTE in found.notes
    # One in the middle is kept, and one on either side of it is not trained on.
    assert "a single file: slices 5 to 5 of those with signal are kept for validation" in found.notes
    kept = np.hypot(*found.validation[0].astype(np.float64))
    wanted = body / 450
    wanted[8, 8] = 1.0  # 200 + 50 * 5
    np.testing.assert_allclose(kept, wanted, atol=2e-3)
    pictures = read_folder(tmp_path, 16, 9, 3, 1)
    assert any("a single series: its files from" in note for note in pictures.notes)


def test_compressed_pixels(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    def stored(name: str) -> Path:
        return Path(str(get_testdata_file(name, download=False)))

    plain, packed = read_dicom(stored("MR_small.dcm")), read_dicom(stored("MR_small_RLE.dcm"))
    np.testing.assert_array_equal(plain.stored, packed.stored)
    assert plain.stored.shape == (1, 64, 64)
    np.testing.assert_array_equal(read_dicom(stored("MR_small_bigendian.dcm")).stored, plain.stored)
    with pytest.raises(FileError, match="compressed as JPEG-LS Lossless Image Compression, which is not unpacked here"):
        read_dicom(stored("MR_small_jpeg_ls_lossless.dcm"))
    with pytest.raises(FileError, match="8192 bytes, but holds 8130 of pixels"):
        read_dicom(stored("MR_truncated.dcm"))
