"""Reading the JSON files that stand beside device images: every value checked, nothing assumed."""

from pathlib import Path

from cidesign.errors import FileError
from cidesign.files import Json, read_json

MAX_NUMBER = 2**32


def whole_number(value: object, name: str, where: Path) -> int:
    """A whole number 0 .. 2**32; raises `FileError` that names the field otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise FileError(f"{where}: {name} is {str(value)[:40]!r}; a whole number from 0 to {MAX_NUMBER} is needed")
    return value


def read_sidecar(path: Path, fields: set[str]) -> dict[str, Json]:
    """A JSON object with exactly these fields."""
    content = read_json(path, "sidecar")
    if set(content) != fields:
        wrong = sorted(set(content) ^ fields)[0]
        raise FileError(f"{path}: the field {wrong[:40]!r} is {'missing' if wrong in fields else 'not known here'}")
    return content
