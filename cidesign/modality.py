"""What a modality says of itself.  General code asks it, and knows none by name.

A modality is one folder below `cidesign/modalities/`, one below `calibration/`, and one line in `FOLDERS`.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from cidesign.errors import FileError, InputError
from cidesign.files import JsonObject

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from cidesign.calibration.base import AnyCalibration
    from cidesign.calibration.faults import FaultKinds
    from cidesign.calibration.plan import PlanStep
    from cidesign.calibration.written import Written
    from cidesign.checks import Check, FaultName, Limit
    from cidesign.data.image_sets import MeasuredSet
    from cidesign.data.source import TrainingImages
    from cidesign.distill.systems import SystemMaker
    from cidesign.export.own_design import OwnDesign
    from cidesign.frozen.session import FrozenDecoder
    from cidesign.hardware_profiles.schema import HardwareProfile
    from cidesign.models.optics import Optics
    from cidesign.pattern import Design
    from cidesign.physics.base import Encoder, ImagePrior
    from cidesign.physics.linear_bound import Bound
    from cidesign.physics.merit import Merit, NotEvaluated
    from cidesign.physics.operator_family import OperatorFamily
    from cidesign.reconstruct.outcome import Reconstruction
    from cidesign.reconstruct.pipeline import Reconstructor
    from cidesign.reconstruct.record import ReconstructionRecord
    from cidesign.reconstruct.student import Student
    from cidesign.report.parts import Part, Shown
    from cidesign.run_settings import TrainingSettings
    from cidesign.runs import Run
    from cidesign.verb_settings import VerbSettings

# name -> the package whose `MODALITY` it is; imported when it is asked for.
FOLDERS = {
    "single-pixel": "cidesign.modalities.single_pixel",
    "cassi": "cidesign.modalities.cassi",
    "lensless": "cidesign.modalities.lensless",
    "mri": "cidesign.modalities.mri",
    "mri-points": "cidesign.modalities.mri.points",
    "mri-shots": "cidesign.modalities.mri.shots",
}


@dataclass(frozen=True)
class Preset:
    """How large and how long a run trains; `channels` is the width of a decoder that has one.

    `others` are settings of the modality's own, by their fields.
    """

    side: int
    images: int
    validation_images: int
    batch: int
    channels: int
    teacher_epochs: int
    student_epochs: int
    others: Mapping[str, object] = field(default_factory=dict)


_RunT = TypeVar("_RunT")
_CaptureT = TypeVar("_CaptureT")
_CalibrationT = TypeVar("_CalibrationT")
_SimulateT = TypeVar("_SimulateT")
_CalibrateT = TypeVar("_CalibrateT")
_ReadT = TypeVar("_ReadT")


class Bench(ABC, Generic[_RunT, _CaptureT, _CalibrationT, _SimulateT, _CalibrateT, _ReadT]):
    """The bench verbs of a modality; what `--set`, bench files and keywords can give is in the settings' models."""

    simulate_settings: "type[_SimulateT]"
    calibrate_settings: "type[_CalibrateT]"
    # What of a capture is read, for a reconstruction.
    read_settings: "type[_ReadT]"
    # Captures that are no capture folders, by the name of their reader: they take no calibration.
    readers: "ClassVar[Mapping[str, Reader]]" = MappingProxyType({})
    # Why its decoders cannot be frozen together with an operator.
    not_frozen: ClassVar[str] = (
        "the linear estimate of this modality is made in steps, or with the coil maps of each scan, and not by one "
        "matrix that a file could hold"
    )
    # What its twin can do wrong.
    faults: "ClassVar[FaultKinds]"

    @abstractmethod
    def plan(self, run: _RunT) -> "list[PlanStep]":
        """What to capture, in which order and why."""

    def plan_files(self, run: _RunT, folder: Path, force: bool) -> bool:
        """Write what helps with the plan (a card to print); False where there is nothing of the kind."""
        return False

    @abstractmethod
    def simulate(
        self,
        run: _RunT,
        folder: Path,
        settings: _SimulateT,
        faults: "dict[FaultName, float]",
        scene: Path | None,
        seed: int,
        force: bool,
    ) -> "Written":
        """Write what the bench of a run would record of a scene; None: a procedural one, never a training image."""

    @abstractmethod
    def read_capture(self, path: Path, settings: "_ReadT | _CalibrateT") -> _CaptureT:
        """A capture of the bench; raises `FileError` for one that cannot be used."""

    @abstractmethod
    def calibrate(
        self, run: _RunT, capture: _CaptureT, folder: Path, settings: _CalibrateT, force: bool
    ) -> "tuple[_CalibrationT, Written]":
        """Calibrate and verify, and write a calibration folder; its place is that of the calibration."""

    def nominal_calibration(self, run: _RunT, capture: _CaptureT) -> "AnyCalibration":
        """The bench as designed, for a capture without a calibration: its verdict is `not verified`.

        Raises `InputError` where nothing can be taken for granted.
        """
        raise InputError(
            "calibration is missing: captures of this kind are not reconstructed without one; make one with `cidesign "
            "calibrate CAPTURE --run RUN --out CAL` and name it with --calibration CAL"
        )

    def calibrate_described(
        self, run: _RunT, file: Path, capture: _CaptureT | None, folder: Path, force: bool
    ) -> "tuple[_CalibrationT, Written]":
        """Write the calibration of an instrument that a file describes, held against a capture where there is one.

        Raises `InputError` where instruments are not described.
        """
        raise InputError(
            f"instrument {file}: benches of this kind are calibrated from captures, not described; leave it out"
        )

    @abstractmethod
    def read_calibration(self, folder: Path) -> _CalibrationT:
        """A stored calibration; raises `FileError` for one that is missing, damaged or of another modality."""

    @abstractmethod
    def reconstructor(self) -> "Reconstructor[Any, Any, Any, Any, Any]":
        """How a capture becomes images."""

    @abstractmethod
    def record_type(self, reader: str | None) -> "type[ReconstructionRecord]":
        """What `reconstruction.json` holds; `reader`: where the capture was no capture folder."""

    @abstractmethod
    def student(self, run: _RunT, calibration: _CalibrationT | None) -> "Student":
        """The student of a run, told the designed or a calibrated operator, for arrays and tensors."""

    def freeze(self, run: _RunT, calibration: _CalibrationT | None, path: Path) -> "FrozenDecoder":
        """Write the decoder of a run with the designed or a calibrated operator frozen in, as ONNX.

        Raises `InputError` where that cannot be.
        """
        raise InputError(f"--decoder onnx: {self.not_frozen}; reconstruct with the run")


