"""A lensless camera as it was designed: geometry, colours, and what its sensor takes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.lensless.operator import LenslessOperator
from cidesign.calibration.lensless.optics import Array, Geometry, Lines, Model, model_for, shadow
from cidesign.hardware_profiles.lensless.schema import FWHM_PER_DEVIATION, ColourChannel, LenslessProfile

LINES = 9


@dataclass(frozen=True)
class Camera:
    """What design and calibration of one camera share.

    `channels`: the light of each colour channel by its name; `response` (H, W): the light of each direction that the
    sensor takes, 1 on axis; `pixels`: of the sensor in a sample of one channel; `photoelectrons_full_scale`: of a full
    sample, `read_noise_photoelectrons` of one; `adc_bits` of the converter.
    """

    geometry: Geometry
    channels: dict[str, Lines]
    response: NDArray[np.float64]
    model: Model
    photoelectrons_full_scale: float
    read_noise_photoelectrons: float
    adc_bits: int
    pixels: int

    @classmethod
    def of(cls, profile: LenslessProfile, geometry: Geometry, binning: int) -> "Camera":
        """The camera of a profile whose samples are `binning` x `binning` of its sensor's pixels."""
        sensor = profile.sensor
        lines = {one.name.value: _lines(one) for one in sensor.channels}
        shortest_um = min(float(one.wavelengths_um.min()) for one in lines.values())
        feature_um = profile.pixel_pitch_um.value
        down, across = geometry.tangents()
        cosine = 1 / np.sqrt(1 + down[:, None] ** 2 + across[None] ** 2)
        pixels = sensor.pixels_of_a_sample(binning)
        return cls(
            geometry=geometry,
            channels=lines,
            response=cosine**sensor.angular_exponent.value,
            model=model_for(feature_um, shortest_um, geometry.distance_um),
            photoelectrons_full_scale=pixels * sensor.full_well_electrons.value,
            read_noise_photoelectrons=pixels**0.5 * sensor.read_noise_electrons.value,
            adc_bits=sensor.bit_depth.value,
            pixels=pixels,
        )

    def psf(self, levels: NDArray[np.generic]) -> Array:
        """The PSFs (C, h + H - 1, w + W - 1) of a mask as drawn, straight before the middle of the sensor."""
        return np.stack([shadow(levels, self.geometry, lines, self.model) for lines in self.channels.values()])

    def operator(self, levels: NDArray[np.generic]) -> LenslessOperator:
        """The operator as designed."""
        return LenslessOperator(self.psf(levels), self.response)


def _lines(channel: ColourChannel) -> Lines:
    """More lines of a channel's Gaussian band than training takes, for what is to be compared with a measurement."""
    width_um = channel.bandwidth_nm.value / FWHM_PER_DEVIATION / 1000
    if width_um == 0:
        return Lines(np.array([channel.wavelength_nm.value / 1000]), np.ones(1))
    places = np.linspace(-2.5, 2.5, LINES)
    weights = np.exp(-0.5 * places**2)
    return Lines(channel.wavelength_nm.value / 1000 + width_um * places, weights / weights.sum())
