"""Writing and reading `capture.json`, whatever was captured: modality first, then version, then every field."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from cidesign.errors import FileError
from cidesign.files import read_json, replacing_folder, save_npz, sha256_file, write_json
from cidesign.records import first_problem

RECORD_FILE = "capture.json"
_R = TypeVar("_R", bound=BaseModel)


def read_capture_record(folder: Path, kind: type[_R], modality: str, schema_version: int) -> _R:
    """The record of a capture folder of one modality.

    Raises `FileError` when it is not readable, of another modality, of a newer version, or holds a wrong field.
    """
    raw = read_json(folder / RECORD_FILE, "capture record")
    found = raw.get("modality")
    if found != modality:
        raise FileError(f"{folder}: a capture of the modality {str(found)[:40]!r}; this run takes one of {modality}")
    version = raw.get("schema_version")
    if isinstance(version, int) and version > schema_version:
        raise FileError(
            f"{folder}: {RECORD_FILE} has schema version {version}, this program reads {schema_version}; update "
            "cidesign"
        )
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{folder}: {RECORD_FILE}: {first_problem(error)}") from error


def write_capture(
    folder: Path,
    record: BaseModel,
    arrays: Mapping[str, NDArray[np.generic]],
    arrays_file: str,
    read: Callable[[Path], object],
    force: bool,
) -> None:
    """Write a capture folder in one step and `read` it back; `arrays_sha256` of the record is filled in.

    Raises `FileError` when `folder` exists and `force` is not set.
    """
    with replacing_folder(folder, force) as temporary:
        save_npz(temporary / arrays_file, dict(arrays))
        stored = record.model_copy(update={"arrays_sha256": sha256_file(temporary / arrays_file)})
        write_json(temporary / RECORD_FILE, stored.model_dump(mode="json"))
        read(temporary)
