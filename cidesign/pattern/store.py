"""Designs as npz files: an array, a header, and a digest that says whether they still belong together."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.files import JsonObject, canonical_json, load_npz, save_npz

SCHEMA_VERSION = 1
_D = TypeVar("_D", bound="Digested")


class Digested(Protocol):
    """What a design says of itself."""

    @property
    def design_digest(self) -> str:
        """SHA-256 of everything that decides what is built."""


def save_design(path: Path, name: str, array: NDArray[Any], header: JsonObject, design_digest: str) -> None:
    """Write a design as npz (no pickle), in one step."""
    whole = {"schema_version": SCHEMA_VERSION, **header, "design_digest": design_digest}
    save_npz(path, {name: array, "header_json": np.frombuffer(canonical_json(whole), dtype=np.uint8)})


def load_design(path: Path, kinds: Mapping[str, Callable[[NDArray[Any], Mapping[str, Any]], _D]]) -> _D:
    """Read what `save_design` wrote, of the kind that the name of its array says.

    Raises `FileError` when it is damaged, changed or of a newer version.
    """
    arrays = load_npz(path, "design")
    name = next((name for name in kinds if set(arrays) == {name, "header_json"}), None)
    if name is None:
        raise FileError(
            f"{path}: this design should hold {' or '.join(kinds)} and header_json, not {', '.join(sorted(arrays))}"
        )
    try:
        header = json.loads(arrays["header_json"].tobytes())
        version = header["schema_version"]
        if version != SCHEMA_VERSION:
            raise FileError(
                f"{path}: this design has schema version {version}; this program knows {SCHEMA_VERSION}. Update it"
            )
        design = kinds[name](arrays[name], header)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, InputError) as error:
        raise FileError(f"{path}: this design is damaged ({error})") from error
    if design.design_digest != header.get("design_digest"):
        raise FileError(f"{path}: this design was changed after it was written (its digest does not fit)")
    return design