class Reader(NamedTuple):
    """How captures of another kind become images: the settings of the reader, and the function.

    It is given the run, the capture and the settings; None for the run where nobody names one and none is needed.
    """

    settings: "type[VerbSettings]"
    reconstruct: "Callable[[Any, Path, Any], Reconstruction]"
    needs_run: bool = True


class Classical(NamedTuple):
    """A reconstruction without training: its name in records, its title for people, and how it is made.

    `reconstruct` makes images (B, C, H, W) of measurements, the encoder that they are of, and the statistics of the
    training images.
    """

    name: str
    title: str
    reconstruct: "Callable[[Tensor, Encoder, ImagePrior], Tensor]"


class Modality(ABC):
    """One kind of measurement: its settings, optics, images, fixed designs, bench and report."""

    name: ClassVar[str]
    settings_type: "ClassVar[type[TrainingSettings]]"
    profile_type: "ClassVar[type[HardwareProfile]]"
    design_type: "ClassVar[type[Design]]"
    # Words of the setting `sampling` that are this modality's; none where its profiles leave no choice.
    samplings: ClassVar[tuple[str, ...]] = ()
    # The run as one of this modality, with settings, profile and design of these types.
    run_type: "ClassVar[type[Run]]"
    presets: ClassVar[dict[str, Preset]]
    # Pixels along a side of what can be designed.
    largest_side: ClassVar[int] = 512
    # Shorter names of settings, which the command line has as options -> the fields.
    words: ClassVar[Mapping[str, str]] = {}
    # Names that stand for no field, but that `settings` derives fields from.
    derived: ClassVar[frozenset[str]] = frozenset()
    # What the quality figures are figures of: `PSNR of the magnitude`.
    quality: ClassVar[str] = ""
    # How this modality's own metrics of images and optics are called in a table.
    headings: ClassVar[Mapping[str, str]] = {}
    # What each metric of the optics means, and which way is better; in the order of the table.
    explanations: ClassVar[Mapping[str, str]] = {}
    # Whether images of one draw are independent; crops of one canvas are alike.
    independent_draws: ClassVar[bool] = False
    # Fine-tuning shows this share of the images that teacher and student were shown together, repetitions counted.
    fine_tuning_share: ClassVar[float] = 0.08
    # Whether the classes of a user's images are read with them.
    has_classes: ClassVar[bool] = False
    # What one scene of a user's data is called.
    scene_word: ClassVar[str]
    # What the procedural images show, for people.
    procedural_kind: ClassVar[str]

    @abstractmethod
    def settings(
        self, values: dict[str, object], profile: "HardwareProfile", typed: Mapping[str, str]
    ) -> "TrainingSettings":
        """All settings of a run, from those that are given or preset; the modality derives the others.

        `typed` maps fields to the names that the user gave them.  Raises `InputError` or `LimitError` for what cannot
        be trained for the profile.
        """

    @abstractmethod
    def settings_of(self, design: "Design") -> dict[str, Any]:
        """The settings that follow from a design that is given, by their fields.

        Raises `InputError` for a design that nothing can be reconstructed with.
        """

    @abstractmethod
    def described(self, settings: "TrainingSettings", profile: "HardwareProfile") -> str:
        """What is designed, in half a line."""

    def measurement(self, run: "Run") -> tuple[JsonObject, list[str]]:
        """How long the device takes for one measurement: values for --json, and lines; nothing where it is unknown."""
        return {}, []

    def export_settings(self, run: "Run") -> Mapping[str, object]:
        """Options of the export of the run's design that its settings give, by their names in the device family."""
        return {}

    def broken_requests(self, run: "Run") -> "list[Check]":
        """Where the design is not what the run asked for, beside the limits of its device."""
        return []

    def scanned_design(
        self, files: "Sequence[Path]", profile: "HardwareProfile", settings: Mapping[str, Any]
    ) -> "OwnDesign | None":
        """The design that a capture of somebody's was made with; None where the files hold none that says it."""
        return None

    def limits(self, run: "Run") -> "list[Limit]":
        """How near the design comes to what its device, or the run, allows; what matters most to people first."""
        return []

    @abstractmethod
    def optics(self, settings: "TrainingSettings", profile: "HardwareProfile") -> "Optics":
        """The optics of a run, for any relaxation."""

    @abstractmethod
    def teachers(self, settings: "TrainingSettings") -> "Sequence[str]":
        """The few relaxations, words of the ladder, that are worth trying as the only teacher; one at least."""

    @abstractmethod
    def procedural_images(
        self, settings: "TrainingSettings", profile: "HardwareProfile", count: int, seed: int
    ) -> "NDArray[Any]":
        """`count` images (count, C, n, n), stored as in `TrainingImages`."""

    @abstractmethod
    def images(self, settings: "TrainingSettings", profile: "HardwareProfile") -> "TrainingImages":
        """The images below `settings.data`; raises `FileError` where there are none that can be used."""

    @abstractmethod
    def measured_images(
        self, settings: "TrainingSettings", profile: "HardwareProfile", path: Path, trained: frozenset[str]
    ) -> "MeasuredSet":
        """All images at or below `path`, to measure systems on, less those whose digests are in `trained`."""

    @abstractmethod
    def fixed_designs(self, maker: "SystemMaker", profile: "HardwareProfile") -> "dict[str, Design]":
        """The designs that are not learnt, each feasible for the profile, by name."""

    @abstractmethod
    def optics_metrics(self, encoder: "Encoder", images: "Tensor") -> "dict[str, Merit]":
        """What can be said of the optics, or of what they do to stored images (M, C, H, W); see `explanations`."""

    @abstractmethod
    def linear_bound(self, encoder: "Encoder", prior: "ImagePrior") -> "Bound | NotEvaluated":
        """The least expected error of a linear estimate for images of a prior, with the noise of the encoder."""

    def compared(self, images: "Tensor") -> "Tensor":
        """What quality is measured on: all channels, or the magnitude of complex images."""
        return images

    def image_metrics(self, x_hat: "Tensor", x: "Tensor") -> "dict[str, Tensor]":
        """Metrics beside PSNR, SSIM and the error of fine detail, each (B,)."""
        return {}

    def classical(self) -> "Sequence[Classical]":
        """Reconstructions that need no training, beside the best linear estimate: what networks are held against."""
        return ()

    @abstractmethod
    def bench(self) -> "Bench[Any, Any, Any, Any, Any, Any]":
        """The bench verbs."""

    def reconstruct_frozen(
        self, decoder: "FrozenDecoder", capture: Any, calibration: Path | None, accept_failed: bool
    ) -> "Reconstruction":
        """The images of a capture, a path or an object, with a decoder that knows its operator; without torch."""
        raise FileError(f"{decoder.path}: decoders of {self.name} runs are not frozen; export it again")

    @abstractmethod
    def operator_family(self, run: "Run", folder: Path, device: str) -> "OperatorFamily":
        """The operators that a calibration folder leaves open, on a device; raises `FileError` for another's folder."""

    @abstractmethod
    def report_part(self, run: "Run", shown: "Shown") -> "Part":
        """What the report says of a run of this modality."""


