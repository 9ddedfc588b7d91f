"""MR files: slices as written, k-space transformed as the encoder does, undersampled data refused, damage an error."""

from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError
from cidesign.modalities.mri.data.image_files import read_volume

SHARED = Path(__file__).parents[4].parent / "shared" / "data" / "mri"
RNG = np.random.default_rng(0)
# (M, H, W) with no symmetry, a body in dark air.
SLICES = np.zeros((3, 24, 20), dtype=np.complex64)
SLICES[:, 4:17, 3:15] = 1 + np.add.outer(np.arange(3.0), np.add.outer(np.arange(13.0), 2 * np.arange(12.0)))[:, :, :]
PHASED = (SLICES * np.exp(0.1j * np.arange(20))).astype(np.complex64)


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


@settings(max_examples=125, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_an_error_or_slices(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["x.npy", "x.npz"]))
    _read_mutated(tmp_path_factory.mktemp("fuzz") / name, data)


@settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_hdf5_and_nifti_are_an_error_or_slices(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["x.h5", "x.nii", "x.nii.gz"]))
    _read_mutated(tmp_path_factory.mktemp("fuzz") / name, data)


def _read_mutated(path: Path, data: st.DataObject) -> None:
    if path.suffix == ".h5":
        _write_hdf5(path)
    elif path.suffix == ".npy":
        np.save(path, PHASED)
    elif path.suffix == ".npz":
        np.savez_compressed(path, kspace=_kspace(PHASED))
    else:
        nibabel.Nifti1Image(SLICES.real.transpose(2, 1, 0), np.eye(4)).to_filename(path)
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
def test_real_undersampled_kspace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no fully sampled reference"):
        read_volume(SHARED / "cartesian_ksp.npy")
    np.savez(tmp_path / "x.npz", kspace=np.load(SHARED / "cartesian_ksp.npy")[None])
    with pytest.raises(FileError, match=r"undersampled \(\d\d% of its samples.*no fully sampled reference"):
        read_volume(tmp_path / "x.npz")
