"""The lines that somebody's scan measured, as a design."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cidesign.calibration.capture_record import RECORD_FILE
from cidesign.calibration.mri.kspace import RawKspace, listed
from cidesign.calibration.mri.raw.matrices import KSPACE
from cidesign.calibration.mri.raw.readers import READABLE, read_slices
from cidesign.calibration.mri.raw.vendors import refuse_other_vendors
from cidesign.calibration.mri.slices import KspaceSlices
from cidesign.errors import FileError, InputError
from cidesign.export.mri.own import LineOptions, own_design
from cidesign.export.mri.own.lines import Lines
from cidesign.export.options import read_options
from cidesign.export.own_design import OwnDesign
from cidesign.files import load_npz, sha256_file
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import read_cfl
from cidesign.io.npy import read_npy

SCANS = (".h5", ".hdf5", ".mrd", ".dat")
BART = (".cfl", ".hdr")
# What BART and NumPy hold is lines, or k-space itself.
_BART_AXES = 16


def scanned_design(files: Sequence[Path], profile: MriProfile, settings: Mapping[str, Any]) -> OwnDesign | None:
    """The lines of a scan: of .h5, .mrd (ISMRMRD, fastMRI), .dat (Siemens), of k-space as an array, or of a capture.

    None where the files hold no scan.  Raises `FileError` for raw data that are not read, `InputError` for options that
    a scan has no use for.
    """
    if len(files) != 1:
        if any(path.suffix.lower() in SCANS for path in files):
            raise InputError(f"lines are one file, {len(files)} are named; name the scan alone")
        return None
    (path,) = files
    if path.exists():
        refuse_other_vendors(path, f"{READABLE}, and lists and masks of lines")
    if not _is_scan(path):
        return None
    options = read_options(LineOptions, settings, "a scan")
    for name in ("lines", "first", "axis", "centre"):
        if getattr(options, name) is not None:
            raise InputError(f"--set {name}: {path} says it itself; leave it out")
    raw = _lines_of(read_slices(path, options.matrix_lines, options.measurement, options.encoding), options.slice_index)
    readout = raw.k.shape[2]
    if options.readout is not None and options.readout != readout:
        raise InputError(f"--set readout={options.readout}: the scan {path} has {readout} samples; leave it out")
    text = f"the lines that the scan measured ({raw.source}), samples {readout} without oversampling"
    found = Lines(raw.lines, raw.matrix_lines, readout, (text, *raw.notes))
    read = path / RECORD_FILE if path.is_dir() else path
    return own_design(found, str(path), [(read.name, sha256_file(read))], profile, options)


def _lines_of(slices: KspaceSlices, number: int | None) -> RawKspace:
    """The slice of a number, or the first; raises `FileError` where others of several have other lines."""
    if number is not None or len(slices.numbers) == 1:
        return slices.one(number)
    first, *others = slices.numbers
    found = slices.one(first)
    for other in others:
        lines = slices.one(other).lines
        if not np.array_equal(lines, found.lines):
            only = sorted(set(found.lines.tolist()) ^ set(lines.tolist()))
            raise FileError(
                f"{slices.path}: slices {first} and {other} have other lines ({len(found.lines)} and {len(lines)}; "
                f"only one has {listed(only)}); a design is one set of lines, choose a slice with --set slice_index=N"
            )
    note = f"all {len(slices.numbers)} slices have these lines"
    return replace(found, notes=(*found.notes, note))


def _is_scan(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in SCANS or (path / RECORD_FILE).is_file():
        return True
    if not path.is_file() or suffix not in (".npy", ".npz", *BART):
        return False
    if suffix == ".npz":
        array = load_npz(path, "lines").get(KSPACE, np.zeros(1))
    else:
        array = read_npy(path, "lines") if suffix == ".npy" else read_cfl(path, _BART_AXES)
    return array.dtype.kind == "c" and bool(np.any(array.imag != 0))
