"""The calibration folder of several slices: one for each, `slice_000` and so on, and what they say together."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copyfile, move
from typing import Annotated, Any, Literal, NoReturn

import numpy as np
from pydantic import Field

from cidesign import progress
from cidesign.calibration.base import Calibration, Examined, LinearOperator
from cidesign.calibration.folder import CommonRecord, read_record, replacing_calibration, write_record
from cidesign.calibration.mri.capture import SliceNumber, slice_folder
from cidesign.calibration.mri.kspace import Samples, listed
from cidesign.calibration.mri.record import (
    KspaceCalibrationRecord,
    StoredKspaceCalibration,
    read_kspace_calibration,
)
from cidesign.calibration.mri.slices import KspaceSlices
from cidesign.calibration.mri.stored import PREVIEW_FILE
from cidesign.calibration.verify import Verification
from cidesign.checks import Check, Status
from cidesign.errors import FileError, InputError
from cidesign.pattern import CartesianLines

# The worst first: what a stack is worth is what its worst slice is.
WORST_FIRST: tuple[Status, ...] = ("failed", "warning", "corrected", "not checked", "passed")


class KspaceStackCalibrationRecord(CommonRecord):
    """The content of `calibration.json` of several slices, in the order in which they lie."""

    schema_version: Literal[2]
    kind: Literal["calibration"]
    modality: Literal["mri"]
    slices: Annotated[tuple[SliceNumber, ...], Field(min_length=1)]
    matrix_lines: Annotated[int, Field(ge=1, le=100_000)]
    readout_samples: Annotated[int, Field(ge=1, le=100_000)]


@dataclass(frozen=True)
class StoredKspaceSlices(Calibration[KspaceStackCalibrationRecord, KspaceSlices, CartesianLines, Samples]):
    """Calibrations of slices; `read` gives that of one of them."""

    read: Callable[[int], StoredKspaceCalibration] = field(kw_only=True, repr=False)

    def one(self, number: int | None) -> StoredKspaceCalibration:
        """That of a slice; raises `FileError` where it was not calibrated."""
        if number not in self.record.slices:
            there = listed(list(self.record.slices))
            which = (
                "the capture does not say which slice it is" if number is None else f"slice {number} is none of them"
            )
            raise FileError(f"{self.path}: slices {there} were calibrated, {which}; calibrate with this capture")
        return self.read(number)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said of each slice is said with it."""
        return ()

    @property
    def size(self) -> tuple[int, ...]:
        """Lines and samples (N, n) of the calibrated matrix."""
        return self.record.matrix_lines, self.record.readout_samples

    def size_of(self, design: CartesianLines) -> tuple[int, ...]:
        """Lines and samples (N, n) of the design's matrix."""
        return design.lines, design.readout

    def examine(self, capture: KspaceSlices, design: CartesianLines) -> Examined[Samples]:
        """Raises `InputError`: each slice is held against its own calibration."""
        self.choose_one()

    def operator_for(self, design: CartesianLines) -> LinearOperator:
        """Raises `InputError`: each slice has an operator of its own."""
        self.choose_one()

    def choose_one(self) -> NoReturn:
        """Raises `InputError` that names the folder of a slice."""
        raise InputError(
            f"{self.path}: holds the calibrations of slices {listed(list(self.record.slices))}; open that of one, "
            f"{slice_folder(self.path, self.record.slices[0])}"
        )


def read_stack_calibration(folder: Path) -> StoredKspaceSlices:
    """Read a calibration folder of several slices; raises `FileError` as `read_kspace_calibration` does."""
    record, _ = read_record(folder, KspaceStackCalibrationRecord, "mri")
    return StoredKspaceSlices(folder, record, read=lambda number: read_kspace_calibration(slice_folder(folder, number)))


def write_stack_calibration(
    folder: Path, numbers: Sequence[int], calibrate: Callable[[int, Path], StoredKspaceCalibration], force: bool
) -> StoredKspaceSlices:
    """Calibrate slices into folders of their own, and write them as one in one step.

    `calibrate(number, folder)` writes that of a slice.  One that failed never replaces another.
    """
    found: dict[int, StoredKspaceCalibration] = {}
    with tempfile.TemporaryDirectory() as name:
        apart = Path(name)
        for number in progress.steps("slices", numbers):
            found[number] = calibrate(number, slice_folder(apart, number))
        together = merged({number: one.verification for number, one in found.items()})
        first = next(iter(found.values())).record
        with replacing_calibration(folder, together, force) as (temporary, place):
            for number in found:
                move(slice_folder(apart, number), slice_folder(temporary, number))
            middle = list(found)[len(found) // 2]
            copyfile(slice_folder(temporary, middle) / PREVIEW_FILE, temporary / PREVIEW_FILE)
            record = write_record(
                temporary,
                KspaceStackCalibrationRecord,
                {"slices": np.array(list(found))},
                **_common(first),
                notes=(f"slices {listed(list(found))}, each calibrated by itself",),
                verification=together,
                slices=tuple(found),
            )
    held = {number: replace(one, path=slice_folder(place, number)) for number, one in found.items()}
    return StoredKspaceSlices(place, record, read=held.__getitem__)


def _common(record: KspaceCalibrationRecord) -> dict[str, Any]:
    names = (
        "modality", "created_utc", "capture", "capture_utc", "design_digest", "profile_digest", "exposure_us", "bench",
        "matrix_lines", "readout_samples",
    )  # fmt: skip
    return {name: getattr(record, name) for name in names}


def merged(found: Mapping[int, Verification]) -> Verification:
    """What slices say together: of each check the worst, with the slices that it is of, and the worst score."""
    names = dict.fromkeys(check.name for one in found.values() for check in one.checks)
    scores = [one.score for one in found.values() if one.score is not None]
    meaning = next(one.score_meaning for one in found.values() if one.score is not None or not scores)
    checks = [_worst(name, found) for name in names]
    return Verification(score=max(scores) if scores else None, score_meaning=meaning, checks=checks)


def _worst(name: str, found: Mapping[int, Verification]) -> Check:
    of_slices = {number: check for number, one in found.items() for check in one.checks if check.name == name}
    status = min((check.status for check in of_slices.values()), key=WORST_FIRST.index)
    alike = {number: check for number, check in of_slices.items() if check.status == status}
    number = max(alike, key=lambda one: _badness(alike[one]))
    everywhere = len(alike) == len(found)
    where = f"all {len(found)} slices" if everywhere else f"slice{'s' * (len(alike) > 1)} {listed(list(alike))}"
    texts = {check.text for check in alike.values()}
    said = f"; of slice {number}" if len(texts) > 1 else ""
    return alike[number].model_copy(update={"text": f"{where}{said}: {alike[number].text}"[:1000]})


def _badness(check: Check) -> float:
    """How bad a check is beside others of its name and status: large values are, or small ones of what must be large.

    A value that passed above its limit, or did not pass below it, is of a quantity that must be large.
    """
    if not isinstance(check.value, int | float):
        return 0.0
    size = abs(check.value)
    least = isinstance(check.limit, int | float) and (check.status == "passed") == (size > abs(check.limit))
    return -size if least else size
