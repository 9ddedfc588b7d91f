"""What the records of reconstructions of points add to those of all."""

from typing import Literal

from cidesign.modalities.mri.record import HeldOut, ScoredEntry, Verifications
from cidesign.reconstruct.record import Count, Line, ReconstructionRecord
from cidesign.records import Positive


class PointsEntry(ScoredEntry):
    """One set of points and one way to volumes: how it explains the readings, and mean scores of its slices."""

    points: Line


class PointsReconstructionRecord(ReconstructionRecord):
    """Of a 3-D scan; `full_scale`: what 1 of the images is in units of the file, orthonormal transforms taken."""

    verification: Verifications
    capture_source: Line
    sampling: Literal["prospective", "retrospective"]
    reference: Line | None
    slices: Count
    acquired_points: Count
    acceleration: Positive
    coils: Count
    images: list[PointsEntry]
    held_out: HeldOut
    full_scale: Positive
    virtual_coils: Count | None = None
