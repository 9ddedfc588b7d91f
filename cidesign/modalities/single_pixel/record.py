"""What the records of single-pixel reconstructions add to those of all."""

from typing import Annotated

from pydantic import Field

from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel.full_basis.hadamard_settle import SettledRecord
from cidesign.reconstruct.record import Count, CutOff, Entry, Line, ReconstructionRecord, VerifiedRecord
from cidesign.records import Finite, NotNegative, Positive, Strict


class LargestResidual(Strict):
    """Where the residual, in units of its noise, is largest."""

    pattern: Count
    normalised: Finite


class ImageEntry(CutOff):
    """How an image explains the readings; the scores are known where the truth is, None where they have no value."""

    title: Line
    chi_square_reduced: NotNegative
    largest_residual: LargestResidual
    residual_neighbour_correlation: Finite
    residual_number_correlation: Finite
    residual_mean_correlation: Finite
    normalised_residuals: list[Finite]
    psnr_db: Finite | None = None
    ssim: Finite | None = None
    correlation: Finite | None = None


class HeldOutEntry(Strict):
    """Errors of one image on held-out readings."""

    error_over_noise: NotNegative
    error_over_expected: NotNegative
    error_over_variation: NotNegative


class HeldOutRecord(Strict):
    """Held-out readings of all images."""

    meaning: Line
    folds: Count
    readings: Count
    images: dict[str, HeldOutEntry]
    error_over_wrong_order: NotNegative


class LampEntry(Strict):
    """What the lamp did while the sequence ran."""

    corrected: bool
    degree: Count
    drift_peak_to_peak_percent: NotNegative
    flicker_percent: NotNegative
    flicker_hz: Positive | None
    pair_sum_scatter_percent: NotNegative
    scatter_over_expected_noise: NotNegative | None


class SinglePixelRecord(VerifiedRecord):
    """Of a capture of the designed patterns."""

    patterns: Count
    patterns_left_out: list[Count]
    repeats: Count
    light_level: Estimate
    lamp: LampEntry | None
    images: dict[str, ImageEntry]
    held_out: HeldOutRecord | None = None


class PatternSetEntry(Entry):
    """One set of patterns and one way to images, on a full basis: scores against it, means over the draws."""

    patterns: Line
    reconstruction: Line
    draws: Count
    psnr_db: Finite | None
    ssim: Finite | None
    correlation: Finite | None
    psnr_db_deviation: NotNegative | None = None
    first_draw: CutOff


class RowsEntry(CutOff):
    """One image from the rows that were measured."""

    patterns: Line
    reconstruction: Line
    chi_square_reduced: NotNegative


class FullBasisRecord(ReconstructionRecord):
    """Of a capture of Hadamard rows, all or some of them."""

    reader: Line
    pixels: Count
    patterns: Count
    scale_divisor: Positive
    scale_percentile: Positive
    noise_variance: Positive
    table: list[Annotated[PatternSetEntry | RowsEntry, Field(union_mode="left_to_right")]]
    region: Count | None = None
    region_label: Line | None = None
    noise_is_upper_bound: bool | None = None
    full_basis: CutOff | None = None
    readings: SettledRecord | None = None


RECORDS: dict[str | None, type[ReconstructionRecord]] = {
    None: SinglePixelRecord,
    "hadamard": FullBasisRecord,
    "spas": FullBasisRecord,
}
