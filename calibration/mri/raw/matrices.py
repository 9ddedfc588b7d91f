"""Whole matrices of k-space without labels: BART, NumPy and fastMRI arrays; what was not measured is exactly 0."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import NO_REFERENCE, RawKspace, Samples, at_limit
from cidesign.calibration.mri.slices import KspaceSlices
from cidesign.errors import FileError
from cidesign.files import load_npz, sha256_file
from cidesign.io.bart import read_cfl
from cidesign.io.npy import read_npy
from cidesign.records import shown

KSPACE = "kspace"
# A measured line has no exact zeros but those that a scanner pads a readout with.
MOST_ZEROS = 0.3
BART_READ, BART_LINES, BART_PARTITIONS, BART_COILS, BART_SLICES = 0, 1, 2, 3, 13


def read_cfl_kspace(path: Path) -> KspaceSlices:
    """Read a BART pair: dimensions 0 readout, 1 lines, 3 coils, 13 slices; all others must be 1."""
    array = read_cfl(path, 16)
    kept = (BART_READ, BART_LINES, BART_COILS, BART_SLICES)
    others = [f"{number} ({length})" for number, length in enumerate(array.shape) if number not in kept and length > 1]
    if others:
        raise FileError(f"{path}: BART dimensions {', '.join(others)} are not 1; a 2-D scan of one image is read")
    volume = array.reshape([array.shape[number] for number in kept]).transpose(3, 2, 1, 0)
    return _of_volume(path, "BART cfl", volume)


def read_numpy_kspace(path: Path) -> KspaceSlices:
    """Read .npy, or the array `kspace` of an .npz: (lines, samples), (coils, lines, samples) or with slices first."""
    if path.suffix.lower() == ".npz":
        arrays = load_npz(path, "k-space file")
        if KSPACE not in arrays:
            raise FileError(f"{path}: holds no array `{KSPACE}`, only {shown(sorted(arrays))}")
        array: NDArray[np.generic] = arrays[KSPACE]
    else:
        array = read_npy(path, "k-space file")
    if array.dtype.kind != "c" or not 2 <= array.ndim <= 4 or not array.size:
        raise FileError(
            f"{path}: {array.dtype} of shape {array.shape} is not k-space; complex numbers (lines, samples), (coils, "
            "lines, samples) or (slices, coils, lines, samples) are needed"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is refused
        volume = array.astype(np.complex64)
    return _of_volume(path, "NumPy array", volume.reshape((1,) * (4 - volume.ndim) + volume.shape))


def _of_volume(path: Path, source: str, volume: Samples) -> KspaceSlices:
    digest = sha256_file(_data_file(path))

    def read(number: int) -> RawKspace:
        # A calibration of one slice is none of another.
        own = digest if len(volume) == 1 else hashlib.sha256(f"{digest} {number}".encode()).hexdigest()
        return replace(from_full_array(path, source, volume[number], own), slice_number=number)

    return KspaceSlices(path, tuple(range(len(volume))), read)


def from_full_array(
    path: Path,
    source: str,
    k: Samples,
    digest: str,
    edges: Samples | None = None,
    oversampling: float = 1.0,
    notes: tuple[str, ...] = (),
    recorded: Samples | None = None,
) -> RawKspace:
    """The lines of a matrix (coils, N, n) that hold samples; `recorded`: the same before oversampling was removed.

    `digest`: that of the file and the slice.

    Raises `FileError` for k-space that was sampled point by point.
    """
    # Removing oversampling leaves no sample exactly 0: the zeros of a readout are in what was recorded.
    with np.errstate(invalid="ignore"):  # signalling NaN of damaged files; what is not finite is refused below
        measured = ((k if recorded is None else recorded) != 0).any(axis=0)
    lines = np.flatnonzero(measured.any(axis=1))
    if not lines.size:
        raise FileError(f"{path}: `{source}` holds nothing but zeros")
    more = _refuse_partial(path, measured, lines)
    return RawKspace(
        path=path,
        source=source,
        k=np.ascontiguousarray(k[:, lines]),
        lines=lines.astype(np.int64),
        matrix_lines=k.shape[1],
        digest=digest,
        edges=None if edges is None else np.ascontiguousarray(edges[:, lines]),
        oversampling=oversampling,
        at_limit=at_limit(k if recorded is None else recorded),
        notes=(*notes, "lines that are exactly 0 were taken as not measured", *more, *_none_labelled(oversampling)),
    )


def _refuse_partial(path: Path, measured: NDArray[np.bool_], lines: NDArray[np.int64]) -> tuple[str, ...]:
    """Refuse measured lines (N, m) that hold too few samples; returns a remark on ends of readouts that are 0."""
    count = measured.shape[1]
    held = np.flatnonzero(measured[lines].any(axis=0))
    before, after = int(held[0]), count - 1 - int(held[-1])
    if before + after > MOST_ZEROS * count:
        raise FileError(
            f"{path}: {before} samples at the start and {after} at the end of all readouts of {count} are exactly 0; "
            "partial echoes are not read"
        )
    partly = int((measured[lines].mean(axis=1) < 1 - MOST_ZEROS).sum())
    if partly:
        raise FileError(
            f"{path}: already undersampled point by point ({1 - float(measured.mean()):.0%} of the samples are exactly "
            f"0; k-space columns differ in {partly} of {len(measured)} lines), {NO_REFERENCE}. A 2-D scan skips whole "
            "lines; give a fully sampled capture, or one of the design's lines"
        )
    if before + after == 0:
        return ()
    return (f"{before} samples at the start and {after} at the end of all readouts are exactly 0: padded",)


def _none_labelled(oversampling: float) -> tuple[str, ...]:
    if oversampling != 1:
        return ()
    return ("the array does not say whether the readout was oversampled; it is taken as it is",)


def _data_file(path: Path) -> Path:
    """The data beside a BART header, or of a stem without suffix."""
    if path.suffix == ".hdr":
        return path.with_suffix(".cfl")
    return path if path.is_file() else path.with_name(path.name + ".cfl")
