"""What a modality says of itself.  General code asks it, and knows none by name.

A modality is one folder below `cidesign/modalities/`, one below `calibration/`, and one line in `FOLDERS`.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cidesign.errors import FileError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from cidesign.calibration.plan import PlanStep
    from cidesign.calibration.verify import Verification
    from cidesign.constraints.rules import Violation
    from cidesign.data.image_sets import MeasuredSet
    from cidesign.data.source import TrainingImages
    from cidesign.distill.job import SystemMaker
    from cidesign.hardware_profiles.schema import HardwareProfile
    from cidesign.models.optics import Optics
    from cidesign.pattern import Design
    from cidesign.physics.base import Encoder
    from cidesign.physics.operator_family import OperatorFamily
    from cidesign.report.parts import Part, Shown
    from cidesign.run_settings import TrainingSettings
    from cidesign.runs import Run

# name -> the package whose `MODALITY` it is; imported when it is asked for.
FOLDERS = {
    "single-pixel": "cidesign.modalities.single_pixel",
    "cassi": "cidesign.modalities.cassi",
    "mri": "cidesign.modalities.mri",
}


@dataclass(frozen=True)
class Preset:
    """How large and how long a run trains; `channels` is the width of a decoder that has one."""

    side: int
    images: int
    validation_images: int
    batch: int
    channels: int
    teacher_epochs: int
    student_epochs: int


class Bench(NamedTuple):
    """The bench verbs: functions whose keyword arguments are what `--set` can give."""

    plan: "Callable[..., list[PlanStep]]"
    simulate: Callable[..., tuple[dict[str, Any], str]]
    calibrate: "Callable[..., tuple[dict[str, Any], str, Verification, Path]]"
    reconstruct: Callable[..., tuple[dict[str, Any], str]]
    # Files that help with the plan (a card to print); None where there are none.
    plan_files: Callable[..., None] | None = None


class Modality(ABC):
    """One kind of measurement: its settings, optics, images, fixed designs, bench and report."""

    name: ClassVar[str]
    settings_type: "ClassVar[type[TrainingSettings]]"
    profile_type: "ClassVar[type[HardwareProfile]]"
    design_type: "ClassVar[type[Design]]"
    # The run as one of this modality, with settings, profile and design of these types.
    run_type: "ClassVar[type[Run]]"
    presets: ClassVar[dict[str, Preset]]
    # Shorter names of settings, which the command line has as options -> the fields.
    words: ClassVar[Mapping[str, str]] = {}
    # Names that stand for no field, but that `settings` derives fields from.
    derived: ClassVar[frozenset[str]] = frozenset()
    # What the quality figures are figures of: `PSNR of the magnitude`.
    quality: ClassVar[str] = ""
    # How this modality's own metrics of images and optics are called in a table.
    headings: ClassVar[Mapping[str, str]] = {}
    # Whether images of one draw are independent; crops of one canvas are alike.
    independent_draws: ClassVar[bool] = False
    # Fine-tuning shows this share of the images that teacher and student were shown together, repetitions counted.
    fine_tuning_share: ClassVar[float] = 0.08
    # What one scene of a user's data is called.
    scene_word: ClassVar[str]
    # What the procedural images show, for people.
    procedural_kind: ClassVar[str]

    @abstractmethod
    def settings(
        self, values: dict[str, Any], profile: "HardwareProfile", typed: Mapping[str, str]
    ) -> "TrainingSettings":
        """All settings of a run, from those that are given or preset; the modality derives the others.

        `typed` maps fields to the names that the user gave them.  Raises `InputError` or `LimitError` for what cannot
        be trained for the profile.
        """

    @abstractmethod
    def described(self, settings: "TrainingSettings", profile: "HardwareProfile") -> str:
        """What is designed, in half a line."""

    def measurement(self, run: "Run") -> tuple[dict[str, Any], list[str]]:
        """How long the device takes for one measurement: values for --json, and lines; nothing where it is unknown."""
        return {}, []

    def export_settings(self, run: "Run") -> dict[str, Any]:
        """Options of the export of the run's design that its settings give, by their names in the device family."""
        return {}

    def broken_requests(self, run: "Run") -> "list[Violation]":
        """Where the design is not what the run asked for, beside the limits of its device."""
        return []

    @abstractmethod
    def optics(self, settings: "TrainingSettings", profile: "HardwareProfile") -> "Optics":
        """The optics of a run, for any relaxation."""

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
    def optics_metrics(self, encoder: "Encoder") -> dict[str, float]:
        """What can be said of the optics alone."""

    def compared(self, images: "Tensor") -> "Tensor":
        """What quality is measured on: all channels, or the magnitude of complex images."""
        return images

    def image_metrics(self, x_hat: "Tensor", x: "Tensor") -> "dict[str, Tensor]":
        """Metrics beside PSNR, SSIM and the error of fine detail, each (B,)."""
        return {}

    @abstractmethod
    def bench(self) -> Bench:
        """The bench verbs."""

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


def modality_for(profile: "HardwareProfile") -> Modality:
    """The modality that a profile is for."""
    return next(one for one in modalities() if isinstance(profile, one.profile_type))
