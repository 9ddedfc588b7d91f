"""What every export format has in common: what it is given, what it writes, and what its reader gives back."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequencePlan
from cidesign.errors import FileError
from cidesign.export.dmd.manifest import FileRecord, Half
from cidesign.export.folder import MANIFEST_NAME
from cidesign.export.writing import Output
from cidesign.hardware_profiles.dmd.lattice import Grid, mirror_grid, superpixel_grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import PatternStack

# What every export folder holds beside the files of its format.
COMMON_ROLES = ("preview", "design")


@dataclass(frozen=True)
class Job:
    """A checked design on its way to a folder: patterns, device, sequence, and where the patterns lie."""

    pattern: PatternStack
    profile: DmdProfile
    plan: SequencePlan
    grid: Grid


def grid_of(profile: DmdProfile, pattern: PatternStack) -> Grid:
    """Where the patterns lie on the mirrors; raises `LimitError` for more super-pixels than they hold."""
    return mirror_grid(profile) if pattern.placement == "mirrors" else superpixel_grid(profile, pattern.side)


class DmdOutput(Output[FileRecord]):
    """A folder that is being written; hashes of what `add` writes are taken as the bytes go out."""

    def add(
        self,
        name: str,
        role: str,
        parts: Iterable[bytes],
        image: int | None = None,
        half: Half | None = None,
        compression: str | None = None,
    ) -> None:
        """Write a file from its parts; see `FileRecord` for what is said of it."""
        digest, size_bytes = hashlib.sha256(), 0
        with (self.folder / name).open("wb") as stream:
            for part in parts:
                stream.write(part)
                digest.update(part)
                size_bytes += len(part)
        self.files[name] = FileRecord(
            sha256=digest.hexdigest(), bytes=size_bytes, role=role, image=image, half=half, compression=compression
        )


@dataclass(frozen=True)
class ReadBack:
    """What a reader found in the device files alone.

    `plan` is the sequence as the device would run it; `frames` yields the mirror levels (rows, columns), uint8,
    of each entry in display order, and raises `FileError` when it meets damage.
    """

    plan: SequencePlan
    frames: Iterator[NDArray[np.uint8]]


@dataclass(frozen=True)
class Exporter:
    """One file format: who takes it, how it is written, and a reader that shares no code with the writer.

    `write` puts the device files into an output and returns what the user should know; `read` needs nothing but them.
    `roles` says what its files are, `compressions` how its images can be coded where it leaves a choice.
    `streamed`: images are shown one after the other by a computer, so no table or memory of the device bounds them.
    `flash_bytes`: what the images of a design take in the flash of the device, where they are kept in one.

    A design of several sequences is written as so many folders: `write` and `read` see one sequence at a time.
    """

    name: str
    controllers: tuple[str, ...]
    plane_order: str
    roles: tuple[str, ...]
    write: Callable[[Job, DmdOutput], tuple[str, ...]]
    read: Callable[[Path], ReadBack]
    compressions: tuple[str, ...] = ()
    streamed: bool = False
    flash_bytes: Callable[[PatternStack, SequencePlan, Grid], int] | None = None

    def check_words(self, folder: Path, files: Mapping[str, FileRecord]) -> None:
        """Raise `FileError` when a manifest gives a file a role or a coding that this format does not have."""
        for name, record in files.items():
            for what, word, known in (
                ("a file of role", record.role, (*self.roles, *COMMON_ROLES)),
                ("coded as", record.compression, (None, *self.compressions)),
            ):
                if word not in known:
                    raise FileError(
                        f"{folder}: {MANIFEST_NAME} calls {name} {what} {word!r}; a {self.name} export has "
                        f"{', '.join(filter(None, known)) or 'none'}; export again"
                    )
