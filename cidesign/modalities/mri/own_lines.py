"""Lines of one's own as a design: files of lines, and the sampling of somebody's scan."""

from collections.abc import Sequence
from pathlib import Path

from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.errors import InputError
from cidesign.export.mri.own import LineOptions, own_design, read_own
from cidesign.export.mri.own.lines import Lines
from cidesign.export.own_design import OwnDesign
from cidesign.files import sha256_file
from cidesign.hardware_profiles.mri.schema import MriProfile

SCANS = (".h5", ".hdf5", ".mrd", ".dat")


def read_own_lines(files: Sequence[Path], profile: MriProfile, options: LineOptions) -> OwnDesign:
    """As `read_own`, and of .h5, .mrd (ISMRMRD, fastMRI) and .dat (Siemens) the lines that the scan itself measured."""
    scans = [path for path in files if path.suffix.lower() in SCANS]
    if not scans:
        return read_own(files, profile, options)
    if len(files) > 1:
        raise InputError(f"lines are one file, {len(files)} are named; name the scan alone")
    path = scans[0]
    for name in ("lines", "first", "axis", "centre"):
        if getattr(options, name) is not None:
            raise InputError(f"--set {name}: {path} says it itself; leave it out")
    raw = read_kspace(path, options.slice_index, options.matrix_lines, options.measurement, options.encoding)
    readout = raw.k.shape[2]
    if options.readout is not None and options.readout != readout:
        raise InputError(f"--set readout={options.readout}: the scan {path} has {readout} samples; leave it out")
    text = f"the lines that the scan measured ({raw.source}), samples {readout} without oversampling"
    found = Lines(raw.lines, raw.matrix_lines, readout, (text, *raw.notes))
    return own_design(found, str(path), [(path.name, sha256_file(path))], profile, options)