@cache
def modality(name: str) -> Modality:
    """The modality of a name; raises `FileError` for one that is not known (a record of a newer version)."""
    if name not in FOLDERS:
        raise FileError(f"modality {name!r} is not known to this version of cidesign; known are {', '.join(FOLDERS)}")
    found: Modality = importlib.import_module(FOLDERS[name]).MODALITY
    return found


def modalities() -> Sequence[Modality]:
    """All modalities, in the order of the table."""
    return [modality(name) for name in FOLDERS]


def modality_of_reader(reader: str) -> Modality | None:
    """The modality whose reader of this name needs no run; None where there is none."""
    readers = ((one, one.bench().readers.get(reader)) for one in modalities())
    return next((one for one, found in readers if found is not None and not found.needs_run), None)


def modality_for(profile: "HardwareProfile", sampling: object = None, design: "type[Design] | None" = None) -> Modality:
    """The modality that a profile is for; where it is for several, that of a sampling or of a type of design.

    Without either it is the first.  Raises `InputError` for a sampling that there is not.
    """
    fitting = [one for one in modalities() if isinstance(profile, one.profile_type)]
    words = [word for one in fitting for word in one.samplings]
    if design is not None:
        fitting = [one for one in fitting if issubclass(design, one.design_type)]
    if not fitting:
        raise InputError(f"{profile.id}: nothing here is designed for profiles of kind {profile.kind}")
    if sampling is None or not words:
        return fitting[0]
    found = next((one for one in fitting if sampling in one.samplings), None)
    if found is None:
        known = [word for one in fitting for word in one.samplings]
        which = "" if design is None else " and this design"
        raise InputError(f"sampling {sampling}: not known for {profile.id}{which}; use {', '.join(known)}")
    return found
