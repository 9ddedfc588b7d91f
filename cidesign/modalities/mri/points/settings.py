"""What a scan of points adds to the settings of a run, and its defaults."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cidesign.calibration.mri.coils import FEWEST_FOR_MAPS, places_of_kernel
from cidesign.constraints.kspace import count_for
from cidesign.constraints.points import PointBudget
from cidesign.errors import InputError
from cidesign.modalities.mri.settings import CartesianSettings, acceleration_of, acceleration_word
from cidesign.run_settings import Ladder, PositiveFloat, Side, TrainingSettings, shown_value, validated, whole

# Of each phase encoding: 24 to 32 points of 256, which are few of all points.
ACS_FRACTION = 1 / 8
AcsSize = Annotated[int, Field(ge=0, le=1024)]


class PointSettings(CartesianSettings):
    """A 3-D Cartesian scan: `acquired` of `side` x `partitions` points (ky, kz), each a readout of `readout` samples.

    `partitions` (None: `side`) and `readout` (None: `side`) are without oversampling.  The region of `acs_lines` x
    `acs_partitions` around the centre of k-space is always measured; of an `elliptical` scan the corners never are.
    Images are (ky, kz) slices, after the Fourier transform along the readout.
    """

    sizes = ("side", "coils", "batch", "images")

    modality: Literal["mri-points"] = "mri-points"
    sampling: Literal["points"] = "points"
    ladder: Ladder = ("R2",)
    # Of 0.01, 0.02, 0.05, 0.1 and 0.2 (48 x 48 points, R = 8, 4 coils, 240 steps) 0.1 and 0.2 came out 0.6 dB and more
    # above 0.02: a point learns from its own gradient alone, a line from that of all its samples.
    optics_learning_rate: PositiveFloat = 0.1
    partitions: Side | None = None
    readout: Side | None = None
    acs_lines: AcsSize
    acs_partitions: AcsSize
    elliptical: bool = True

    added_later = TrainingSettings.added_later

    @property
    def matrix(self) -> tuple[int, int]:
        """Lines and partitions."""
        return self.side, self.side if self.partitions is None else self.partitions

    @property
    def samples(self) -> int:
        """Of a readout."""
        return self.side if self.readout is None else self.readout

    @property
    def budget(self) -> PointBudget:
        """Exactly so many points, the calibration region among them, corners or none."""
        return PointBudget(*self.matrix, self.acquired, (self.acs_lines, self.acs_partitions), self.elliptical)

    @model_validator(mode="after")
    def _check_points(self) -> Self:
        region = self.budget.calibration
        places = places_of_kernel(min(region), max(region))
        if places is not None and self.coils > places:
            raise ValueError(
                f"coils {self.coils}: a calibration region of {region[0]} x {region[1]} points tells at most {places} "
                f"coils apart; lower coils to {places}, or raise acs_lines and acs_partitions"
            )
        return self


def settings_for(values: dict[str, object], typed: Mapping[str, str]) -> PointSettings:
    """All settings; raises `InputError` or `LimitError` for a budget of points that cannot be."""
    side = whole(values, "side")
    partitions = side if values.get("partitions") is None else whole(values, "partitions")
    if partitions < 1:
        raise InputError(f"partitions {shown_value(partitions)}: 4 or more are needed")
    choices = side * partitions
    acceleration = acceleration_of(values, typed, choices, "points")
    if acceleration is not None:
        values["acquired"] = count_for(choices, acceleration, "points")
    # Several coils cannot be calibrated from fewer.
    several = values.get("coils", 1) != 1
    least = FEWEST_FOR_MAPS if several else 0
    values.setdefault("acs_lines", max(round(side * ACS_FRACTION), min(least, side)))
    values.setdefault("acs_partitions", max(round(partitions * ACS_FRACTION), min(least, partitions)))
    settings = validated(PointSettings, values, typed)
    if "ladder" not in values and 2 * settings.acquired > choices:  # a teacher of half of the points would have fewer
        settings = settings.changed(ladder=(acceleration_word(choices, settings.budget.most),))
    return settings.with_few_coils()
