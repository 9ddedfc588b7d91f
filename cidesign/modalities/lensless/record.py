"""What the records of lensless reconstructions add to those of all."""

from typing import Literal

from cidesign.reconstruct.record import Count, CutOff, Line, ReconstructionRecord, VerifiedRecord
from cidesign.records import Finite, NotNegative, Positive


class LenslessEntry(CutOff):
    """How an image explains the readings; the scores are known where the truth is."""

    title: Line
    chi_square_reduced: NotNegative
    psnr_db: Finite | None = None
    ssim: Finite | None = None


class LenslessRecord(VerifiedRecord):
    """Of a capture of the run's camera."""

    channels: list[Line]
    repeats: Count
    readings_used: Count
    readings_not_used: Count
    images: dict[str, LenslessEntry]


class PairEntry(CutOff):
    """The part of the readings' structure that an image does not explain."""

    title: Line
    relative_residual: NotNegative


class PairRecord(ReconstructionRecord):
    """Of an image of somebody's camera and its PSF; nothing of that camera was verified.

    `black_levels`: of the PSF's channels, in counts.
    """

    reader: Literal["psf"]
    psf: Line
    channels: Count
    pixels_per_sample: Positive
    black_levels: list[Finite]
    images: dict[str, PairEntry]
