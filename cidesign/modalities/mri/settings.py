"""What an MRI scan adds to the settings of a run, and its defaults."""

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cidesign.calibration.mri.coils import places_of_kernel
from cidesign.calibration.mri.virtual_coils import FEW_COILS
from cidesign.constraints.kspace import Budget, LineBudget, count_for
from cidesign.errors import InputError
from cidesign.run_settings import (
    Ladder,
    Name,
    PositiveFloat,
    PositiveInt,
    Side,
    TrainingSettings,
    shown_value,
    validated,
    whole,
)

ACCELERATION = 4.0
# A sixteenth of the matrix, as in the fixed designs of the field (8 % at R = 4 and 4 % at R = 8).
ACS_FRACTION = 1 / 16


Coils = Annotated[int, Field(ge=1, le=64)]
Echo = Literal["any", "gradient", "spin"]


class ScanSettings(TrainingSettings):
    """What all scans have in common.

    `noise` is the standard deviation of real and imaginary part of a sample of orthonormal k-space, for images
    whose largest magnitude is 1.  `coils` is 1, or the number of simulated receive coils, and `virtual_coils` how many
    orthonormal combinations of them are trained with (None: the coils themselves).

    `echo` says what phase images have that come without one, the procedural ones among them: a smooth one (`spin`),
    that of the field of air too (`gradient`), or half of them each (`any`).  Procedural gradient echoes have less
    contrast too.
    """

    # Images are complex.
    decoder: Name = "phase-unet"
    # Nothing is searched for here.
    optics_start: Literal["designed", "random"] = "designed"
    coils: Coils = 1
    virtual_coils: Coils | None = None
    # 1 % of the brightest pixel, a good clinical scan; the noise of one-channel phantom scans is 2.5 %.
    noise: PositiveFloat = 0.01
    # What a generic protocol exports is a gradient echo, and lines for smooth phase lose where the phase is not
    # (docs/mri.md).
    echo: Echo = "gradient"

    @property
    def matrix(self) -> tuple[int, int]:
        """Height and width of an image, in pixels."""
        return self.side, self.side

    @model_validator(mode="after")
    def _check_coils(self) -> Self:
        if self.virtual_coils is not None and self.virtual_coils > self.coils:
            raise ValueError(
                f"virtual_coils {self.virtual_coils}: {self.coils} coils have no more combinations than that"
            )
        return self

    def with_few_coils(self) -> Self:
        """These settings with virtual coils in the place of many, where nothing is said of them."""
        if self.virtual_coils is not None or self.coils <= FEW_COILS:
            return self
        from cidesign.modalities.mri.data.phantoms import virtual_maps

        return self.changed(virtual_coils=len(virtual_maps(self.coils, self.matrix, None)[0]))


class CartesianSettings(ScanSettings):
    """A scan that measures `acquired` of all lines, or points, of its matrix."""

    acquired: PositiveInt

    @property
    @abstractmethod
    def budget(self) -> Budget:
        """The rule that its lines or points keep; raises `LimitError` for one that none can."""

    @property
    @abstractmethod
    def samples(self) -> int:
        """Of a readout, without oversampling."""


class MriSettings(CartesianSettings):
    """A 2-D Cartesian scan: `acquired` of `side` phase-encode lines, `acs_lines` of them the fixed centre.

    A line has `readout` samples without oversampling (None: `side`, a square matrix); the field of view is square.
    """

    renamed = MappingProxyType({"calibration": "acs_lines"})
    added_later = TrainingSettings.added_later | {"sampling", "readout", "virtual_coils", "echo"}
    sizes = ("side", "coils", "batch", "images")

    modality: Literal["mri"] = "mri"
    sampling: Literal["lines"] = "lines"
    ladder: Ladder = ("R2",)
    readout: Side | None = None
    acs_lines: Annotated[int, Field(ge=0, le=1024)]

    @classmethod
    def from_record(cls, stored: Mapping[str, Any]) -> Self:
        """The settings in a run's record; records without `echo` are of a time when all phase was smooth."""
        return super().from_record({"echo": "spin", **stored})

    @property
    def matrix(self) -> tuple[int, int]:
        """Lines, and samples of a line."""
        return self.side, self.side if self.readout is None else self.readout

    @property
    def samples(self) -> int:
        """Of a line."""
        return self.matrix[1]

    @property
    def budget(self) -> LineBudget:
        """Exactly so many lines, the calibration lines among them."""
        return LineBudget(self.side, self.acquired, self.acs_lines)

    @model_validator(mode="after")
    def _check_lines(self) -> Self:
        LineBudget(self.side, self.acquired, self.acs_lines)
        if self.coils > self.most_coils:
            limit = "side" if self.most_coils == self.side else "acs_lines"
            raise ValueError(
                f"coils {self.coils}: the samples of this scan tell at most {self.most_coils} coils apart ({self.side} "
                f"lines, {self.acquired} of them acquired, {self.acs_lines} calibration lines of {self.matrix[1]} "
                f"samples); lower coils to {self.most_coils}, or raise {limit}"
            )
        return self

    @property
    def most_coils(self) -> int:
        """Coils that the lines can tell apart: one for each, and for each place of a kernel in lines that map coils."""
        places = places_of_kernel(self.acs_lines, self.matrix[1])
        return self.side if places is None else min(self.side, places)


def settings_for(values: dict[str, object], typed: Mapping[str, str]) -> MriSettings:
    """All settings; raises `InputError` or `LimitError` for a budget of lines that cannot be."""
    side = whole(values, "side")
    acceleration = acceleration_of(values, typed, side)
    if acceleration is not None:
        values["acquired"] = count_for(side, acceleration)
    values.setdefault("acs_lines", round(side * ACS_FRACTION))
    acquired = values["acquired"]
    if isinstance(acquired, int) and 2 * acquired > side:  # a teacher of half of the lines would have fewer
        values.setdefault("ladder", ("R1",))
    return validated(MriSettings, values, typed).with_few_coils()


def acceleration_of(
    values: dict[str, object], typed: Mapping[str, str], choices: int, what: str = "lines"
) -> float | None:
    """R as it was asked for, or by default, and taken out of the values; None where `acquired` is among them.

    Raises `InputError` for both, and for what is no number or not possible with so many lines or points.
    """
    asked = values.pop("acceleration", None)
    if "acquired" in values:
        if asked is None:
            return None
        raise InputError(f"{typed.get('acquired', 'acquired')} and acceleration: give one of them; the other follows")
    found = ACCELERATION if asked is None else asked
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 1 <= found <= choices:
        raise InputError(f"acceleration {shown_value(found)}: between 1 and {choices} for {choices} {what}")
    return float(found)


def acceleration_word(choices: int, acquired: int) -> str:
    """The shortest `R2` or `R1.5` that stands for so many of the lines or points, rounded."""
    words = (f"{choices / acquired:.{digits}g}" for digits in range(1, 17))
    return f"R{next(word for word in words if round(choices / float(word)) == acquired)}"
