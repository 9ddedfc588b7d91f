"""What a lensless camera adds to the settings of a run, and its defaults."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from cidesign.calibration.lensless.optics import Geometry, Lines, Model, fresnel_number, model_for
from cidesign.constraints.aperture import feature_rule, require_freedom
from cidesign.errors import InputError, LimitError
from cidesign.hardware_profiles.lensless.schema import LenslessProfile
from cidesign.run_settings import Ladder, NonNegative, PositiveFloat, Side, TrainingSettings, validated, whole

CodePixels = Annotated[int, Field(ge=2, le=20_000)]


class LenslessSettings(TrainingSettings):
    """A mask in front of a bare sensor, with the profile's channels.

    `sensor_side` samples a side of the sensor are read, each `binning` x `binning` of its pixels; an image pixel is one
    sample in angle.  `mask_rows` and `mask_columns` are code pixels.  `photoelectrons_full_scale` is the exposure: what
    a sample collects of a white scene through an open mask, so that a mask of few openings gets as much less light;
    `read_noise_photoelectrons` is the deviation of a sample's read noise.  `propagation` says whether shadows are those
    of rays or of waves.
    """

    modality: Literal["lensless"] = "lensless"
    # Nothing is searched for here.
    optics_start: Literal["designed", "random"] = "designed"
    ladder: Ladder = ("real",)
    sensor_side: Side = 32
    binning: Annotated[int, Field(ge=1, le=1000)] = 1
    mask_rows: CodePixels = 2
    mask_columns: CodePixels = 2
    photoelectrons_full_scale: PositiveFloat = 1.0
    read_noise_photoelectrons: NonNegative = 0.0
    propagation: Literal["shadow", "waves"] = "waves"


def settings_for(values: Mapping[str, object], profile: LenslessProfile, typed: Mapping[str, str]) -> LenslessSettings:
    """All settings; what the profile and the size of the image say is filled in.

    As many samples are read as the image has pixels, and these as large as the sensor allows; the mask is as large as
    what any direction of the image throws on any sample, so that every direction lights all of the sensor.  Full well
    and read noise are those of one native pixel, whatever the binning: a small design stands for a camera that is read
    at its pixels, and samples that add up thousands of them would be all but free of noise.  Raises `LimitError` where
    the sensor has fewer pixels, or the rules of the process leave nothing to design, and `InputError` for a binning
    that a colour filter does not allow.
    """
    given = dict(values)
    sensor_side = whole(given, "sensor_side") if "sensor_side" in given else whole(given, "side")
    given.setdefault("sensor_side", sensor_side)
    sensor = profile.sensor
    shorter = min(sensor.rows.value, sensor.columns.value)
    step = 2 if sensor.colour_filter.value == "bayer" else 1
    if sensor_side * step > shorter:
        raise LimitError(
            f"sensor_side {sensor_side}: the sensor of {profile.id} has {shorter // step} samples along its shorter "
            "side; use fewer"
        )
    given.setdefault("binning", shorter // sensor_side // step * step)
    binning = whole(given, "binning")
    if binning < 1 or binning % step:
        raise InputError(f"binning {binning}: a sample of {profile.id} is a whole number of squares of {step} pixels")
    if binning * sensor_side > shorter:
        raise LimitError(
            f"binning {binning}: {sensor_side} samples of {binning} pixels are more than the {shorter} pixels of "
            f"{profile.id}; use at most {shorter // sensor_side // step * step}"
        )
    samples = sensor_side + whole(given, "side") - 1
    sample_um = binning * sensor.pixel_pitch_um.value
    code = math.ceil(samples * sample_um / (profile.pixel_pitch_um.value * profile.magnification))
    given.setdefault("mask_rows", code)
    given.setdefault("mask_columns", code)
    given.setdefault("photoelectrons_full_scale", sensor.full_well_electrons.value)
    given.setdefault("read_noise_photoelectrons", sensor.read_noise_electrons.value)
    given.setdefault("propagation", usual_model(profile))
    settings = validated(LenslessSettings, given, typed)
    if settings.design is None:
        require_freedom(profile, settings.mask_rows, settings.mask_columns)
    return settings


def lines_of(profile: LenslessProfile) -> list[Lines]:
    """The light of each channel."""
    nodes = [np.array(channel.nodes) for channel in profile.sensor.channels]
    return [Lines(found[:, 0] / 1000, found[:, 1]) for found in nodes]


def geometry_of(settings: LenslessSettings, profile: LenslessProfile, sensor_side: int | None = None) -> Geometry:
    """Where mask, sensor and scene stand; `sensor_side`: of a teacher's larger sensor."""
    scene = profile.scene_distance_mm
    side = settings.sensor_side if sensor_side is None else sensor_side
    return Geometry(
        code=(settings.mask_rows, settings.mask_columns),
        code_pitch_um=profile.pixel_pitch_um.value,
        distance_um=profile.mask_distance_mm.value * 1000,
        sample_um=settings.binning * profile.sensor.pixel_pitch_um.value,
        sensor=(side, side),
        image=(settings.side, settings.side),
        scene_distance_um=None if scene is None else scene.value * 1000,
    )


def smallest_fresnel_number(profile: LenslessProfile) -> float:
    """Of the smallest cell of the mask and the longest wavelength."""
    cell_um = feature_rule(profile).cell_px * profile.pixel_pitch_um.value
    longest_um = max(float(lines.wavelengths_um.max()) for lines in lines_of(profile))
    return fresnel_number(cell_um, longest_um, profile.mask_distance_mm.value * 1000)


def usual_model(profile: LenslessProfile) -> Model:
    """Rays or waves, by the Fresnel number of the smallest cell of the mask."""
    cell_um = feature_rule(profile).cell_px * profile.pixel_pitch_um.value
    longest_um = max(float(lines.wavelengths_um.max()) for lines in lines_of(profile))
    return model_for(cell_um, longest_um, profile.mask_distance_mm.value * 1000)


def propagation_text(settings: LenslessSettings, profile: LenslessProfile) -> str:
    """How the shadow is computed, for people."""
    how = "propagation of waves" if settings.propagation == "waves" else "straight rays"
    return f"shadow by {how}: Fresnel number {smallest_fresnel_number(profile):.2g}"
