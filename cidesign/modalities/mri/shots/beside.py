"""Raw data of shots with the trajectory that lies in a file beside them."""

from pathlib import Path

from cidesign.calibration.mri.shots.capture import Beside
from cidesign.errors import InputError
from cidesign.export.mri.shots.files import First, read_trajectory, require_open
from cidesign.export.mri.shots.own import QUESTIONS
from cidesign.pattern.shots import Unit


def trajectory_beside(path: Path, units: Unit | None, first: First | None) -> Beside:
    """The trajectory of a file (.npy, .cfl, .seq) for samples that lie elsewhere, with what it does not say itself.

    A sequence is played on its own rasters: which scanner played it does not matter for where samples lie.  Raises
    `FileError` for what is no trajectory, `InputError` for what it leaves open, or says itself.
    """
    found = read_trajectory(path, None)
    require_open(path, found, {"units": units, "first": first})
    unit, order = found.units or units, found.first or first
    missing = [QUESTIONS[name] for name, value in (("units", unit), ("first", order)) if value is None]
    if unit is None or order is None:
        raise InputError(f"{path}: does not say {'; '.join(missing)}: say it with --set")
    return Beside(found.rows_first(order), unit, path.name, found.sources[0][1])
