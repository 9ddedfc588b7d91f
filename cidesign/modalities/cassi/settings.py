"""What an SD-CASSI camera adds to the settings of a run, and its defaults."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from cidesign.constraints.aperture import require_freedom
from cidesign.errors import InputError
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.models.decoders import decoder_class
from cidesign.run_settings import Ladder, NonNegative, PositiveFloat, Side, TrainingSettings, validated


class CassiSettings(TrainingSettings):
    """A single-disperser coded-aperture spectral camera with the profile's bands.

    A detector pixel collects `photoelectrons_full_scale` where a white scene is seen through an open mask in all
    bands; `read_noise_photoelectrons` is the standard deviation of its read noise.  `columns` is the width of a mask
    that is given and not square, whose height is `side`; only a decoder that learns nothing takes one.
    """

    added_later: ClassVar[frozenset[str]] = TrainingSettings.added_later | {"columns"}

    modality: Literal["cassi"] = "cassi"
    ladder: Ladder = ("real",)
    # A CMOS pixel holds some 10,000 to 30,000 photoelectrons and reads them with a noise of a few.
    photoelectrons_full_scale: PositiveFloat = 20_000.0
    read_noise_photoelectrons: NonNegative = 5.0
    columns: Side | None = None

    @property
    def mask_size(self) -> tuple[int, int]:
        """Rows and columns of the mask."""
        return self.side, self.side if self.columns is None else self.columns

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if self.columns is not None and self.design is None:
            raise ValueError(f"columns {self.columns}: masks that are learnt are square; leave it out")
        return self


def settings_for(values: Mapping[str, object], profile: ApertureProfile, typed: Mapping[str, str]) -> CassiSettings:
    """All settings; raises `LimitError` where the rules of the profile leave no free code pixel."""
    settings = validated(CassiSettings, values, typed)
    if settings.columns is not None and decoder_class(settings.decoder).learns:
        raise InputError(
            f"decoder {settings.decoder}: is trained on square images, and the mask has {settings.side} x "
            f"{settings.columns} code pixels; `cidesign reconstruct --design` (decoder linear) takes masks of any "
            "shape, or make a design of a square part of it"
        )
    if settings.design is None:
        require_freedom(profile, *settings.mask_size)
    return settings
