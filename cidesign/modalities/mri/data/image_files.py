"""The slices of one MR file: NIfTI, DICOM, NumPy images, and k-space or images of fastMRI's HDF5 layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import centred_ifft
from cidesign.errors import FileError
from cidesign.files import load_npz
from cidesign.io.arrays import float64_of
from cidesign.io.dicom import DICOM_SUFFIXES, read_dicom
from cidesign.io.hdf5 import HDF5_SUFFIXES, hdf5_datasets, read_hdf5
from cidesign.io.kinds import suffix_of
from cidesign.io.nifti import NIFTI_SUFFIXES, read_nifti
from cidesign.io.npy import read_npy
from cidesign.records import shown

SUFFIXES = (*NIFTI_SUFFIXES, ".npy", ".npz", *HDF5_SUFFIXES, *DICOM_SUFFIXES)
KSPACE = "kspace"
# Squares of transformed values still fit single precision.
LARGEST_VALUE = 1e15
# In this order: the reconstruction of all coils, and the one of a simulated single coil.
IMAGES = ("reconstruction_rss", "reconstruction_esc")
# Interpolated magnitudes go a little below 0; computed tomography and phase images go far below.
SMALLEST_VALUE = -0.1
# Exact zeros between samples, as a part of the rectangle that holds samples: a measured sample is never exactly 0.
MOST_ZEROS = 0.01
# Zeros around the samples: raw data are padded to the matrix (asymmetric echoes, elliptic corners of a scan).
MOST_PADDING = 0.3
# In k-space the centre has most of the energy: 1 % of the samples hold 69 % and more; in images of a body 27 % at most.
KSPACE_ENERGY = 0.5
NO_REFERENCE = "there is no fully sampled reference in it to train on or to compare with"


@dataclass(frozen=True)
class MriVolume:
    """Slices (M, H, W), complex64 or float32, as read, with remarks on what was decided.

    `series` names the scan that a file holds a part of ("": the file is all of it), `position_mm` (M,) the places of
    its slices.
    """

    slices: NDArray[np.complex64] | NDArray[np.float32]
    notes: tuple[str, ...]
    series: str = ""
    position_mm: tuple[float, ...] = ()


def joined(parts: list[MriVolume]) -> MriVolume:
    """The parts of one series as one volume, its slices in the order of their places."""
    order = np.argsort(np.concatenate([part.position_mm for part in parts]), kind="stable")
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return MriVolume(np.concatenate([part.slices for part in parts])[order], tuple(notes), parts[0].series)


def read_volume(path: Path) -> MriVolume:
    """Read the slices of one file.

    .nii, .nii.gz: slices of the first volume, oriented as `read_nifti` states.  .npy: images (H, W) or
    (M, H, W), real or complex.
    .npz: one such array, beside labels; one named `kspace` is k-space (H, W), (M, H, W) or (M, C, H, W).  .h5, .hdf5:
    `kspace` like that, else `reconstruction_rss` or `reconstruction_esc`.  DICOM: magnitudes of MR, a part of their
    series.  k-space has its centre in the middle and is transformed by the centred orthonormal FFT; coils are combined
    as root of the sum of squares.
    Raises `FileError` for a damaged file, numbers that are not finite or far below 0, and undersampled k-space.
    """
    name = suffix_of(path, SUFFIXES)
    try:
        if name in NIFTI_SUFFIXES:
            return _from_nifti(path)
        if name == ".npy":
            return MriVolume(_checked_images(path, read_npy(path, "image file")), ())
        if name == ".npz":
            return _from_npz(path, load_npz(path, "image file"))
        if name in HDF5_SUFFIXES:
            return _from_hdf5(path)
        if name in DICOM_SUFFIXES:
            return _from_dicom(path)
    except MemoryError as error:
        raise FileError(f"{path}: needs more memory than there is; cut it into smaller files") from error
    raise FileError(f"{path}: {path.suffix or 'nameless'} files are not read as MR images; use {', '.join(SUFFIXES)}")


def _from_nifti(path: Path) -> MriVolume:
    stored = read_nifti(path)
    notes = []
    if stored.volumes > 1:
        notes.append(f"{path.name}: the first of {stored.volumes} volumes is read, the others show the same slices")
    if stored.plane is None:
        notes.append(f"{path.name}: it does not say how it lies in the body; its slices are read as they are stored")
    return MriVolume(_checked_images(path, stored.slices), tuple(notes))


def _from_npz(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> MriVolume:
    if KSPACE in arrays:
        return _reconstructed(path, arrays[KSPACE], None)
    images = dict(arrays)
    if len(images) > 1:  # labels and lists, one for each image
        images = {name: array for name, array in arrays.items() if sum(length > 1 for length in array.shape) > 1}
    if len(images) > 1:  # one-hot labels are as many rows
        stacks = {name: array for name, array in images.items() if array.ndim > 2}
        images = stacks if len(stacks) == 1 else images
    if len(images) != 1:
        raise FileError(
            f"{path}: holds {shown(f'{name} {a.shape}' for name, a in arrays.items())}; "
            f"give one array of images, or one named `{KSPACE}`"
        )
    ((kept, values),) = images.items()
    left_out = shown(f"`{name}` {array.shape}" for name, array in arrays.items() if name != kept)
    notes = () if len(arrays) == 1 else (f"{path.name}: images are read from `{kept}`; left out: {left_out}",)
    return MriVolume(_checked_images(path, values), notes)


def _from_dicom(path: Path) -> MriVolume:
    found = read_dicom(path)
    if found.modality != "MR":
        raise FileError(f"{path}: its modality is {shown([found.modality or 'not said'])}; slices of MR are needed")
    if found.part:
        raise FileError(f"{path}: holds {found.part.lower()} images; magnitudes are read from DICOM files")
    if found.stored.ndim != 3:
        raise FileError(f"{path}: its pictures are in colour; slices of MR are grey")
    values = float64_of(found.stored) * found.slope[:, None, None] + found.intercept[:, None, None]
    return MriVolume(_checked_images(path, values), (), found.series, tuple(found.position_mm.tolist()))


def _from_hdf5(path: Path) -> MriVolume:
    found = {entry.name: entry for entry in hdf5_datasets(path)}
    if KSPACE in found:
        arrays = read_hdf5(path, [name for name in (KSPACE, "mask") if name in found])
        if not arrays.get("mask", np.ones(1)).all():
            raise FileError(f"{path}: its `mask` leaves out lines of k-space; {NO_REFERENCE}")
        images = next((found[name] for name in IMAGES if name in found), None)
        matrix = images.shape[-2:] if images is not None and len(images.shape) == 3 else None
        return _reconstructed(path, arrays[KSPACE], matrix)
    name = next((name for name in IMAGES if name in found), None)
    if name is None:
        seen = shown(f"{entry.name} {entry.shape}" for entry in found.values())
        raise FileError(f"{path}: holds neither `{KSPACE}` nor {' nor '.join(f'`{n}`' for n in IMAGES)}, only {seen}")
    return MriVolume(_checked_images(path, read_hdf5(path, [name])[name]), ())


def _checked_images(path: Path, values: NDArray[np.generic]) -> NDArray[np.complex64] | NDArray[np.float32]:
    """Images (M, H, W) of finite numbers that can be those of an MR scan."""
    if values.dtype.kind not in "iufc":
        raise FileError(f"{path}: values of type {values.dtype} are not an image")
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or min(values.shape[1:], default=0) < 2 or not values.shape[0]:
        raise FileError(f"{path}: an array of shape {values.shape} is not an image (H, W) or a stack (M, H, W) of them")
    if values.dtype.kind == "c":
        images = _to_single(values, np.complex64)
        _refuse_odd_values(path, images)
        _refuse_kspace(path, images)
        return images
    magnitudes = _to_single(values, np.float32)
    _refuse_odd_values(path, magnitudes)
    low, high = float(magnitudes.min()), float(magnitudes.max())
    if low < SMALLEST_VALUE * max(high, 0.0):
        raise FileError(
            f"{path}: values go from {low:g} to {high:g}; magnitudes of MR are 0 or more (is it a phase image, or of "
            "another modality?)"
        )
    return magnitudes


_Single = TypeVar("_Single", np.float32, np.complex64)


def _to_single(values: NDArray[np.generic], kind: type[_Single]) -> NDArray[_Single]:
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is refused
        return values.astype(kind)


def _refuse_odd_values(path: Path, values: NDArray[np.complex64] | NDArray[np.float32]) -> None:
    bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    if bad:
        raise FileError(f"{path}: {bad} of {values.size} values are not finite numbers")
    largest = max(float(abs(values.real).max()), float(abs(values.imag).max()))
    if largest > LARGEST_VALUE:
        raise FileError(
            f"{path}: values up to {largest:g} cannot be those of a scan; at most {LARGEST_VALUE:g} are read"
        )


def _refuse_kspace(path: Path, images: NDArray[np.complex64]) -> None:
    """Raise `FileError` for complex images that can only be k-space: its few central samples hold the energy."""
    energy = np.sort((np.abs(images) ** 2).reshape(images.shape[0], -1).sum(axis=0, dtype=np.float64))
    brightest = energy[-max(energy.size // 100, 1) :].sum()
    if energy.size < 400 or brightest < KSPACE_ENERGY * energy.sum():
        return
    if float((images == 0).mean()) > MOST_PADDING:
        raise FileError(f"{path}: this looks like undersampled k-space, not like images; {NO_REFERENCE}")
    raise FileError(
        f"{path}: this looks like k-space, not like images; save it as .npz under the name `{KSPACE}`, (H, W), "
        "(slices, H, W) or (slices, coils, H, W), centre in the middle"
    )


def _reconstructed(path: Path, kspace: NDArray[np.generic], matrix: tuple[int, ...] | None) -> MriVolume:
    if kspace.dtype.kind != "c" or kspace.ndim not in (2, 3, 4) or min(kspace.shape) < 1 or min(kspace.shape[-2:]) < 2:
        raise FileError(
            f"{path}: `{KSPACE}` is {kspace.dtype} of shape {kspace.shape}; complex numbers (H, W), (slices, H, W) or "
            "(slices, coils, H, W) are needed"
        )
    samples = _to_single(kspace, np.complex64)
    _refuse_odd_values(path, samples)
    samples = samples.reshape((-1, 1, *kspace.shape[-2:]) if kspace.ndim < 4 else kspace.shape)
    _refuse_undersampled(path, samples)
    height, width = (min(n, wanted) for n, wanted in zip(samples.shape[-2:], matrix or samples.shape[-2:], strict=True))
    coils = samples.shape[1]
    slices = np.empty((samples.shape[0], height, width), dtype=np.complex64 if coils == 1 else np.float32)
    top, left = (samples.shape[-2] - height) // 2, (samples.shape[-1] - width) // 2
    for number, one in enumerate(samples):
        image = centred_ifft(one, (-2, -1))[:, top : top + height, left : left + width]
        slices[number] = image[0] if coils == 1 else np.sqrt((np.abs(image) ** 2).sum(axis=0))
    notes = (f"{coils} coils are combined as root of the sum of squares, which has no phase",) if coils > 1 else ()
    return MriVolume(slices, notes)


def _refuse_undersampled(path: Path, samples: NDArray[np.complex64]) -> None:
    sampled = (samples != 0).any(axis=(0, 1))
    rows, columns = np.flatnonzero(sampled.any(axis=1)), np.flatnonzero(sampled.any(axis=0))
    if not rows.size:
        raise FileError(f"{path}: `{KSPACE}` holds nothing but zeros")
    within = sampled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    gaps, padding = 1 - float(within.mean()), 1 - within.size / sampled.size
    if gaps > MOST_ZEROS or padding > MOST_PADDING:
        empty = int((~sampled.any(axis=0)).sum()), int((~sampled.any(axis=1)).sum())
        raise FileError(
            f"{path}: `{KSPACE}` is undersampled ({1 - float(sampled.mean()):.0%} of its samples are exactly 0, "
            f"{empty[0]} of {sampled.shape[1]} columns and {empty[1]} of {sampled.shape[0]} rows are empty); "
            f"{NO_REFERENCE}"
        )
