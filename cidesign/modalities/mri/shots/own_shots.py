"""The shots that somebody's scan played, as a design."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cidesign.calibration.mri.shots.raw import MRD, read_shots
from cidesign.errors import InputError
from cidesign.export.mri.shots.own import ShotOptions, own_design
from cidesign.export.options import read_options
from cidesign.export.own_design import OwnDesign
from cidesign.files import sha256_file
from cidesign.hardware_profiles.mri.schema import MriProfile


class ScannedShotOptions(ShotOptions):
    """What a scan leaves open: see `read_shots`."""

    measurement: str | None = None
    encoding: int | None = None
    slice_index: int | None = None


def scanned_shots(files: Sequence[Path], profile: MriProfile, settings: Mapping[str, Any]) -> OwnDesign | None:
    """The trajectory that an ISMRMRD file (.h5, .mrd) holds; None for other files.

    Raises `InputError` for options that a scan has no use for, `FileError` for scans without a trajectory.
    """
    if len(files) != 1 or files[0].suffix.lower() not in MRD:
        return None
    (path,) = files
    options = read_options(ScannedShotOptions, settings, "a scan of shots")
    raw = read_shots(path, None, options.units, options.measurement, options.encoding, options.slice_index)
    recorded = raw.recorded
    if recorded is None or recorded.points is None or recorded.size is None or recorded.size[0] != recorded.size[1]:
        raise InputError(f"{path}: shots are designed for square images (encoding.reconSpace.matrixSize)")
    dwell_us = None if recorded.dwell_ns is None else recorded.dwell_ns / 1e3
    found = {"side": recorded.size[0], "fov_mm": recorded.fov_mm, "dwell_us": dwell_us, "first": "down"}
    for name, value in found.items():
        if value is not None and getattr(options, name) is not None:
            raise InputError(f"--set {name}: {path} says it itself; leave it out")
    known = {name: value for name, value in found.items() if value is not None}
    # What was read is in 1/FOV, whatever the file has.
    complete = options.model_copy(update={**known, "units": "1/fov"})
    own = own_design(recorded.points, str(path), [(path.name, sha256_file(path))], profile, complete)
    said = (f"the shots that the scan played ({raw.source})", *raw.notes, *own.said)
    return OwnDesign(own.design, said, own.sources, own.preview_png)
