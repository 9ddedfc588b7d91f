"""Profiles of MRI scanners: gradients, rasters, dead times, and the nerve-stimulation model where one is known."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from cidesign.hardware_profiles.sourced import Count, HardwareProfile, Sourced, Strict


def _in_unit(low: float, high: float, unit: str, others: str) -> AfterValidator:
    """A range that systems on the market fill; what lies outside is most often a number in another unit."""

    def check(value: float) -> float:
        if not low <= value <= high:
            raise ValueError(
                f"no known scanner has {value:g} {unit} (known: {low:g} to {high:g}); was it given in {others}? "
                f"Convert it to {unit}"
            )
        return value

    return AfterValidator(check)


# 0.05 T low-field systems to animal magnets; 5.9 mT/m low field to 300 mT/m head coils; slews up to 750 T/m/s (pge2).
FieldT = Annotated[float, Field(allow_inf_nan=False), _in_unit(0.02, 25, "T", "gauss or MHz")]
GradientMtPerM = Annotated[float, Field(allow_inf_nan=False), _in_unit(1, 350, "mT/m", "T/m, G/cm or Hz/m")]
SlewTPerMPerS = Annotated[float, Field(allow_inf_nan=False), _in_unit(1, 1000, "T/m/s", "G/cm/ms or Hz/m/s")]
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

    PNS(t) = |integral of slew(t - s) c / (S_min (c + s)^2) ds| with S_min = rheobase / effective length.
    """

    chronaxie_us: Sourced[Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]]
    rheobase_t_per_s: Sourced[Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]]
    effective_length_m: Sourced[Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]]


class AcousticBand(Strict):
    """A resonance of the gradient coil: frequencies around `centre_hz` at which gradients must not oscillate."""

    centre_hz: Sourced[Annotated[float, Field(gt=0, le=20_000, allow_inf_nan=False)]]
    width_hz: Sourced[Annotated[float, Field(gt=0, le=5_000, allow_inf_nan=False)]]


class MriProfile(HardwareProfile):
    """A scanner.  `nominal` is what it can do, `design` is what sequences are made for (derated).

    `vendor` is whose interpreter plays the file: rules of that interpreter are held against the files for it alone.

    What is left out (nominal limits, samples of a readout, nerve stimulation, acoustic bands) is not known: the checks
    that need it are then not evaluated.
    """

    outside_digest = frozenset({"vendor", "acoustic_bands"})

    kind: Literal["mri"]
    vendor: Literal["siemens", "ge", "other"] | None = None
    field_t: Sourced[FieldT]
    nominal: GradientLimits | None = None
    design: GradientLimits
    rasters: Rasters
    dead_times: DeadTimes
    max_adc_samples: Sourced[Count] | None = None
    adc_samples_divisor: Sourced[Count] | None = None
    nerve_stimulation: NerveStimulation | None = None
    acoustic_bands: Annotated[list[AcousticBand], Field(min_length=1, max_length=16)] | None = None

    @model_validator(mode="after")
    def _check_derating(self) -> "MriProfile":
        if self.nominal is None:
            return self
        for name in ("max_gradient_mt_per_m", "max_slew_t_per_m_per_s"):
            nominal, design = getattr(self.nominal, name).value, getattr(self.design, name).value
            if design > nominal:
                raise ValueError(f"design.{name}: {design} is above the nominal {nominal}")
        return self


PROFILE = MriProfile
