"""The manifest of an export of points."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cidesign.export.mri.manifest import Count, ScanManifest, ScanTimes
from cidesign.records import Strict

Steps = Annotated[float, Field(ge=0, le=200_000, allow_inf_nan=False)]


class Jumps(Strict):
    """How far k-space jumps from one excitation to the next, in steps of 1/FOV."""

    segments: Count
    mean_steps: Steps
    largest_steps: Steps


class PointsRecord(ScanTimes):
    """What is played, with every point in order: line * partitions + partition.

    `segment_sizes` are the points of each segment, `jumps` what the order costs, `jumps_of` what each order would.
    """

    order: str
    jumps: Jumps
    jumps_of: dict[str, Jumps]
    segment_sizes: tuple[Count, ...]
    points: tuple[Count, ...]

    @model_validator(mode="after")
    def _check_sizes(self) -> "PointsRecord":
        if sum(self.segment_sizes) != len(self.points):
            raise ValueError(f"segment_sizes: {sum(self.segment_sizes)} points in all, {len(self.points)} are listed")
        return self


class PointsManifest(ScanManifest):
    """The content of `manifest.json` of an export of points."""

    kind: Literal["mri-points"]
    scan: PointsRecord
