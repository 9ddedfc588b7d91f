"""Profiles of MRI scanners: gradients, rasters, dead times, and the nerve-stimulation model where one is known."""

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cidesign.files import canonical_json, sha256_bytes
from cidesign.hardware_profiles.sourced import Count, ProfileId, Sourced, Strict, Text

# 0.02 T (low field) to 25 T; 1 to 1000 mT/m; 1 to 2000 T/m/s: wide, but another unit falls outside.
FieldT = Annotated[float, Field(ge=0.02, le=25, allow_inf_nan=False)]
GradientMtPerM = Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)]
SlewTPerMPerS = Annotated[float, Field(ge=1, le=2000, allow_inf_nan=False)]
RasterUs = Annotated[float, Field(ge=0.01, le=1000, allow_inf_nan=False)]
DeadTimeUs = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]


class GradientLimits(Strict):
    """Limits of each gradient axis."""

    max_gradient_mt_per_m: Sourced[GradientMtPerM]
    max_slew_t_per_m_per_s: Sourced[SlewTPerMPerS]


class Rasters(Strict):
    """The grids on which events start and are sampled."""

    gradient_us: Sourced[RasterUs]
    block_us: Sourced[RasterUs]
    rf_us: Sourced[RasterUs]
    adc_ns: Sourced[Annotated[float, Field(ge=1, le=1_000_000, allow_inf_nan=False)]]


class DeadTimes(Strict):
    """Times in which the scanner switches and nothing may happen."""

    rf_dead_us: Sourced[DeadTimeUs]
    rf_ringdown_us: Sourced[DeadTimeUs]
    adc_dead_us: Sourced[DeadTimeUs]


class NerveStimulation(Strict):
    """The IEC 60601-2-33 nerve-impulse response of one gradient coil.

    PNS(t) = |slew * c / (S_min (c + tau)^2)| with S_min = rheobase / effective length.
    """

    chronaxie_us: Sourced[Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]]
    rheobase_t_per_s: Sourced[Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]]
    effective_length_m: Sourced[Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]]


class MriProfile(Strict):
    """A scanner.  `nominal` is what it can do, `design` is what sequences are made for (derated)."""

    schema_version: Literal[1]
    kind: Literal["mri"]
    id: ProfileId
    name: Text
    summary: Text
    field_t: Sourced[FieldT]
    nominal: GradientLimits | None = None
    design: GradientLimits
    rasters: Rasters
    dead_times: DeadTimes
    max_adc_samples: Sourced[Count] | None = None
    adc_samples_divisor: Sourced[Count] | None = None
    nerve_stimulation: NerveStimulation | None = None

    @model_validator(mode="after")
    def _check_derating(self) -> "MriProfile":
        if self.nominal is None:
            return self
        for name in ("max_gradient_mt_per_m", "max_slew_t_per_m_per_s"):
            nominal, design = getattr(self.nominal, name).value, getattr(self.design, name).value
            if design > nominal:
                raise ValueError(f"design.{name}: {design} is above the nominal {nominal}")
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the profile's canonical JSON; designs and exports name the profile by it."""
        return sha256_bytes(canonical_json(self.model_dump(mode="json")))
