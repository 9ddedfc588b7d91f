"""From a capture and a calibration to images: one way for all modalities, each of which supplies two steps of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from cidesign.calibration.base import AnyCalibration, Recorded
from cidesign.calibration.verify import Judgement, Verification, require_passed
from cidesign.checks import Check, Status
from cidesign.errors import InputError
from cidesign.models.system import ImagingSystem
from cidesign.reconstruct.classify import Told, classes_of
from cidesign.reconstruct.fine_tuned import load_decoder_for
from cidesign.reconstruct.gate import Gate, common_entries
from cidesign.reconstruct.outcome import Leaf, Reconstruction
from cidesign.reconstruct.record import ReconstructionRecord
from cidesign.runs import Run

_RunT = TypeVar("_RunT", bound=Run)
_CaptureT = TypeVar("_CaptureT", bound=Recorded)
_CalibrationT = TypeVar("_CalibrationT", bound=AnyCalibration)
_MeasuredT = TypeVar("_MeasuredT")
_SolvedT = TypeVar("_SolvedT")


@dataclass(frozen=True)
class Scene(Generic[_RunT, _CaptureT, _CalibrationT, _MeasuredT]):
    """What is reconstructed: a capture that the calibration accepts, and what was measured of it."""

    run: _RunT
    capture: _CaptureT
    calibration: _CalibrationT
    measured: _MeasuredT
    verification: Verification


@dataclass(frozen=True)
class Findings:
    """What a modality says of its images: files, a table, and the fields that its record adds to the common ones."""

    leaves: Sequence[Leaf]
    heading: str
    rows: list[tuple[str, ...]]
    header: tuple[str, ...]
    entries: Mapping[str, object]
    notes: list[str]
    pictures: Mapping[str, Callable[[], bytes]]
    map_leaves: Sequence[Leaf] = field(default_factory=list)


class Reconstructor(ABC, Generic[_RunT, _CaptureT, _CalibrationT, _MeasuredT, _SolvedT]):
    """The two steps that differ between modalities."""

    record: ClassVar[type[ReconstructionRecord]]
    # Checks of these statuses are remarked on, beside warnings and failures.
    remarked: ClassVar[tuple[Status, ...]] = ()

    @abstractmethod
    def solve(
        self, scene: Scene[_RunT, _CaptureT, _CalibrationT, _MeasuredT], system: ImagingSystem
    ) -> tuple[_SolvedT, list[Check]]:
        """The images, and what they themselves show to be wrong."""

    @abstractmethod
    def diagnose(
        self, scene: Scene[_RunT, _CaptureT, _CalibrationT, _MeasuredT], system: ImagingSystem, solved: _SolvedT
    ) -> Findings:
        """How far the images can be trusted."""

    def told(self, scene: Scene[_RunT, _CaptureT, _CalibrationT, _MeasuredT], solved: _SolvedT) -> Told:
        """What a decoder of classes is told of a capture; raises `InputError` where there is none."""
        raise InputError(f"{scene.run.path}: captures of {scene.run.settings.modality} runs are not classified")

    def images(self, run: Run, capture: Any, calibration: Any, accept_failed: bool = False) -> Reconstruction:
        """Images of a capture, see `reconstruct`; where captures hold several scenes, those of all of them."""
        return reconstruct(self, run, capture, calibration, accept_failed)


def reconstruct(
    steps: Reconstructor[Any, Any, Any, Any, Any],
    run: Run,
    capture: Recorded,
    calibration: AnyCalibration,
    accept_failed: bool = False,
) -> Reconstruction:
    """Reconstruct a capture with the student of a run and with baselines.

    Raises `FileError` for a capture or a calibration that does not fit the run, and `LimitError` for a calibration that
    failed its verification, or that the capture contradicts, unless `accept_failed`.
    """
    gate = Gate(steps.remarked, capture, accept_failed)
    accepted = require_passed(calibration.path, calibration.verification, accept_failed)
    examined = calibration.examine(capture, run.design)
    gate.notes += [*examined.notes, *accepted]
    gate.require(examined.verification.checks)
    measured, checks = examined.measure()
    gate.require(checks)
    system, remarks = load_decoder_for(run, calibration.path)
    scene = Scene(run, capture, calibration, measured, examined.verification)
    solved, checks = steps.solve(scene, system)
    gate.require(checks)
    found = steps.diagnose(scene, system, solved)
    notes, entries = list(found.notes), dict(found.entries)
    if system.decoder.predicts == "classes":
        named = classes_of(run, system, steps.told(scene, solved)).entry
        notes, entries = [named.meaning, *notes], entries | {"classes": named}
    verification = examined.verification.model_copy(update={"checks": gate.checks})
    judgement = Judgement(calibration.verification, verification, examined.same)
    record = steps.record.model_validate(
        {
            **common_entries(run, str(capture.path), [*gate.notes, *remarks, *calibration.notes, *notes]),
            "calibration": str(calibration.path),
            "verification": calibration.verification,
            "checks": gate.checks,
            **judgement.entry,
            **entries,
        }
    )
    return Reconstruction(
        leaves=found.leaves,
        record=record,
        heading=found.heading,
        rows=found.rows,
        header=found.header,
        pictures=found.pictures,
        judgement=judgement,
        map_leaves=found.map_leaves,
    )
