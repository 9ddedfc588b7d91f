"""Which files hold pictures, and the grey pictures of one of them, one after the other."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cidesign.data import pillow_pictures, tiff_pages
from cidesign.data.picture_arrays import Picture, grey, pictures_of_arrays
from cidesign.data.picture_labels import label_vector
from cidesign.errors import CidesignError, FileError
from cidesign.files import load_npz
from cidesign.io.dicom import DICOM_SUFFIXES, read_dicom
from cidesign.io.hdf5 import HDF5_SUFFIXES, hdf5_datasets, read_hdf5
from cidesign.io.idx import labels_beside, read_idx
from cidesign.io.kinds import IDX, suffix_of
from cidesign.io.mat import read_every_matrix
from cidesign.io.npy import read_npy, reason
from cidesign.records import shown

MAT = ".mat"
ARRAY_SUFFIXES = (".npy", ".npz", MAT, *HDF5_SUFFIXES, IDX)
SUFFIXES = (*pillow_pictures.SUFFIXES, *tiff_pages.SUFFIXES, *ARRAY_SUFFIXES, *DICOM_SUFFIXES)
# Labels and lists beside the pictures of an HDF5 file; a longer one says nothing about pictures.
LONGEST_LIST = 10_000_000


def find_images(path: Path) -> tuple[list[Path], str]:
    """The file `path`, or every file below the folder `path` with a known suffix, in a fixed order; and what else is
    there, in words ("" for nothing).  Raises `FileError` when there is none.
    """
    if path.is_file():
        if suffix_of(path, SUFFIXES) not in SUFFIXES:
            raise FileError(
                f"{path}: {path.suffix or 'nameless'} files are not read as pictures; use {', '.join(SUFFIXES)}"
            )
        return [path], ""
    if not path.is_dir():
        raise FileError(
            f"{path}: no such folder of images, and no such file; give --data one, or leave it out for procedural data"
        )
    found: list[Path] = []
    counts: dict[str, int] = {}
    for entry in sorted(entry for entry in path.rglob("*") if entry.is_file()):
        suffix = suffix_of(entry, SUFFIXES)
        if suffix in SUFFIXES:
            found.append(entry)
        elif not entry.name.startswith("."):
            counts[suffix or "nameless"] = counts.get(suffix or "nameless", 0) + 1
    if pictured := {labels_beside(entry) for entry in found if suffix_of(entry, SUFFIXES) == IDX}:
        found = [entry for entry in found if entry not in pictured]
    others = shown(f"{count} {kind}" for kind, count in counts.items())
    if not found:
        seen = f"; what is there is not read: {others}" if counts else ""
        raise FileError(f"{path}: no image is below this folder; looked for {', '.join(SUFFIXES)}{seen}")
    return found, others if counts else ""


def one_scene(path: Path) -> bool:
    """Whether the pictures of a file show one scene (pages of a TIFF), or one each (arrays)."""
    return suffix_of(path, SUFFIXES) not in ARRAY_SUFFIXES


def read_pictures(path: Path, notes: list[str]) -> Iterator[Picture]:
    """The grey pictures (H, W) of one file, one at a time; remarks are added to `notes`.

    Raises `FileError` for whatever is wrong with the file, also after some of its pictures.
    """
    suffix = suffix_of(path, SUFFIXES)
    try:
        if suffix == ".npz":
            yield from pictures_of_arrays(path, load_npz(path, "image file"), notes)
        elif suffix == ".npy":
            yield from pictures_of_arrays(path, {"": read_npy(path, "image file")}, notes)
        elif suffix == IDX:
            yield from _idx_pictures(path, notes)
        elif suffix == MAT:
            yield from _mat_pictures(path, notes)
        elif suffix in HDF5_SUFFIXES:
            yield from _hdf5_pictures(path, notes)
        elif suffix in DICOM_SUFFIXES:
            yield from _dicom_pictures(path, notes)
        elif suffix in tiff_pages.SUFFIXES:
            yield from tiff_pages.tiff_pages(path, notes)
        else:
            yield Picture(pillow_pictures.read_with_pillow(path, notes))
    except CidesignError:
        raise
    except MemoryError as error:
        raise FileError(f"{path}: needs more memory than there is; cut it into smaller files") from error
    # Every decoder fails in its own way on a damaged file; the text says how.
    except Exception as error:
        raise FileError(f"{path}: it cannot be read ({reason(path, error)})") from error


def _idx_pictures(path: Path, notes: list[str]) -> Iterator[Picture]:
    """The pictures (N, H, W) or (N, H, W, C) of an idx file, with the labels of the file beside it."""
    array = read_idx(path)
    if array.ndim < 3:
        what = f"{len(array)} labels" if array.ndim == 1 else f"a table of {array.shape[0]} x {array.shape[1]}"
        raise FileError(f"{path}: holds {what} and no pictures; give the file of images (idx3) that it belongs to")
    beside = labels_beside(path)
    labels = None
    if beside is not None:
        try:
            labels = label_vector(read_idx(beside), len(array))
            said = "" if labels is not None else f"not one whole number for each of {len(array)} pictures"
        except FileError as error:
            said = reason(beside, error)
        if said:
            notes.append(f"the labels in {beside.name} are left out: {said}")
        else:
            notes.append(f"the labels are those of {beside.name}, kept for tasks of classes")
    for number, one in enumerate(pictures_of_arrays(path, {"": array[..., None] if array.ndim == 3 else array}, notes)):
        yield one if labels is None else replace(one, task=int(labels[number]))


def _mat_pictures(path: Path, notes: list[str]) -> Iterator[Picture]:
    matrices, others = read_every_matrix(path)
    if not matrices:
        listed = shown(f"`{name}` ({what})" for name, what in others.items())
        raise FileError(f"{path}: holds no real numeric matrix, only {listed}")
    yield from pictures_of_arrays(path, matrices, notes, count_last=True)


def _hdf5_pictures(path: Path, notes: list[str]) -> Iterator[Picture]:
    stored = hdf5_datasets(path)
    wanted = [one.name for one in stored if len(one.shape) > 1 or 0 < int(np.prod(one.shape)) <= LONGEST_LIST]
    yield from pictures_of_arrays(path, read_hdf5(path, wanted), notes)


def _dicom_pictures(path: Path, notes: list[str]) -> Iterator[Picture]:
    """The frames of a DICOM file in what its slope makes of the stored numbers; a series is one scene."""
    found = read_dicom(path)
    if found.intercept.any():
        notes.append("the rescale intercept of DICOM files is left out: pictures are light, 0 is black")
    for number, (frame, slope) in enumerate(zip(found.stored, found.slope, strict=True)):
        # One slope for all frames changes nothing but the unit, and keeps the integers whose bits tell white.
        values = frame if (found.slope == found.slope[0]).all() else frame * np.float64(slope)
        label = f"[{number}]" if len(found.stored) > 1 else ""
        yield Picture(grey(values), label, scene=found.series)
