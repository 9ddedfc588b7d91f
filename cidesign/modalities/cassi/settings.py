"""What an SD-CASSI camera adds to the settings of a run, and its defaults."""

from collections.abc import Mapping
from typing import Literal

from cidesign.constraints.aperture import require_freedom
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.run_settings import Ladder, NonNegative, PositiveFloat, TrainingSettings, validated


class CassiSettings(TrainingSettings):
    """A single-disperser coded-aperture spectral camera with the profile's bands.

    A detector pixel collects `photoelectrons_full_scale` where a white scene is seen through an open mask in all
    bands; `read_noise_photoelectrons` is the standard deviation of its read noise.
    """

    modality: Literal["cassi"] = "cassi"
    ladder: Ladder = ("real",)
    # A CMOS pixel holds some 10,000 to 30,000 photoelectrons and reads them with a noise of a few.
    photoelectrons_full_scale: PositiveFloat = 20_000.0
    read_noise_photoelectrons: NonNegative = 5.0


def settings_for(values: Mapping[str, object], profile: ApertureProfile, typed: Mapping[str, str]) -> CassiSettings:
    """All settings; raises `LimitError` where the rules of the profile leave no free code pixel."""
    settings = validated(CassiSettings, values, typed)
    require_freedom(profile, settings.side, settings.side)
    return settings
