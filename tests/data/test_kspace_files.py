"""MR files: slices as written, k-space transformed as the encoder does, undersampled data refused, damage an error."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError
from cidesign.io import nifti
from cidesign.io.nifti import TYPES, read_nifti
from cidesign.modalities.mri.data.image_files import read_volume

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "mri"
RNG = np.random.default_rng(0)
# (M, H, W) with no symmetry, a body in dark air.
SLICES = np.zeros((3, 24, 20), dtype=np.complex64)
SLICES[:, 4:17, 3:15] = 1 + np.add.outer(np.arange(3.0), np.add.outer(np.arange(13.0), 2 * np.arange(12.0)))[:, :, :]
PHASED = (SLICES * np.exp(0.1j * np.arange(20))).astype(np.complex64)


def nifti_bytes(
    values: np.ndarray, version: int = 1, order: str = "<", slope: float = 0.0, intercept: float = 0.0
) -> bytes:
    """A NIfTI file of an array (x, y, z, ...), written from the definition of the header."""
    code = next(code for code, kind in TYPES.items() if np.dtype(kind) == values.dtype.newbyteorder("="))
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


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", sorted(TYPES.values()))
def test_nifti_of_every_type(tmp_path: Path, kind: str, version: int, order: str) -> None:
    values = (SLICES.real.transpose(2, 1, 0)).astype(kind)
    path = tmp_path / "x.nii"
    path.write_bytes(nifti_bytes(values, version, order))
    np.testing.assert_array_equal(read_nifti(path).values, values)
    np.testing.assert_array_equal(read_volume(path).slices, SLICES if kind[0] == "c" else SLICES.real)


def test_nifti_scaling_compression_and_volumes(tmp_path: Path) -> None:
    stored = np.stack([SLICES.real.transpose(2, 1, 0), 0 * SLICES.real.transpose(2, 1, 0)], axis=3).astype(np.int16)
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(nifti_bytes(stored, slope=0.5, intercept=3)))
    found = read_volume(path)
    np.testing.assert_allclose(found.slices, 0.5 * SLICES.real + 3)
    assert found.notes == ("x.nii.gz: the first of 2 volumes is read, the others show the same slices",)


def test_nifti_as_nibabel_writes_and_reads(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        image = kind(SLICES.real.transpose(2, 1, 0), np.eye(4))
        image.to_filename(tmp_path / "x.nii.gz")
        np.testing.assert_allclose(read_nifti(tmp_path / "x.nii.gz").values, image.get_fdata())


def _change(at: int, form: str, *values: float) -> Callable[[bytearray], bytes]:
    def change(content: bytearray) -> bytes:
        struct.pack_into(form, content, at, *values)
        return bytes(content)

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:2], "2 bytes are no NIfTI"),
        (lambda content: content[:100], "cut off after 100 of 348"),
        (lambda content: content[:350], "ends before its data begin"),
        (lambda content: content[:-7], "but holds 2873 bytes"),
        (_change(0, "<i", 349), "neither 348 nor 540"),
        (_change(344, "4s", b"ni1\0"), "pairs are not read"),
        (_change(40, "<8h", 3, 20, -24, 3, 1, 1, 1, 1), "cannot be"),
        (_change(40, "<8h", 9, 20, 24, 3, 1, 1, 1, 1), "cannot be"),
        (_change(40, "<8h", 7, *[32767] * 7), "declares .* bytes; at most"),
        (_change(70, "<2h", 128, 24), "data type 128 is not read"),
        (_change(70, "<2h", 4, 32), "says 32 bits per value"),
        (_change(108, "<f", 1e30), "begin at byte 1e\\+30"),
        (_change(108, "<f", float("nan")), "begin at byte nan"),
        (_change(112, "<2f", 1.0, float("inf")), "finite number is needed"),
        (_change(112, "<2f", 3e38, 0.0), "not finite numbers"),
    ],
)
def test_nifti_damage(tmp_path: Path, damage: Callable[[bytearray], bytes], message: str) -> None:
    kind = np.int16 if "finite" not in message else np.int64
    values = SLICES.real.transpose(2, 1, 0).astype(kind)
    (tmp_path / "x.nii").write_bytes(damage(bytearray(nifti_bytes(values))))
    with pytest.raises(FileError, match=message):
        read_volume(tmp_path / "x.nii")


def test_a_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "MAX_ARRAY_BYTES", 1_000_000)
    small = nifti_bytes(SLICES.real.transpose(2, 1, 0).astype(np.uint8))
    (tmp_path / "long.nii.gz").write_bytes(gzip.compress(small + bytes(50_000_000)))
    assert read_volume(tmp_path / "long.nii.gz").slices.shape == SLICES.shape  # the tail is never inflated
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(nifti_bytes(np.zeros((200, 200, 200), dtype=np.uint8))))
    with pytest.raises(FileError, match="declares 8000000 bytes; at most 1000000"):
        read_volume(tmp_path / "x.nii.gz")


def _kspace(images: np.ndarray) -> np.ndarray:
    shifted = np.fft.ifftshift(images, axes=(-2, -1))
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(-2, -1)).astype(np.complex64)


def test_numpy_images_and_kspace(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PHASED)
    np.savez(tmp_path / "b.npz", anything=PHASED[0])
    np.savez(tmp_path / "c.npz", kspace=_kspace(PHASED))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.npy").slices, PHASED)
    np.testing.assert_array_equal(read_volume(tmp_path / "b.npz").slices, PHASED[:1])
    np.testing.assert_allclose(read_volume(tmp_path / "c.npz").slices, PHASED, atol=2e-5)


def test_fastmri_layouts(tmp_path: Path) -> None:
    coils = np.stack([PHASED * 0.6, PHASED * 0.8j], axis=1)
    padded = np.pad(PHASED, ((0, 0), (8, 8), (0, 0)))  # twice oversampled readout: the matrix is its middle
    with h5py.File(tmp_path / "multi.h5", "w") as stored:
        stored["kspace"] = _kspace(coils)
        stored["ismrmrd_header"] = b"<xml/>"
        stored["reconstruction_rss"] = abs(PHASED)
    with h5py.File(tmp_path / "single.h5", "w") as stored:
        stored["kspace"] = _kspace(padded)
        stored["reconstruction_esc"] = abs(PHASED)
    with h5py.File(tmp_path / "images.hdf5", "w") as stored:
        stored["reconstruction_rss"] = abs(PHASED)
    multi = read_volume(tmp_path / "multi.h5")
    np.testing.assert_allclose(multi.slices, abs(PHASED), atol=2e-5)
    assert multi.notes == ("2 coils are combined as root of the sum of squares, which has no phase",)
    np.testing.assert_allclose(read_volume(tmp_path / "single.h5").slices, PHASED, atol=3e-5)
    np.testing.assert_array_equal(read_volume(tmp_path / "images.hdf5").slices, abs(PHASED))


def test_undersampled_kspace_is_no_reference(tmp_path: Path) -> None:
    full = _kspace(PHASED)
    lines = full.copy()
    lines[:, :, 1::2] = 0
    points = full * (RNG.random(full.shape[1:]) < 0.9)
    partial = full.copy()
    partial[:, :, :7] = 0
    padded = np.pad(full, ((0, 0), (0, 0), (2, 2)))
    for values in (lines, points, partial):
        np.savez(tmp_path / "x.npz", kspace=values)
        with pytest.raises(FileError, match=r"undersampled.*no fully sampled reference"):
            read_volume(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", kspace=padded)
    assert read_volume(tmp_path / "x.npz").slices.shape == (3, 24, 24)
    with h5py.File(tmp_path / "x.h5", "w") as stored:
        stored["kspace"] = full
        stored["mask"] = np.arange(20) % 4 == 0
    with pytest.raises(FileError, match=r"`mask` leaves out lines.*no fully sampled reference"):
        read_volume(tmp_path / "x.h5")


def test_kspace_is_not_taken_for_images(tmp_path: Path) -> None:
    full = _kspace(np.kron(PHASED, np.ones((1, 4, 4))))
    np.save(tmp_path / "x.npy", full)
    with pytest.raises(
        FileError, match=r"looks like k-space, not like images; save it as \.npz under the name `kspace`"
    ):
        read_volume(tmp_path / "x.npy")
    full[:, :, ::2] = 0
    np.save(tmp_path / "x.npy", full)
    with pytest.raises(FileError, match=r"looks like undersampled k-space.*no fully sampled reference"):
        read_volume(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.ones((2, 5, 5)), "b": np.ones((2, 5, 5))}, r"holds a \(2, 5, 5\), b \(2, 5, 5\); give one array"),
        ({}, "holds none; give one array"),
        ({"a": np.ones(5)}, r"shape \(5,\) is not an image"),
        ({"a": np.ones((2, 3, 4, 5))}, r"shape \(2, 3, 4, 5\) is not an image"),
        ({"a": np.ones((0, 4, 5))}, "is not an image"),
        ({"a": np.array([["x", "y"], ["z", "w"]])}, "values of type <U1 are not an image"),
        ({"a": np.array([[1.0, np.nan], [2, 3]])}, "1 of 4 values are not finite"),
        ({"a": np.array([[1e300, 1], [2, 3]])}, "1 of 4 values are not finite"),
        ({"a": np.array([[-1000.0, 1], [2, 300]])}, "values go from -1000 to 300; magnitudes of MR are 0 or more"),
        ({"kspace": np.ones((5, 5))}, r"`kspace` is float64 of shape \(5, 5\); complex numbers"),
        ({"kspace": np.zeros((5, 5), dtype=np.complex64)}, "nothing but zeros"),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(FileError, match=message):
        read_volume(tmp_path / "x.npz")


def test_hdf5_without_images_names_what_there_is(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as stored:
        stored["group/other"] = np.ones((2, 3))
    with pytest.raises(FileError, match=r"neither `kspace` nor `reconstruction_rss` .* only group/other \(2, 3\)"):
        read_volume(tmp_path / "x.h5")


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.npy", "x.npz", "x.h5", "x.dat"])
def test_missing_empty_and_foreign_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match=name):
        read_volume(tmp_path / name)
    for content in (b"", b"text that is no array"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=name):
            read_volume(tmp_path / name)


def _write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as stored:
        stored["kspace"] = _kspace(PHASED[:, None])
        stored.create_dataset("reconstruction_rss", data=abs(PHASED), chunks=(1, 12, 10), compression="gzip")


def _write_nifti(path: Path) -> None:
    content = nifti_bytes(SLICES.real.transpose(2, 1, 0).astype(np.int16), slope=2)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_an_error_or_slices(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["x.nii", "x.nii.gz", "x.npy", "x.npz"]))
    _read_mutated(tmp_path_factory.mktemp("fuzz") / name, data)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_hdf5_is_an_error_or_slices(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    _read_mutated(tmp_path_factory.mktemp("fuzz") / "x.h5", data)


def _read_mutated(path: Path, data: st.DataObject) -> None:
    if path.suffix == ".h5":
        _write_hdf5(path)
    elif path.suffix == ".npy":
        np.save(path, PHASED)
    elif path.suffix == ".npz":
        np.savez_compressed(path, kspace=_kspace(PHASED))
    else:
        _write_nifti(path)
    content = bytearray(path.read_bytes())
    reach = data.draw(st.sampled_from([400, len(content)]))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(reach, len(content)) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    message = ""
    try:
        assert read_volume(path).slices.ndim == 3
    except CidesignError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared slices are not here")
def test_real_files_against_nibabel() -> None:
    nibabel = pytest.importorskip("nibabel")
    for path in sorted(SHARED.glob("*.nii.gz")):
        other = np.asarray(nibabel.load(path).dataobj)
        other = other[..., 0] if other.ndim == 4 else other
        np.testing.assert_allclose(read_volume(path).slices, other.transpose(2, 1, 0), rtol=1e-6)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared slices are not here")
def test_real_undersampled_kspace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no fully sampled reference"):
        read_volume(SHARED / "cartesian_ksp.npy")
    np.savez(tmp_path / "x.npz", kspace=np.load(SHARED / "cartesian_ksp.npy")[None])
    with pytest.raises(FileError, match=r"undersampled \(\d\d% of its samples.*no fully sampled reference"):
        read_volume(tmp_path / "x.npz")
