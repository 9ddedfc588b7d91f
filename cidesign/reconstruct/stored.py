"""A reconstruction folder read back: images and maps as arrays, and the record that goes with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cidesign.errors import FileError
from cidesign.files import load_npz, read_json, require_folder
from cidesign.modality import modality
from cidesign.reconstruct.classes import Classes
from cidesign.reconstruct.outcome import Arrays
from cidesign.reconstruct.record import RECORD_FILE, SCHEMA_VERSION, ReconstructionRecord
from cidesign.records import first_problem

# What an image, or a map, is called in its file.
VALUES = ("image", "cube")


@dataclass(frozen=True)
class StoredReconstruction:
    """What `reconstruct` wrote: images (H, W) or cubes (L, H, W) and maps by name, row 0 at the top."""

    folder: Path
    record: ReconstructionRecord
    images: Arrays
    maps: Arrays

    @property
    def classes(self) -> Classes | None:
        """How probable each class is, of a run of classes; None of one of images."""
        return None if self.record.classes is None else Classes(self.record.classes)


def open_reconstruction(folder: Path) -> StoredReconstruction:
    """Read the folder of a reconstruction; raises `FileError` where it is missing, damaged or of another version."""
    require_folder(folder, "reconstruction folder", "name what `cidesign reconstruct` wrote")
    record = read_record(folder)
    arrays = {path.stem: _values(path) for path in sorted(folder.glob("*.npz"))}
    maps = {name: values for name, values in arrays.items() if name in record.maps}
    images = {name: values for name, values in arrays.items() if name not in maps}
    if not images:
        raise FileError(f"{folder}: this reconstruction holds no image (NAME.npz); reconstruct again")
    return StoredReconstruction(folder, record, Arrays(images), Arrays(maps))


def read_record(folder: Path) -> ReconstructionRecord:
    """The record of a reconstruction of this version, as that of its modality."""
    path = folder / RECORD_FILE
    raw = read_json(path, "reconstruction record")
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise FileError(
            f"{path}: schema version {version!r}, this program reads {SCHEMA_VERSION}; reconstruct again with it"
        )
    try:
        return record_of(raw)
    except ValidationError as error:
        raise FileError(f"{path}: {first_problem(error)}; reconstruct again") from error


def record_of(raw: dict[str, Any]) -> ReconstructionRecord:
    """The record as that of its modality; raises `ValidationError`, and `FileError` for an unknown modality."""
    reader = raw.get("reader")
    kind = modality(str(raw.get("modality"))).bench().record_type(None if reader is None else str(reader))
    return kind.model_validate(raw)


def _values(path: Path) -> NDArray[np.float32]:
    arrays = load_npz(path, "reconstructed image")
    found = [arrays[name] for name in VALUES if name in arrays]
    if len(found) != 1 or found[0].dtype != np.float32:
        raise FileError(f"{path}: not an image of a reconstruction (one float32 array `image` or `cube`)")
    return found[0]
