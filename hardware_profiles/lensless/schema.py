"""Profiles of lensless cameras: the process of the mask, and the bare sensor behind it."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cidesign.hardware_profiles.mask import LengthUm, MaskProfile, WavelengthNm
from cidesign.hardware_profiles.sourced import Count, Sourced, Strict, Text

DistanceMm = Annotated[float, Field(ge=0.01, le=1000, allow_inf_nan=False)]
SceneMm = Annotated[float, Field(ge=1, le=1e6, allow_inf_nan=False)]
BandwidthNm = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
Electrons = Annotated[float, Field(gt=0, le=1e7, allow_inf_nan=False)]
# Of a Gaussian: its full width at half of its height over its standard deviation.
FWHM_PER_DEVIATION = 2 * math.sqrt(2 * math.log(2))


class ColourChannel(Strict):
    """What one channel of the sensor sees: light around `wavelength_nm`, `bandwidth_nm` wide at half of its height."""

    name: Sourced[Text]
    wavelength_nm: Sourced[WavelengthNm]
    bandwidth_nm: Sourced[BandwidthNm]

    @property
    def nodes(self) -> list[tuple[float, float]]:
        """Wavelengths in nm and their weights, which sum to 1: the Gauss-Hermite rule of three points.

        It takes means over a Gaussian band of what changes with the wavelength like a polynomial of degree 5 or less.
        One point where the band has no width.
        """
        middle, width = self.wavelength_nm.value, self.bandwidth_nm.value
        if width == 0:
            return [(middle, 1.0)]
        step = math.sqrt(3) * width / FWHM_PER_DEVIATION
        return [(middle - step, 1 / 6), (middle, 2 / 3), (middle + step, 1 / 6)]

    @model_validator(mode="after")
    def _check_nodes(self) -> Self:
        if self.nodes[0][0] <= 0:
            raise ValueError(
                f"bandwidth_nm: {self.bandwidth_nm.value:g} around {self.wavelength_nm.value:g} nm reaches below 0 nm"
            )
        return self


class Sensor(Strict):
    """The bare sensor.

    `rows` and `columns` are those of its pixels of `pixel_pitch_um`; a pixel holds `full_well_electrons` and is read
    with `read_noise_electrons` into `bit_depth` bits.  Light from the angle theta counts cos(theta)^n with
    `angular_exponent` n.  With the `colour_filter` bayer a square of 2 x 2 pixels holds one of the first channel, two
    of the second and one of the third.
    """

    pixel_pitch_um: Sourced[LengthUm]
    rows: Sourced[Count]
    columns: Sourced[Count]
    bit_depth: Sourced[Annotated[int, Field(ge=1, le=32)]]
    full_well_electrons: Sourced[Electrons]
    read_noise_electrons: Sourced[Electrons]
    angular_exponent: Sourced[Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]]
    colour_filter: Sourced[Literal["none", "bayer"]]
    channels: Annotated[list[ColourChannel], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        names = [channel.name.value for channel in self.channels]
        if len(set(names)) < len(names):
            raise ValueError(f"channels: two have the same name ({', '.join(names)})")
        if self.colour_filter.value == "bayer" and len(names) != 3:
            raise ValueError(f"channels: {len(names)} for a bayer filter, which has 3")
        if self.colour_filter.value == "none" and len(names) != 1:
            raise ValueError(f"channels: {len(names)} for a sensor without a colour filter, which has 1")
        return self

    def pixels_of_a_sample(self, binning: int) -> int:
        """Pixels of one channel in a sample of binning x binning: all of them, or a quarter behind a bayer filter.

        Of the second channel twice as many are read and averaged, which is not counted on.
        """
        return binning**2 if self.colour_filter.value == "none" else binning**2 // 4


class LenslessProfile(MaskProfile):
    """A lensless camera: `mask_distance_mm` from the mask to the light-sensitive plane, in air.

    `scene_distance_mm` is that of the scene from the mask; left out: far away.
    """

    kind: Literal["lensless"]
    mask_distance_mm: Sourced[DistanceMm]
    sensor: Sensor
    scene_distance_mm: Sourced[SceneMm] | None = None

    @property
    def magnification(self) -> float:
        """Of the shadow: 1 + d / z for a scene at the distance z, 1 for one that is far away."""
        if self.scene_distance_mm is None:
            return 1.0
        return 1 + self.mask_distance_mm.value / self.scene_distance_mm.value

    @property
    def spread_rows_px(self) -> float:
        """The height of the sensor: the widest field of view has shadows displaced by as much."""
        height_um = self.sensor.rows.value * self.sensor.pixel_pitch_um.value
        return height_um / (self.pixel_pitch_um.value * self.magnification)


PROFILE = LenslessProfile
