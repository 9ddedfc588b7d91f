"""Raw data of points of a 3-D scan: ISMRMRD, whose counters name (ky, kz) of every readout, and BART's k-space."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.capture_record import RECORD_FILE
from cidesign.calibration.mri.kspace import RawKspace, Samples, at_limit, remove_oversampling
from cidesign.calibration.mri.points.capture import read_points_capture
from cidesign.calibration.mri.points.volume import RawVolume, listed_points
from cidesign.calibration.mri.raw.assemble import SINGLE, chosen_slice, noise_samples, require_alike
from cidesign.calibration.mri.raw.files import MRD_FIELDS, read_acquisitions, with_embedded
from cidesign.calibration.mri.raw.matrices import MOST_ZEROS
from cidesign.calibration.mri.raw.readouts import Matrix, Readouts
from cidesign.calibration.mri.raw.rows import alike_in_direction, image_rows
from cidesign.calibration.mri.raw.vendors import refuse_other_vendors
from cidesign.errors import FileError, InputError
from cidesign.files import sha256_file
from cidesign.io.bart import read_cfl

MRD, BART = (".h5", ".hdf5", ".mrd"), (".cfl", ".hdr")
READABLE = "ISMRMRD (.h5, .mrd) and BART (.cfl)"
COUNTERS = "AcquisitionHeader.idx.kspace_encode_step_1, _2"
_BART_AXES = 4


def read_points(
    path: Path, measurement: str | None = None, encoding: int | None = None, slice_index: int | None = None
) -> RawVolume:
    """A 3-D scan of any kind that is read: a capture folder, ISMRMRD, BART (readout, lines, partitions, coils).

    Of BART's a point whose readout is exactly 0 was not measured.  Options are those of ISMRMRD: which of several
    measurements, encodings and slabs.  Raises `FileError` for damaged files, those of another kind, and points that
    occur twice or lie outside of the matrix; `InputError` for options that the file has no use for.
    """
    if path.exists():
        refuse_other_vendors(path, READABLE)
    suffix = path.suffix.lower()
    for name, value in (("measurement", measurement), ("encoding", encoding), ("slice_index", slice_index)):
        if value is not None and suffix not in MRD:
            raise InputError(f"--set {name}={value}: {path} leaves no such thing open; leave it out")
    if path.is_dir() or path.name == RECORD_FILE:
        return read_points_capture(path if path.is_dir() else path.parent)
    if not path.is_file():
        raise FileError(f"{path}: no such capture; make one with `cidesign simulate --out {path}`, or record one")
    if suffix in MRD:
        return _of_mrd(path, measurement, encoding, slice_index)
    if suffix in BART:
        return _of_bart(path)
    raise FileError(f"{path}: {suffix or 'nameless'} files are not read as raw data of points; use {READABLE}")


def _of_mrd(path: Path, measurement: str | None, encoding: int | None, slice_index: int | None) -> RawVolume:
    readouts, header, number, digest, notes = read_acquisitions(path, measurement, encoding)
    notes += header.require_grid(number)
    if header.embeds_calibration(number):
        of_encoding = readouts.column("encoding") == number
        readouts, told = with_embedded(readouts, of_encoding, "parallelImaging.calibrationMode")
        notes += told
    imaging = readouts.imaging & (readouts.column("slice") == chosen_slice(readouts, slice_index))
    notes += require_alike(readouts, imaging, MRD_FIELDS, tuple(name for name in SINGLE if name != "partition"))
    if np.ptp(readouts.column("average")[imaging]):
        raise FileError(f"{path}: holds averages of points ({MRD_FIELDS['average']}), which are not read")
    if readouts.column("trajectory_dimensions")[imaging].any():
        raise FileError(
            f"{path}: readouts have a trajectory of their own (AcquisitionHeader.trajectory_dimensions); only "
            "Cartesian points that the counters place are read"
        )
    found, (partitions, centre) = header.matrix(number), header.partitions(number)
    matrix = Matrix(found.lines, found.centre, found.recon_x, MRD_FIELDS, found.encoded_x)
    k = alike_in_direction(readouts, imaging, matrix, image_rows(readouts, imaging, matrix, notes), notes)
    noise, factor = noise_samples(readouts, imaging, MRD_FIELDS, notes)
    if noise is not None and len(noise) != len(k):
        raise FileError(f"{path}: the noise scan has {len(noise)} coils, the image {len(k)}")
    size = (found.lines, partitions)
    points = _counted(readouts, imaging, size, (found.centre, centre))
    return _volume(path, readouts.source, k, points, size, found.recon_x, digest, notes, MRD_FIELDS, noise, factor)


def _counted(
    readouts: Readouts, imaging: NDArray[np.bool_], size: tuple[int, int], centre: tuple[int, int]
) -> NDArray[np.int64]:
    """(P, 2), line and partition of every readout, with the centre of k-space at N // 2."""
    counters = np.stack([readouts.column(name)[imaging] for name in ("line", "partition")], axis=1)
    points: NDArray[np.int64] = counters - np.array(centre) + np.array(size) // 2
    outside = points[((points < 0) | (points >= size)).any(axis=1)]
    if len(outside):
        raise FileError(
            f"{readouts.path}: unexpected points {listed_points(outside)} outside of {size[0]} x {size[1]} "
            f"({COUNTERS}, encodedSpace.matrixSize, centre {centre[0]}, {centre[1]} of encodingLimits)"
        )
    unique, counts = np.unique(points, axis=0, return_counts=True)
    if len(unique) < len(points):
        raise FileError(
            f"{readouts.path}: duplicated points {listed_points(unique[counts > 1])} ({COUNTERS}); each point is "
            "measured once"
        )
    return points


