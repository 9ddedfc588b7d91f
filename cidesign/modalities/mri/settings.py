"""What an MRI scan adds to the settings of a run, and its defaults."""

from typing import Annotated, Any, Literal

from pydantic import Field

from cidesign.constraints.kspace import LineBudget, lines_for
from cidesign.errors import InputError
from cidesign.modality import Request
from cidesign.run_settings import PositiveFloat, PositiveInt, Side, TrainingSettings

ACCELERATION = 4.0
# A sixteenth of the matrix, as in the fixed designs of the field (8 % at R = 4 and 4 % at R = 8).
CALIBRATION_FRACTION = 1 / 16


class MriSettings(TrainingSettings):
    """A 2-D Cartesian scan: `acquired` of `side` phase-encode lines, `calibration` of them the fixed centre.

    `noise` is the standard deviation of real and imaginary part of a sample of orthonormal k-space, for images
    whose largest magnitude is 1.  `coils` is 1, or the number of simulated receive coils.
    """

    modality: Literal["mri"] = "mri"
    side: Side
    acquired: PositiveInt
    calibration: Annotated[int, Field(ge=0, le=1024)]
    coils: Annotated[int, Field(ge=1, le=64)]
    noise: PositiveFloat


def settings_for(request: Request, common: dict[str, Any]) -> MriSettings:
    """All settings; raises `InputError` for a budget of lines that cannot be."""
    own, side = request.own, common["side"]
    acceleration = own.get("acceleration", ACCELERATION)
    if {"lines", "acceleration"} <= own.keys():
        raise InputError("--lines and --acceleration: give one of them; the other follows")
    if not 1 <= acceleration <= side:
        raise InputError(f"--acceleration {acceleration:g}: between 1 and {side} for {side} lines")
    acquired = own["lines"] if "lines" in own else lines_for(side, acceleration)
    calibration = own.get("calibration", round(side * CALIBRATION_FRACTION))
    LineBudget(side, acquired, calibration)
    coils = own.get("coils", 1)
    if coils > side:
        raise InputError(f"--coils {coils}: {side} lines cannot tell as many coils apart; use fewer")
    # 1 % of the brightest pixel, a good clinical scan; the noise of one-channel phantom scans is 2.5 %.
    noise = own.get("noise", 0.01)
    return MriSettings(**common, acquired=acquired, calibration=calibration, coils=coils, noise=noise)
