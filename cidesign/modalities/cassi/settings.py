"""What an SD-CASSI camera adds to the settings of a run, and its defaults."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from cidesign.constraints.aperture import require_freedom
from cidesign.errors import InputError, LimitError
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.models.decoders import decoder_class
from cidesign.physics.places import drawn_places
from cidesign.run_settings import Ladder, NonNegative, PositiveFloat, Side, TrainingSettings, validated

# The side of the part of a mask that is trained on at once, unless its bands spread far.
MOST_AT_ONCE = 128
# Where nothing is trained, images tell their statistics alone.
MOST_FOR_STATISTICS = 64


class CassiSettings(TrainingSettings):
    """A single-disperser coded-aperture spectral camera with the profile's bands.

    A detector pixel collects `photoelectrons_full_scale` where a white scene is seen through an open mask in all
    bands; `read_noise_photoelectrons` is the standard deviation of its read noise.  `columns` is the width of a mask
    that is given and not square, whose height is `side`.  `crop` is the side of the squares of mask and scene that are
    trained on one after the other; None: the whole mask at once.
    """

    added_later: ClassVar[frozenset[str]] = TrainingSettings.added_later | {"columns", "crop"}

    modality: Literal["cassi"] = "cassi"
    # Nothing is searched for here.
    optics_start: Literal["designed", "random"] = "designed"
    ladder: Ladder = ("real",)
    # A CMOS pixel holds some 10,000 to 30,000 photoelectrons and reads them with a noise of a few.
    photoelectrons_full_scale: PositiveFloat = 20_000.0
    read_noise_photoelectrons: NonNegative = 5.0
    columns: Side | None = None
    crop: Side | None = None

    @property
    def mask_size(self) -> tuple[int, int]:
        """Rows and columns of the mask."""
        return self.side, self.side if self.columns is None else self.columns

    @property
    def image_size(self) -> tuple[int, int]:
        """Rows and columns of a training image."""
        return self.mask_size if self.crop is None else (self.crop, self.crop)

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if self.columns is not None and self.design is None:
            raise ValueError(f"columns {self.columns}: masks that are learnt are square; leave it out")
        return self


def settings_for(values: Mapping[str, object], profile: ApertureProfile, typed: Mapping[str, str]) -> CassiSettings:
    """All settings, with a crop where the mask is larger than what is trained on at once.

    Raises `LimitError` where the rules of the profile leave no free code pixel, or the bands of a crop no overlap, and
    `InputError` for a crop that does not fit the mask, or so few images that an epoch does not see all of the mask.
    """
    settings = validated(CassiSettings, values, typed)
    if settings.design is None:
        require_freedom(profile, *settings.mask_size)
        _require_overlap(profile, *settings.mask_size)
    learns = decoder_class(settings.decoder).learns
    span_px = span_of(profile)
    if settings.crop is None:
        settings = settings.changed(crop=_usual_crop(settings.mask_size, span_px, learns))
    elif (settings.crop, settings.crop) == settings.mask_size:
        settings = settings.changed(crop=None)
    _check_crop(settings, profile, learns)
    return settings


def _check_crop(settings: CassiSettings, profile: ApertureProfile, learns: bool) -> None:
    if settings.crop is None:
        return
    if settings.crop > min(settings.mask_size):
        rows, columns = settings.mask_size
        raise InputError(
            f"crop {settings.crop}: the mask has {rows} x {columns} code pixels; use at most {min(rows, columns)}, or "
            "leave it out"
        )
    span_px = span_of(profile)
    if learns and settings.crop <= span_px:
        raise LimitError(
            f"crop {settings.crop}: {profile.id} spreads the bands over {span_px} code pixels, so first and last band "
            f"of a crop would not overlap; use at least {span_px + 1}, better {2 * span_px} or more"
        )
    count = drawn_places(settings.mask_size, settings.image_size)
    shown = settings.images // settings.batch * settings.batch
    if settings.teacher_epochs + settings.student_epochs and shown < count:
        rows, columns = settings.mask_size
        raise InputError(
            f"images {settings.images}: a mask of {rows} x {columns} is trained in crops of {settings.crop} x "
            f"{settings.crop} at {count} places, and an epoch of {shown} images (whole batches of {settings.batch}) "
            f"does not come to all of them; use {-(-count // settings.batch) * settings.batch} images or more, or a "
            "larger crop"
        )


def _require_overlap(profile: ApertureProfile, height: int, width: int) -> None:
    shifts = profile.spectrograph.shift_px.value
    dispersed = width if profile.spectrograph.axis.value == "columns" else height
    span = max(shifts) - min(shifts)
    if span >= dispersed:
        raise LimitError(
            f"mask of {dispersed} code pixels along the dispersion: {profile.id} spreads the bands over {span:g} "
            f"pixels, so first and last band would not overlap at all; use more than {math.ceil(span)} pixels"
        )


def span_of(profile: ApertureProfile) -> int:
    """How many code pixels the bands spread over, rounded up."""
    shifts = profile.spectrograph.shift_px.value
    return math.ceil(max(shifts) - min(shifts))


def _usual_crop(mask: tuple[int, int], span_px: int, learns: bool) -> int | None:
    """None where the whole mask is trained on at once."""
    most = max(MOST_AT_ONCE, 2 * span_px) if learns else MOST_FOR_STATISTICS
    if min(mask) <= most:
        return min(mask) if learns and mask[0] != mask[1] else None
    return most
