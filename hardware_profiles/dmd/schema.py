"""Profiles of micromirror devices."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cidesign.hardware_profiles.sourced import Count, HardwareProfile, Sourced, Strict, Text

DurationUs = Annotated[int, Field(ge=0, le=1_000_000_000)]
ExposureUs = Annotated[int, Field(ge=1, le=1_000_000_000)]
# Mirror pitches on the market lie between 5 and 14 um; the wide range still catches a value in mm, nm or m.
PitchUm = Annotated[float, Field(ge=1.0, le=100.0, allow_inf_nan=False)]


class MirrorArray(Strict):
    """The mirrors: `diamond_odd_right` shifts odd rows by half a column to the right (DLP4500 and DLP3000).

    The pitches are left out together where no source gives them; sizes in um are then not known.
    """

    columns: Sourced[Annotated[int, Field(ge=1, le=20_000)]]
    rows: Sourced[Annotated[int, Field(ge=1, le=20_000)]]
    lattice: Sourced[Literal["square", "diamond_odd_right"]]
    pitch_x_um: Sourced[PitchUm] | None = None
    pitch_y_um: Sourced[PitchUm] | None = None
    mirror_side_um: Sourced[PitchUm] | None = None

    @property
    def row_pitch_columns(self) -> float:
        """The distance of neighbouring rows in column pitches, which the lattice alone decides."""
        return 0.5 if self.lattice.value == "diamond_odd_right" else 1.0

    @model_validator(mode="after")
    def _check_pitches(self) -> "MirrorArray":
        if self.pitch_x_um is None or self.pitch_y_um is None:
            if self.pitch_x_um is not self.pitch_y_um:
                raise ValueError("pitch_x_um and pitch_y_um: give both, or leave out both where no source gives them")
            return self
        ratio = self.pitch_y_um.value / self.pitch_x_um.value
        if abs(ratio - self.row_pitch_columns) > 0.01:
            raise ValueError(
                f"pitch_y_um: {self.pitch_y_um.value} is {ratio:.3g} of pitch_x_um {self.pitch_x_um.value}; on a "
                f"{self.lattice.value} lattice it is {self.row_pitch_columns:g}"
            )
        return self


class BitDepthLimits(Strict):
    """Limits of one bit depth: the shortest exposure and how many such frames one 24-bit image holds."""

    min_exposure_us: Sourced[ExposureUs]
    frames_per_image: Sourced[Annotated[int, Field(ge=1, le=24)]]


class Timing(Strict):
    """Timing rules beyond the exposure table.

    The period of an entry is its exposure, or longer by at least `min_period_gap_us`.  When a sequence has more
    images than `image_buffers`, each image must be shown for at least `image_load_us` while the next is read.
    `limits_from` says whose word counts: `profile`, or `device` where only the device at hand reports its limits.
    The exposures of such a profile are planning values, and the other limits may be left out.
    """

    limits_from: Sourced[Literal["profile", "device"]]
    max_exposure_us: Sourced[ExposureUs] | None = None
    min_period_gap_us: Sourced[DurationUs] | None = None
    image_load_us: Sourced[DurationUs] | None = None
    image_buffers: Sourced[Count]
    video_max_frame_hz: Sourced[Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]] | None = None

    @model_validator(mode="after")
    def _check_limits(self) -> "Timing":
        missing = [name for name in ("max_exposure_us", "min_period_gap_us") if getattr(self, name) is None]
        if self.limits_from.value == "profile" and missing:
            raise ValueError(
                f"{missing[0]}: this value is missing, and limits_from says that the profile's limits count"
            )
        return self


class SequenceMode(Strict):
    """One way in which the controller holds a sequence."""

    name: Literal["fixed_exposure", "variable_exposure"]
    max_entries: Sourced[Count]
    max_images: Sourced[Count]


class Memory(Strict):
    """What the controller can hold."""

    full_rate_planes: Sourced[Count]
    flash_bytes: Sourced[Count] | None = None


class Interfaces(Strict):
    """How a host reaches the device."""

    control: Sourced[list[Text]]
    image_paths: Sourced[list[Text]]
    image_upload_at_run_time: Sourced[bool]


class DmdProfile(HardwareProfile):
    """A micromirror device with its controller: what a single-pixel camera displays its patterns on."""

    kind: Literal["dmd"]
    # A word of the table in `controllers`; the loader refuses a profile file whose controller is not known here.
    controller: Sourced[Text]
    dual_controller: Sourced[bool]
    mirrors: MirrorArray
    bit_depths: dict[Annotated[str, Field(pattern=r"^[1-8]$")], BitDepthLimits]
    timing: Timing
    memory: Memory
    sequence_modes: Annotated[list[SequenceMode], Field(min_length=1)]
    interfaces: Interfaces
    on_exit: Sourced[Literal["stop", "stop_then_idle", "stop_then_standby"]]

    @model_validator(mode="after")
    def _check_consistency(self) -> "DmdProfile":
        if "1" not in self.bit_depths:
            raise ValueError("bit_depths: the entry for 1 bit is missing; every micromirror device shows 1-bit frames")
        exposures_us = [self.bit_depths[depth].min_exposure_us.value for depth in sorted(self.bit_depths)]
        if exposures_us != sorted(exposures_us):
            raise ValueError(f"bit_depths: min_exposure_us must not fall with the bit depth, but is {exposures_us}")
        longest = self.timing.max_exposure_us
        if longest is not None and max(exposures_us) > longest.value:
            raise ValueError(f"timing.max_exposure_us: {longest.value} is below the table's {max(exposures_us)}")
        if self.dual_controller.value and self.mirrors.columns.value % 2:
            raise ValueError(
                f"mirrors.columns: {self.mirrors.columns.value} cannot be split between two controllers; it is even"
            )
        return self

    def depth_limits(self, bit_depth: int) -> BitDepthLimits | None:
        """The limits of a bit depth, or None when the device does not show it."""
        return self.bit_depths.get(str(bit_depth))


PROFILE = DmdProfile
