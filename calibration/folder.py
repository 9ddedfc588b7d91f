"""What all calibration folders share: a checked record, arrays named by their digest, and how they are replaced."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from cidesign import __version__
from cidesign.calibration.circumstances import BenchState, Circumstances
from cidesign.calibration.verify import Verification
from cidesign.errors import FileError
from cidesign.files import (
    JsonObject,
    load_npz,
    read_json,
    replacing_folder,
    require_folder,
    save_npz,
    sha256_file,
    write_json,
)
from cidesign.records import Digest, Strict, first_problem, gathered

SCHEMA_VERSION = 2
RECORD_FILE = "calibration.json"
ARRAYS_FILE = "arrays.npz"


class CommonRecord(Strict):
    """The fields of every `calibration.json`; `capture_utc` is when the bench was recorded."""

    cidesign_version: Annotated[str, Field(max_length=64)]
    created_utc: Annotated[str, Field(max_length=64)]
    capture: Annotated[str, Field(max_length=4096)]
    capture_utc: Annotated[str, Field(max_length=64)]
    design_digest: Digest
    profile_digest: Digest
    exposure_us: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    bench: BenchState
    notes: tuple[Annotated[str, Field(max_length=1000)], ...]
    verification: Verification
    arrays_sha256: Digest

    @property
    def circumstances(self) -> Circumstances:
        """What captures must share with the calibration."""
        return Circumstances(
            design_digest=self.design_digest,
            profile_digest=self.profile_digest,
            exposure_us=self.exposure_us,
            created_utc=self.capture_utc,
            bench=self.bench,
        )


_R = TypeVar("_R", bound=CommonRecord)


def write_record(
    folder: Path, record_type: type[_R], arrays: dict[str, NDArray[np.generic]], /, *sources: object, **said: object
) -> _R:
    """Write the arrays of a calibration and its record, whose fields are `gathered`."""
    save_npz(folder / ARRAYS_FILE, arrays)
    record = gathered(
        record_type,
        *sources,
        schema_version=SCHEMA_VERSION,
        kind="calibration",
        cidesign_version=__version__,
        arrays_sha256=sha256_file(folder / ARRAYS_FILE),
        **said,
    )
    write_json(folder / RECORD_FILE, record.model_dump(mode="json"))
    return record


def read_record(folder: Path, kind: type[_R], modality: str) -> tuple[_R, dict[str, NDArray[np.generic]]]:
    """The record and the arrays of a calibration folder of one modality.

    Raises `FileError` when it is missing, damaged, changed, of another version or of another modality.
    """
    require_folder(folder, "calibration", f"make one with `cidesign calibrate CAPTURE --out {folder}`")
    raw = read_json(folder / RECORD_FILE, "calibration record")
    _require_version(folder, raw)
    if raw.get("modality") != modality:
        raise FileError(
            f"{folder}: a calibration of the modality {str(raw.get('modality'))[:40]!r}; this run takes one of "
            f"{modality}"
        )
    try:
        record = kind.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{folder}: {RECORD_FILE}: {first_problem(error)}") from error
    arrays = load_npz(folder / ARRAYS_FILE, "calibration array file")
    if sha256_file(folder / ARRAYS_FILE) != record.arrays_sha256:
        raise FileError(f"{folder}: {ARRAYS_FILE} is not the one that {RECORD_FILE} names; calibrate again")
    return record, arrays


def stored_modality(folder: Path) -> str:
    """The modality that the record of a calibration folder names; raises `FileError` where there is no record."""
    require_folder(folder, "calibration", f"make one with `cidesign calibrate CAPTURE --out {folder}`")
    return str(read_json(folder / RECORD_FILE, "calibration record").get("modality"))


def _require_version(folder: Path, raw: JsonObject) -> None:
    version = raw.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise FileError(
            f"{folder}: {RECORD_FILE} has schema version {version}, this program reads {SCHEMA_VERSION}; "
            "update cidesign"
        )
    if version == 1:
        raise FileError(f"{folder}: was written before calibrations were verified; calibrate again")


@contextlib.contextmanager
def replacing_calibration(folder: Path, verification: Verification, force: bool) -> Iterator[tuple[Path, Path]]:
    """Yield (temporary folder to fill, the place it will have).

    A calibration that failed never takes the place of an earlier one: with `force` it goes beside it, under the name
    with `-failed` behind.
    """
    place = folder
    if verification.verdict == "failed" and folder.exists() and force:
        place = folder.with_name(f"{folder.name}-failed")
    with replacing_folder(place, force) as temporary:
        yield temporary, place
