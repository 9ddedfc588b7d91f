"""Reading `capture.json`, whatever was captured: modality first, then version, then every field."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from cidesign.errors import FileError
from cidesign.files import read_json
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
