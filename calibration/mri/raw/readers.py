"""Raw k-space of every known kind, by what the path is."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from cidesign.calibration.capture_record import RECORD_FILE
from cidesign.calibration.mri.capture import capture_slices
from cidesign.calibration.mri.kspace import RawKspace, require_coils
from cidesign.calibration.mri.phantom import PhantomScan
from cidesign.calibration.mri.raw.files import read_hdf5_kspace, read_twix
from cidesign.calibration.mri.raw.matrices import read_cfl_kspace, read_numpy_kspace
from cidesign.calibration.mri.raw.vendors import refuse_other_vendors
from cidesign.calibration.mri.slices import KspaceSlices
from cidesign.errors import FileError, InputError
from cidesign.io.npy import read_npy

SUFFIXES = (".h5", ".hdf5", ".mrd", ".dat", ".cfl", ".hdr", ".npy", ".npz")
READABLE = "ISMRMRD and fastMRI (.h5, .mrd), Siemens twix (.dat), BART (.cfl, .hdr), arrays (.npy, .npz)"


def read_kspace(
    path: Path,
    slice_index: int | None = None,
    matrix_lines: int | None = None,
    measurement: str | None = None,
    encoding: int | None = None,
) -> RawKspace:
    """One slice of raw data; see `read_slices`.  `slice_index` is needed where there are several."""
    return read_slices(path, matrix_lines, measurement, encoding).one(slice_index)


def read_slices(
    path: Path, matrix_lines: int | None = None, measurement: str | None = None, encoding: int | None = None
) -> KspaceSlices:
    """Raw data of any kind that is read, slice by slice.

    .h5, .hdf5, .mrd: ISMRMRD or fastMRI's layout; .dat: Siemens twix; .cfl, .hdr: BART; .npy, .npz: arrays; a folder:
    a simulated capture.  `measurement` (of an ISMRMRD or Siemens file) and `encoding` (of an ISMRMRD file) may be
    needed where there are several; `matrix_lines` overrules the phase-encode lines of a Siemens protocol.  Raises
    `FileError` for damaged files and those of other vendors, `InputError` for options that the file has no use for.
    """
    if path.exists():
        refuse_other_vendors(path, READABLE)
    suffix = path.suffix.lower()
    hdf5, twix = suffix in (".h5", ".hdf5", ".mrd"), suffix == ".dat"
    if matrix_lines is not None and not twix:
        raise InputError(f"--set matrix_lines: only the protocol of a Siemens file is overruled by it, not {path}")
    if measurement is not None and not (hdf5 or twix):
        raise InputError(f"--set measurement: only ISMRMRD and Siemens files hold several, not {path}; leave it out")
    if encoding is not None and not hdf5:
        raise InputError(f"--set encoding: only ISMRMRD files hold several, not {path}; leave it out")
    if path.is_dir() or path.name == RECORD_FILE:
        return capture_slices(path if path.is_dir() else path.parent)
    if not path.is_file() and not path.with_name(path.name + ".cfl").is_file():
        raise FileError(f"{path}: no such capture; make one with `cidesign simulate --out {path}`, or record one")
    if hdf5:
        return read_hdf5_kspace(path, measurement, encoding)
    if twix:
        return read_twix(path, matrix_lines, measurement)
    if suffix in (".npy", ".npz"):
        return read_numpy_kspace(path)
    if suffix in (".cfl", ".hdr") or path.with_name(path.name + ".cfl").is_file():
        return read_cfl_kspace(path)
    raise FileError(f"{path}: {suffix or 'nameless'} files are not read as raw data; use {', '.join(SUFFIXES)}")


def with_phantom(raw: RawKspace, phantom: RawKspace, picture: Path) -> RawKspace:
    """A capture with the scan of a phantom that was taken apart from it; `picture`: its drawing (N, n) as .npy.

    Raises `FileError` for a phantom that was not fully sampled, of another matrix or with other coils.
    """
    drawing = read_npy(picture, "drawing of the phantom")
    shape = (raw.matrix_lines, raw.k.shape[2])
    if not phantom.complete or (phantom.matrix_lines, phantom.k.shape[2]) != shape:
        raise FileError(
            f"{phantom.path}: {len(phantom.lines)} of {phantom.matrix_lines} lines of {phantom.k.shape[2]} samples; a "
            f"phantom is scanned with all {shape[0]} lines of {shape[1]} samples, as the capture"
        )
    require_coils(phantom, raw.coils)
    if drawing.shape != shape or drawing.dtype.kind not in "iuf" or not np.isfinite(drawing).all():
        raise FileError(f"{picture}: {drawing.dtype} of shape {drawing.shape}; a drawing is a real picture of {shape}")
    if drawing.max() == drawing.min():
        raise FileError(f"{picture}: the drawing shows nothing")
    order = np.arange(shape[0]) if phantom.order is None else np.argsort(phantom.order)
    scan = PhantomScan(
        np.ascontiguousarray(phantom.k[:, order]),
        order.astype(np.int64),
        drawing.astype(np.float64),
        ordered=phantom.order is not None,
        at_limit=phantom.at_limit,
    )
    return replace(raw, phantom=scan)
