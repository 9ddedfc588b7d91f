"""What non-Cartesian shots add to the settings of a run, and their defaults."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cidesign.constraints.gradients import GradientRule
from cidesign.errors import InputError
from cidesign.modalities.mri.settings import ACCELERATION, ScanSettings
from cidesign.run_settings import Ladder, PositiveInt, shown_value, validated, whole

FOV_MM = 256.0
# Samples of a shot for each pixel of a side, and the time of one: 20 us for each pixel.
OVERSAMPLING, DWELL_NS = 2, 10_000
NOISE = 0.01
# Of free shots, in 1/FOV a step: at a tenth of it they had gained half as much after some hundred steps.
FREE_RATE = 0.1
MS_TO_NS = 1_000_000


class ShotSettings(ScanSettings):
    """A non-Cartesian 2-D scan: `shots` of `samples_per_shot` samples of `dwell_ns` each, of a square of `fov_mm`.

    `sampling` is radial (spokes; their angles are learnt), spiral (arms; their angles are learnt) or free (splines,
    which begin as `begins` says).  `noise` is that of a sample of `dwell_ns`: halved dwell times raise it by the root
    of 2.
    """

    sizes = ("side", "coils", "batch", "images", "shots", "samples_per_shot")

    modality: Literal["mri-shots"] = "mri-shots"
    sampling: Literal["radial", "spiral", "free"] = "radial"
    begins: Literal["radial", "spiral"] = "spiral"
    ladder: Ladder = ("shots2",)
    fov_mm: Annotated[float, Field(gt=0, lt=10_000, allow_inf_nan=False)] = FOV_MM
    shots: PositiveInt
    samples_per_shot: Annotated[int, Field(ge=4, le=65_536)]
    dwell_ns: Annotated[int, Field(ge=1, le=1_000_000_000)]

    @property
    def readout_ns(self) -> int:
        """How long a shot is sampled."""
        return self.samples_per_shot * self.dwell_ns

    @model_validator(mode="after")
    def _check_shots(self) -> "ShotSettings":
        if self.shots > 4 * self.side:
            raise ValueError(f"shots {self.shots}: more than 4 for each of {self.side} lines; use 1 to {4 * self.side}")
        return self


def settings_for(values: dict[str, object], rule: GradientRule, typed: Mapping[str, str]) -> ShotSettings:
    """All settings; raises `InputError` for samples that the scanner's rasters do not allow."""
    side = whole(values, "side")
    acceleration = values.pop("acceleration", None)
    if acceleration is not None and "shots" in values:
        raise InputError(f"{typed.get('shots', 'shots')} and acceleration: give one of them; the other follows")
    if "shots" not in values:
        values["shots"] = _shots(side, ACCELERATION if acceleration is None else acceleration)
    if values.get("sampling") == "free":
        values.setdefault("optics_learning_rate", FREE_RATE)
    _complete_readout(values, rule, side)
    samples = values["samples_per_shot"]
    if isinstance(samples, int):
        # As much noise as a Cartesian readout of the same time.
        values.setdefault("noise", NOISE * math.sqrt(samples / side))
    return validated(ShotSettings, values, typed).with_few_coils()


def _shots(side: int, acceleration: object) -> int:
    if isinstance(acceleration, bool) or not isinstance(acceleration, (int, float)) or not 0.25 <= acceleration <= side:
        raise InputError(f"acceleration {shown_value(acceleration)}: between 0.25 and {side} for {side} lines")
    exact = side / acceleration
    if abs(exact - round(exact)) > 1e-6:
        fewer, more = max(math.floor(exact), 1), math.ceil(exact)
        raise InputError(
            f"acceleration {acceleration:g} of {side} lines is {exact:.4g} shots; {fewer} shots give R = "
            f"{side / fewer:.4g} and {more} shots R = {side / more:.4g}: choose with --shots {fewer} or {more}"
        )
    return round(exact)


def _complete_readout(values: dict[str, object], rule: GradientRule, side: int) -> None:
    """Samples and dwell time of a readout time that is asked for, or the usual ones, on the scanner's grids.

    A readout ends on the nearest grid point that its samples allow.
    """
    asked = values.pop("readout_ms", None)
    divisor = rule.samples_divisor or 1
    usual = math.ceil(OVERSAMPLING * side / divisor) * divisor
    samples = values.setdefault("samples_per_shot", usual)
    if asked is None:
        values.setdefault("dwell_ns", _on_grid(DWELL_NS, rule))
        return
    if "dwell_ns" in values:
        raise InputError("readout_ms and dwell_ns: give one of them; the other follows")
    if isinstance(asked, bool) or not isinstance(asked, (int, float)) or not 0 < asked < 1000:
        raise InputError(f"readout_ms {shown_value(asked)}: a time between 0 and 1000 ms")
    if isinstance(samples, int) and samples > 0:
        values["dwell_ns"] = _on_grid(asked * MS_TO_NS / samples, rule)


def _on_grid(dwell_ns: float, rule: GradientRule) -> int:
    """The dwell time nearest to another that the receiver has: whole nanoseconds on its raster."""
    raster = rule.adc_raster_ns
    steps = max(1, round(dwell_ns / raster))
    while abs(steps * raster - round(steps * raster)) > 1e-9:
        steps += 1
    return round(steps * raster)
