"""What the families of operators of all modalities have in common."""

from pathlib import Path

from cidesign.calibration.folder import CommonRecord
from cidesign.errors import FileError
from cidesign.runs import Run


def require_fitting(
    folder: Path, record: CommonRecord, run: Run, found: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    """Refuse a calibration of another device or another size."""
    if record.profile_digest != run.record.profile_digest:
        raise FileError(
            f"{folder}: profile {record.profile_digest[:12]} was calibrated, the run is for profile "
            f"{run.record.profile_digest[:12]}; calibrate with a capture of this device"
        )
    if found != wanted:
        raise FileError(f"{folder}: a field of {found} was calibrated, the run has {wanted}; calibrate with this run")
