"""What all profiles of masks have, whatever stands behind them: the lithographic process that makes them."""

from abc import ABC, abstractmethod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cidesign.hardware_profiles.sourced import Count, HardwareProfile, Sourced, Strict

# Wide enough for e-beam and for film, narrow enough to catch a value in nm or mm.
LengthUm = Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)]
PlateMm = Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)]
WavelengthNm = Annotated[float, Field(ge=200, le=20_000, allow_inf_nan=False)]


class Lithography(Strict):
    """What the mask shop can make.

    `edge_bias_um` is how far each edge of a transparent area moves outwards between drawing and plate (negative: the
    opening shrinks); it is left out where nobody has measured it.  `corner_contacts` says whether two areas may
    touch at a corner alone.  `min_area_um2` is the smallest area, clear or opaque, that survives as an island; left
    out where the shop states none.  `max_vertices` limits a polygon in GDSII and OASIS.
    """

    process: Sourced[Literal["laser_chrome", "ebeam_chrome", "film"]]
    min_feature_um: Sourced[LengthUm]
    min_gap_um: Sourced[LengthUm]
    corner_contacts: Sourced[bool]
    writer_grid_um: Sourced[LengthUm]
    plate_width_mm: Sourced[PlateMm]
    plate_height_mm: Sourced[PlateMm]
    max_vertices: Sourced[Count]
    formats: Sourced[Annotated[list[Literal["tiff", "gds", "oasis"]], Field(min_length=1)]]
    edge_bias_um: Sourced[Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]] | None = None
    min_area_um2: Sourced[Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]] | None = None


class MaskProfile(HardwareProfile, ABC):
    """A mask that a lithographic process makes: what all masks have, whatever they are used for."""

    pixel_pitch_um: Sourced[LengthUm]
    lithography: Lithography

    @property
    @abstractmethod
    def magnification(self) -> float:
        """The size of the mask's image, or shadow, on the detector over the mask's own, with its sign."""

    @property
    @abstractmethod
    def spread_rows_px(self) -> float:
        """How far the instrument spreads the light of a code pixel along the rows' axis, in code pixels."""

    @model_validator(mode="after")
    def _check_pitch(self) -> Self:
        ratio = self.pixel_pitch_um.value / self.lithography.writer_grid_um.value
        if abs(ratio - round(ratio)) > 1e-6:
            raise ValueError(
                f"pixel_pitch_um: {self.pixel_pitch_um.value} is {ratio:.4g} steps of the writer grid "
                f"{self.lithography.writer_grid_um.value} um; it must be a whole number of them"
            )
        return self
