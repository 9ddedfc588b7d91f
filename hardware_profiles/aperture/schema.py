"""Profiles of coded apertures: the lithographic process, and the spectrograph that the mask is made for."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cidesign.hardware_profiles.mask import MaskProfile, WavelengthNm
from cidesign.hardware_profiles.sourced import Sourced, Strict

ShiftPx = Annotated[float, Field(ge=-10_000, le=10_000, allow_inf_nan=False)]


class Spectrograph(Strict):
    """The single-disperser spectrograph behind the mask.

    Band k of the scene, seen through the mask, lands on the detector shifted by `shift_px[k]` code pixels along
    `axis`, towards higher indices when positive.  `magnification` is the size of the mask's image on the detector
    over the mask's own, with its sign.
    """

    wavelengths_nm: Sourced[Annotated[list[WavelengthNm], Field(min_length=2, max_length=500)]]
    shift_px: Sourced[Annotated[list[ShiftPx], Field(min_length=2, max_length=500)]]
    axis: Sourced[Literal["columns", "rows"]]
    magnification: Sourced[Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]]

    @model_validator(mode="after")
    def _check_bands(self) -> "Spectrograph":
        bands, shifts = self.wavelengths_nm.value, self.shift_px.value
        if len(bands) != len(shifts):
            raise ValueError(f"shift_px: {len(shifts)} shifts for {len(bands)} wavelengths; give one for each band")
        if any(b <= a for a, b in pairwise(bands)):
            raise ValueError("wavelengths_nm: must rise from band to band")
        steps = [b - a for a, b in pairwise(shifts)]
        if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
            raise ValueError("shift_px: must rise, or fall, from band to band; a prism or grating does not turn back")
        if self.magnification.value == 0:
            raise ValueError("magnification: 0 gives no image")
        return self


class ApertureProfile(MaskProfile):
    """A coded aperture: what SD-CASSI puts into its image plane."""

    kind: Literal["aperture"]
    spectrograph: Spectrograph

    @property
    def magnification(self) -> float:
        """That of the spectrograph."""
        return self.spectrograph.magnification.value

    @property
    def spread_rows_px(self) -> float:
        """The shift from the first band to the last, where they are displaced along rows."""
        shifts = self.spectrograph.shift_px.value
        return max(shifts) - min(shifts) if self.spectrograph.axis.value == "rows" else 0.0


PROFILE = ApertureProfile
