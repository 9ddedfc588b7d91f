"""A design of several sequences on disk: a folder for each below the export, written and read like a whole one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import joined
from cidesign.errors import FileError
from cidesign.export.dmd.base import DmdOutput, Exporter, Job, ReadBack
from cidesign.export.dmd.manifest import FileRecord
from cidesign.pattern import PatternStack


def sequence_folder(number: int) -> str:
    """The folder of sequence `number`, 1 the first."""
    return f"sequence_{number}"


def write_sequences(exporter: Exporter, job: Job, out: DmdOutput) -> tuple[str, ...]:
    """Write the device files of all sequences; returns what the user should know."""
    if len(job.plan.starts) == 1:
        return exporter.write(job, out)
    notes: dict[str, None] = {}
    for number, part in enumerate(_jobs(job), start=1):
        name = sequence_folder(number)
        (out.folder / name).mkdir()
        inner = DmdOutput(out.folder / name, FileRecord)
        notes |= dict.fromkeys(exporter.write(part, inner))
        for file, record in inner.files.items():
            out.files[f"{name}/{file}"] = record.model_copy(update={"sequence": number})
    return tuple(notes)


def read_sequences(exporter: Exporter, folder: Path, sequences: int) -> ReadBack:
    """Read the device files of so many sequences, each from its own folder; one lies in `folder` itself."""
    if sequences == 1:
        return exporter.read(folder)
    found = [exporter.read(folder / sequence_folder(number)) for number in range(1, sequences + 1)]
    first = found[0].plan
    for number, one in enumerate(found, start=1):
        if (one.plan.bit_depth, one.plan.mode) != (first.bit_depth, first.mode):
            raise FileError(
                f"{folder}: sequence {number} is of {one.plan.bit_depth} bit in mode {one.plan.mode}, the first of "
                f"{first.bit_depth} bit in mode {first.mode}; export again"
            )
    return ReadBack(joined([one.plan for one in found]), _frames(found))


def _frames(found: list[ReadBack]) -> Iterator[NDArray[np.uint8]]:
    for one in found:
        yield from one.frames


def _jobs(job: Job) -> Iterator[Job]:
    """Each sequence as a design of its own, whose patterns are what is shown."""
    design, frames, first = job.pattern, job.pattern.frames(), 0
    for part in job.plan.sequences:
        shown = design.shown(frames[first : first + len(part.entries)])
        first += len(part.entries)
        pattern = PatternStack(
            shown,
            design.bit_depth,
            "as-shown",
            design.profile_id,
            design.profile_digest,
            placement=design.placement,
        )
        yield replace(job, pattern=pattern, plan=part)
