"""What an MRI scan adds to the settings of a run, and its defaults."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cidesign.calibration.mri.coils import places_of_kernel
from cidesign.calibration.mri.virtual_coils import FEW_COILS
from cidesign.constraints.kspace import LineBudget, lines_for
from cidesign.errors import InputError
from cidesign.run_settings import (
    Ladder,
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


class MriSettings(TrainingSettings):
    """A 2-D Cartesian scan: `acquired` of `side` phase-encode lines, `acs_lines` of them the fixed centre.

    A line has `readout` samples without oversampling (None: `side`, a square matrix); the field of view is square.
    `noise` is the standard deviation of real and imaginary part of a sample of orthonormal k-space, for images
    whose largest magnitude is 1.  `coils` is 1, or the number of simulated receive coils, and `virtual_coils` how many
    orthonormal combinations of them are trained with (None: the coils themselves).

    `echo` says what phase images have that come without one, the procedural ones among them: a smooth one (`spin`),
    that of the field of air too (`gradient`), or half of them each (`any`).  Procedural gradient echoes have less
    contrast too.
    """

    renamed = MappingProxyType({"calibration": "acs_lines"})
    added_later = TrainingSettings.added_later | {"sampling", "readout", "virtual_coils", "echo"}
    sizes = ("side", "coils", "batch", "images")

    modality: Literal["mri"] = "mri"
    sampling: Literal["lines"] = "lines"
    # Nothing is searched for here.
    optics_start: Literal["designed", "random"] = "designed"
    ladder: Ladder = ("R2",)
    acquired: PositiveInt
    readout: Side | None = None
    acs_lines: Annotated[int, Field(ge=0, le=1024)]
    coils: Coils = 1
    virtual_coils: Coils | None = None
    # 1 % of the brightest pixel, a good clinical scan; the noise of one-channel phantom scans is 2.5 %.
    noise: PositiveFloat = 0.01
    # What a generic protocol exports is a gradient echo, and lines for smooth phase lose where the phase is not
    # (docs/mri.md).
    echo: Echo = "gradient"

    @classmethod
    def from_record(cls, stored: Mapping[str, Any]) -> Self:
        """The settings in a run's record; records without `echo` are of a time when all phase was smooth."""
        return super().from_record({"echo": "spin", **stored})

    @property
    def matrix(self) -> tuple[int, int]:
        """Lines, and samples of a line."""
        return self.side, self.side if self.readout is None else self.readout

    @model_validator(mode="after")
    def _check_lines(self) -> Self:
        LineBudget(self.side, self.acquired, self.acs_lines)
        if self.virtual_coils is not None and self.virtual_coils > self.coils:
            raise ValueError(
                f"virtual_coils {self.virtual_coils}: {self.coils} coils have no more combinations than that"
            )
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
    acceleration = values.pop("acceleration", None)
    if acceleration is not None and "acquired" in values:
        raise InputError(f"{typed.get('acquired', 'acquired')} and acceleration: give one of them; the other follows")
    if "acquired" not in values:
        values["acquired"] = lines_for(side, _in_range(ACCELERATION if acceleration is None else acceleration, side))
    values.setdefault("acs_lines", round(side * ACS_FRACTION))
    acquired = values["acquired"]
    if isinstance(acquired, int) and 2 * acquired > side:  # a teacher of half of the lines would have fewer
        values.setdefault("ladder", ("R1",))
    settings = validated(MriSettings, values, typed)
    if settings.virtual_coils is None and settings.coils > FEW_COILS:
        from cidesign.modalities.mri.data.phantoms import virtual_maps

        kept = len(virtual_maps(settings.coils, settings.matrix, None)[0])
        return settings.changed(virtual_coils=kept)
    return settings


def _in_range(acceleration: object, side: int) -> float:
    """R as a number; raises `InputError` for what is none, or that `side` lines do not allow."""
    if isinstance(acceleration, bool) or not isinstance(acceleration, (int, float)) or not 1 <= acceleration <= side:
        raise InputError(f"acceleration {shown_value(acceleration)}: between 1 and {side} for {side} lines")
    return float(acceleration)


def acceleration_word(lines: int, acquired: int) -> str:
    """The shortest `R2` or `R1.5` that stands for so many of the lines, rounded."""
    words = (f"{lines / acquired:.{digits}g}" for digits in range(1, 17))
    return f"R{next(word for word in words if round(lines / float(word)) == acquired)}"
