"""What the records of reconstructions of shots add to those of all."""

from cidesign.modalities.mri.record import ScoredEntry, Verifications
from cidesign.reconstruct.record import Count, Line, ReconstructionRecord
from cidesign.records import Finite, Positive


class ShotsRecord(ReconstructionRecord):
    """Of shots; `delays_us` of rows and columns are those that the samples were placed with.

    `full_scale`: what 1 of the images is in units of the file.
    """

    verification: Verifications
    capture_source: Line
    reference: Line | None
    shots: Count
    acceleration: Positive
    coils: Count
    delays_us: tuple[Finite, Finite]
    images: list[ScoredEntry]
    full_scale: Positive | None = None
