"""What an MRI scan adds to the settings of a run, and its defaults."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

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


class MriSettings(TrainingSettings):
    """A 2-D Cartesian scan: `acquired` of `side` phase-encode lines, `acs_lines` of them the fixed centre.

    A line has `readout` samples without oversampling (None: `side`, a square matrix); the field of view is square.
    `noise` is the standard deviation of real and imaginary part of a sample of orthonormal k-space, for images
    whose largest magnitude is 1.  `coils` is 1, or the number of simulated receive coils.
    """

    renamed = MappingProxyType({"calibration": "acs_lines"})
    added_later = TrainingSettings.added_later | {"readout"}
    sizes = ("side", "coils", "batch", "images")

    modality: Literal["mri"] = "mri"
    ladder: Ladder = ("R2",)
    acquired: PositiveInt
    readout: Side | None = None
    acs_lines: Annotated[int, Field(ge=0, le=1024)]
    coils: Annotated[int, Field(ge=1, le=64)] = 1
    # 1 % of the brightest pixel, a good clinical scan; the noise of one-channel phantom scans is 2.5 %.
    noise: PositiveFloat = 0.01

    @property
    def matrix(self) -> tuple[int, int]:
        """Lines, and samples of a line."""
        return self.side, self.side if self.readout is None else self.readout

    @model_validator(mode="after")
    def _check_lines(self) -> Self:
        LineBudget(self.side, self.acquired, self.acs_lines)
        if self.coils > self.side:
            raise ValueError(f"coils {self.coils}: {self.side} lines cannot tell as many coils apart; use fewer")
        return self


def settings_for(values: dict[str, object], typed: Mapping[str, str]) -> MriSettings:
    """All settings; raises `InputError` or `LimitError` for a budget of lines that cannot be."""
    side = whole(values, "side")
    acceleration = values.pop("acceleration", None)
    if acceleration is not None and "acquired" in values:
        raise InputError(f"{typed.get('acquired', 'acquired')} and acceleration: give one of them; the other follows")
    if "acquired" not in values:
        values["acquired"] = lines_for(side, _in_range(ACCELERATION if acceleration is None else acceleration, side))
    values.setdefault("acs_lines", round(side * ACS_FRACTION))
    return validated(MriSettings, values, typed)


def _in_range(acceleration: object, side: int) -> float:
    """R as a number; raises `InputError` for what is none, or that `side` lines do not allow."""
    if isinstance(acceleration, bool) or not isinstance(acceleration, (int, float)) or not 1 <= acceleration <= side:
        raise InputError(f"acceleration {shown_value(acceleration)}: between 1 and {side} for {side} lines")
    return float(acceleration)
