"""What an SD-CASSI camera adds to the settings of a run, and its defaults."""

from typing import Any, Literal

from cidesign.constraints.aperture import require_freedom
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.modality import Request
from cidesign.run_settings import NonNegative, PositiveFloat, Side, TrainingSettings


class CassiSettings(TrainingSettings):
    """A single-disperser coded-aperture spectral camera with the profile's bands.

    A detector pixel collects `photoelectrons_full_scale` where a white scene is seen through an open mask in all
    bands; `read_noise_photoelectrons` is the standard deviation of its read noise.
    """

    modality: Literal["cassi"] = "cassi"
    side: Side
    photoelectrons_full_scale: PositiveFloat
    read_noise_photoelectrons: NonNegative


def settings_for(request: Request, common: dict[str, Any], profile: ApertureProfile) -> CassiSettings:
    """All settings; raises `LimitError` where the rules of the profile leave no free code pixel."""
    # A CMOS pixel holds some 10,000 to 30,000 photoelectrons and reads them with a noise of a few.
    settings = CassiSettings(
        **common,
        photoelectrons_full_scale=request.own.get("photoelectrons", 20_000.0),
        read_noise_photoelectrons=request.own.get("read_noise", 5.0),
    )
    require_freedom(profile, settings.side, settings.side)
    return settings
