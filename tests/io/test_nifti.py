"""NIfTI: slices in the stated orientation however they are stored, every type of numbers, damage one line of error."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from cidesign.errors import FileError
from cidesign.io import nifti
from cidesign.io.nifti import read_nifti
from cidesign.io.nifti_child import answer
from cidesign.modalities.mri.data.image_files import read_volume

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "mri"
CODES = {"i1": 256, "u1": 2, "i2": 4, "u2": 512, "i4": 8, "u4": 768, "i8": 1024, "u8": 1280, "f4": 16, "f8": 64,
         "c8": 32, "c16": 1792}  # fmt: skip
# (x, y, z), no symmetry: to the right, front and head.
VOLUME = 1 + np.arange(5 * 7 * 6, dtype=np.int16).reshape(5, 7, 6)


def nifti_bytes(
    values: np.ndarray, version: int = 1, order: str = "<", slope: float = 0.0, intercept: float = 0.0
) -> bytes:
    """A NIfTI file without affine of an array (x, y, z, ...), written from the definition of the header."""
    code = CODES[values.dtype.newbyteorder("=").str[1:]]
    dims = (values.ndim, *values.shape, *[1] * (7 - values.ndim))
    bits = 8 * values.dtype.itemsize
    if version == 1:
        head = bytearray(348)
        struct.pack_into(order + "i", head, 0, 348)
        struct.pack_into(order + "8h", head, 40, *dims)
        struct.pack_into(order + "2h", head, 70, code, bits)
        struct.pack_into(order + "3f", head, 108, 352, slope, intercept)
        head[344:348] = b"n+1\0"
    else:
        head = bytearray(540)
        struct.pack_into(order + "i", head, 0, 540)
        head[4:12] = b"n+2\0\r\n\x1a\n"
        struct.pack_into(order + "2h", head, 12, code, bits)
        struct.pack_into(order + "8q", head, 16, *dims)
        struct.pack_into(order + "q", head, 168, 544)
        struct.pack_into(order + "2d", head, 176, slope, intercept)
    return bytes(head) + bytes(4) + values.astype(values.dtype.newbyteorder(order)).tobytes(order="F")


def _answer(path: Path) -> np.ndarray:
    """What the child answers, here."""
    found: np.ndarray = answer({"path": str(path), "max_bytes": 10**6})[1]["slices"]
    return found


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", sorted(CODES))
def test_every_type_as_stored_where_there_is_no_affine(tmp_path: Path, kind: str, version: int, order: str) -> None:
    values = (VOLUME % 120).astype(kind)
    (tmp_path / "x.nii").write_bytes(nifti_bytes(values, version, order))
    found = _answer(tmp_path / "x.nii")
    np.testing.assert_array_equal(found, values.transpose(2, 1, 0))
    assert found.dtype.newbyteorder("=") == np.dtype(kind)


def _stored_as(axes: str, voxel_mm: tuple[float, float, float], oblique_deg: float = 0.0) -> nibabel.Nifti1Image:
    """`VOLUME` with voxels of `voxel_mm` (right, front, head), stored along `axes` ("LPS", "PIR" ...)."""
    angle = np.deg2rad(oblique_deg)
    affine = np.diag([*voxel_mm, 1.0])
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]] @ affine[:2, :2]
    turns = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes))
    image = nibabel.Nifti1Image(VOLUME, affine)
    turned = image.as_reoriented(turns)
    np.testing.assert_allclose(turned.affine, affine @ inv_ornt_aff(turns, VOLUME.shape))
    assert "".join(nibabel.aff2axcodes(turned.affine)) == axes
    return turned


@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPS", "PIR", "ASL", "SRP"])
def test_one_orientation_however_it_is_stored(tmp_path: Path, axes: str) -> None:
    axial = VOLUME.transpose(2, 1, 0)[:, ::-1, ::-1]  # feet to head; the front up, the patient's right on the left
    coronal = VOLUME.transpose(1, 2, 0)[:, ::-1, ::-1]  # back to front; the head up, the patient's right on the left
    sagittal = VOLUME.transpose(0, 2, 1)[:, ::-1, ::-1]  # left to right; the head up, the front on the left
    for voxel_mm, expected in (
        ((1.0, 1.0, 1.2), axial),
        ((1.2, 1.0, 1.0), axial),
        ((0.9, 0.9, 5.0), axial),
        ((1.0, 4.0, 1.0), coronal),
        ((3.0, 1.0, 0.9), sagittal),
    ):
        _stored_as(axes, voxel_mm, oblique_deg=20).to_filename(tmp_path / "x.nii")
        np.testing.assert_array_equal(_answer(tmp_path / "x.nii"), expected)


def test_plane_scaling_compression_and_volumes(tmp_path: Path) -> None:
    both = np.stack([VOLUME, 0 * VOLUME], axis=3)
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(nifti_bytes(both, slope=0.5, intercept=3)))
    found = read_nifti(tmp_path / "x.nii.gz")
    assert (found.plane, found.volumes) == (None, 2)
    np.testing.assert_array_equal(found.slices, 0.5 * VOLUME.transpose(2, 1, 0) + 3)
    assert read_volume(tmp_path / "x.nii.gz").notes == (
        "x.nii.gz: the first of 2 volumes is read, the others show the same slices",
        "x.nii.gz: it does not say how it lies in the body; its slices are read as they are stored",
    )
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        kind(VOLUME.astype(np.float32), np.eye(4)).to_filename(tmp_path / "y.nii.gz")
        found = read_nifti(tmp_path / "y.nii.gz")
        assert (found.plane, found.volumes) == ("axial", 1)
        assert not read_volume(tmp_path / "y.nii.gz").notes
    nibabel.Nifti1Image(VOLUME[:, :, 0], np.eye(4)).to_filename(tmp_path / "one.nii")
    np.testing.assert_array_equal(
        read_nifti(tmp_path / "one.nii").slices, VOLUME[None, ::-1, ::-1, 0].transpose(0, 2, 1)
    )


def _change(at: int, form: str, *values: float) -> Callable[[bytearray], bytes]:
    def change(content: bytearray) -> bytes:
        struct.pack_into(form, content, at, *values)
        return bytes(content)

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:2], "neither 348 nor 540"),
        (lambda content: content[:100], "not a sound NIfTI file .*; 100 bytes were found"),
        (lambda content: content[:350], "not a sound NIfTI file"),
        (lambda content: content[:-7], "not a sound NIfTI file"),
        (_change(0, "<i", 349), "neither 348 nor 540"),
        (_change(344, "4s", b"ni1\0"), "pairs are not read"),
        (_change(40, "<8h", 3, 5, -7, 6, 1, 1, 1, 1), "cannot be"),
        (_change(40, "<8h", 9, 5, 7, 6, 1, 1, 1, 1), "cannot be"),
        (_change(40, "<8h", 7, *[32767] * 7), "declares .* bytes; at most"),
        (_change(70, "<2h", 128, 24), "values of type .* are not read"),
        (_change(70, "<2h", 4, 32), "says 32 bits per value"),
        (_change(70, "<2h", 9999, 16), "not a sound NIfTI file"),
        (_change(108, "<f", 1e30), "not a sound NIfTI file"),
        (_change(108, "<f", float("nan")), "not a sound NIfTI file"),
        (_change(112, "<2f", 1.0, float("inf")), "not a sound NIfTI file"),
        (_change(112, "<2f", 3e38, 0.0), "not finite numbers"),
        (_change(252, "<h", 1), None),
        (_change(280, "<12f", *[float("nan")] * 12), None),
    ],
)
def test_damage(tmp_path: Path, damage: Callable[[bytearray], bytes], message: str | None) -> None:
    (tmp_path / "x.nii").write_bytes(damage(bytearray(nifti_bytes(VOLUME))))
    if message is None:
        assert read_volume(tmp_path / "x.nii").slices.shape[0] in (5, 6)
        return
    with pytest.raises(FileError, match=message):
        read_volume(tmp_path / "x.nii")


def test_a_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "MAX_ARRAY_BYTES", 1_000_000)
    small = nifti_bytes(VOLUME)
    (tmp_path / "long.nii.gz").write_bytes(gzip.compress(small + bytes(50_000_000)))
    assert read_nifti(tmp_path / "long.nii.gz").slices.shape == (6, 7, 5)  # the tail is never inflated
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(nifti_bytes(np.zeros((200, 200, 200), dtype=np.uint8))))
    with pytest.raises(FileError, match="declares 8000000 bytes; at most 1000000"):
        read_nifti(tmp_path / "x.nii.gz")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared slices are not here")
def test_real_heads_face_up() -> None:
    """A template stored to the right, front and head: flipped as the view asks, and nothing else."""
    found = read_nifti(SHARED / "chris_t1.nii.gz")
    assert (found.plane, found.slices.shape) == ("axial", (190, 256, 188))
    stored = np.asarray(nibabel.load(SHARED / "chris_t1.nii.gz").dataobj)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found.slices, stored.transpose(2, 1, 0)[:, ::-1, ::-1])