def _of_bart(path: Path) -> RawVolume:
    whole = read_cfl(path, _BART_AXES)
    if whole.ndim != _BART_AXES:
        raise FileError(
            f"{path}: dimensions {whole.shape}; k-space of a 3-D scan has (readout, lines, partitions, coils)"
        )
    samples, lines, partitions, _ = whole.shape
    held = (whole != 0).any(axis=3).mean(axis=0)
    points = np.argwhere(held > 0)
    if not len(points):
        raise FileError(f"{path}: holds nothing but zeros")
    partly = points[held[points[:, 0], points[:, 1]] < 1 - MOST_ZEROS]
    if len(partly):
        raise FileError(
            f"{path}: readouts of points {listed_points(partly)} are 0 for more than {MOST_ZEROS:.0%} of their "
            "samples; partial echoes are not read"
        )
    k = np.ascontiguousarray(whole[:, points[:, 0], points[:, 1]].transpose(2, 1, 0))
    notes = [
        "points whose readouts are exactly 0 were taken as not measured",
        "BART does not say whether the readout was oversampled; it is taken as it is",
    ]
    digest = sha256_file(path.with_suffix(".cfl"))
    return _volume(path, "BART", k, points, (lines, partitions), samples, digest, notes)


def _volume(
    path: Path,
    source: str,
    k: Samples,
    points: NDArray[np.int64],
    size: tuple[int, int],
    samples: int,
    digest: str,
    notes: list[str],
    fields: Mapping[str, str] = {},
    noise: Samples | None = None,
    noise_factor: float = 1.0,
) -> RawVolume:
    """Readouts (coils, P, m) in any order as those of rising points, without oversampling."""
    order = np.lexsort((points[:, 1], points[:, 0]))
    cut, edges = remove_oversampling(path, k[:, order], samples)
    if edges is not None:
        notes = [*notes, f"readout oversampling of {k.shape[2] / samples:g} removed"]
    readouts = RawKspace(
        path=path,
        source=source,
        k=cut,
        lines=np.arange(len(points)),
        matrix_lines=len(points),
        digest=digest,
        noise=noise,
        edges=edges,
        oversampling=k.shape[2] / samples,
        fields=fields,
        at_limit=at_limit(k),
        noise_factor=noise_factor,
        notes=tuple(notes),
    )
    return RawVolume(readouts, points[order], size)
