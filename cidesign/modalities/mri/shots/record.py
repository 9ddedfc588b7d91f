"""What the records of reconstructions of shots add to those of all."""

from cidesign.modalities.mri.record import Verifications
from cidesign.reconstruct.record import Count, Entry, Line, ReconstructionRecord
from cidesign.records import Finite, NotNegative, Positive


class ShotsEntry(Entry):
    """One way to an image: how it explains the readings, and scores where there is a reference."""

    reconstruction: Line
    residual: NotNegative
    chi_square_reduced: NotNegative
    psnr_db: Finite | None = None
    ssim: Finite | None = None
    hfen_db: Finite | None = None


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
    images: list[ShotsEntry]
    full_scale: Positive | None = None
