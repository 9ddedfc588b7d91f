"""The content of `reconstruction.json`: what every modality says of its images; each adds fields of its own."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from cidesign.calibration.verify import BenchCheck, NotLookedAt, Verdict, Verification
from cidesign.files import JsonObject
from cidesign.records import Finite, NotNegative, Strict

SCHEMA_VERSION = 2
RECORD_FILE = "reconstruction.json"
Count = Annotated[int, Field(ge=0, le=2**53)]
Line = Annotated[str, Field(max_length=4096)]


class Entry(Strict):
    """A part of a record; fields that were never set are left out of the file."""

    @model_serializer(mode="wrap")
    def _set_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {name: value for name, value in handler(self).items() if name in self.model_fields_set}


class CutOff(Entry):
    """Range of an image, and how many pixels a PNG cannot show: those below 0 and those above 1."""

    minimum: Finite
    maximum: Finite
    pixels_below_0: Count
    pixels_above_1: Count


class Disagreement(Entry):
    """The student less a classical baseline: `rms`, and the `largest` difference with its place."""

    rms: NotNegative
    row: Count
    column: Count
    largest: Finite
    baseline: Line | None = None
    wavelength_nm: Finite | None = None
    rms_over_posterior: NotNegative | None = None


class Uncertainty(Entry):
    """How much images scatter when readings are redrawn `draws` times, root mean square."""

    draws: Count
    student_rms: NotNegative | None = None
    lmmse_rms: NotNegative | None = None
    lmmse_posterior_rms: NotNegative | None = None


class ClassProbability(Strict):
    """A class, and how probable it is."""

    name: Line
    probability: Annotated[float, Field(ge=0, le=1)]


class ClassesEntry(Strict):
    """All classes, the most probable first, which `agreeing` of `draws` redraws of noise and calibration name too."""

    classes: list[ClassProbability]
    draws: Count
    agreeing: Count
    meaning: Line


@dataclass(frozen=True)
class Trust:
    """How far the student's images can be trusted, with the captions of the maps; the truth is known of simulations."""

    disagreement: Disagreement | None
    uncertainty: Uncertainty | None
    maps: dict[str, str]
    error_over_uncertainty: dict[str, float] | None = None

    @property
    def entries(self) -> dict[str, object]:
        """The fields of the record."""
        return {name: value for name, value in vars(self).items() if value is not None}


class ReconstructionRecord(Entry):
    """What every reconstruction says; `verdict` and what it rests on are absent where no calibration was used.

    `maps` and `pictures`: captions by the stems of their files.  `error_over_uncertainty` is known of simulations.
    """

    schema_version: Literal[2]
    kind: Literal["reconstruction"]
    modality: Line
    cidesign_version: Line
    created_utc: Line
    run: Line
    design_digest: Line
    capture: Line
    notes: list[Annotated[str, Field(max_length=4096)]]
    simulated: bool | None = None
    calibration: Line | None = None
    units: Line | None = None
    checks: list[BenchCheck] = Field(default_factory=list)
    verdict: Verdict | None = None
    not_looked_at: list[NotLookedAt] = Field(default_factory=list)
    maps: dict[str, Line] = Field(default_factory=dict)
    pictures: dict[str, Line] = Field(default_factory=dict)
    disagreement: Disagreement | None = None
    uncertainty: Uncertainty | None = None
    error_over_uncertainty: dict[str, NotNegative] | None = None
    classes: ClassesEntry | None = None

    @property
    def value(self) -> JsonObject:
        """The record as JSON: the fields that were set."""
        return self.model_dump(mode="json")


class VerifiedRecord(ReconstructionRecord):
    """Of a capture that one verification stands for: that of its calibration; the capture's own checks are `checks`."""

    verification: Verification
