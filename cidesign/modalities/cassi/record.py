"""What the records of spectral reconstructions add to those of all."""

from cidesign.reconstruct.record import Count, CutOff, Line, VerifiedRecord
from cidesign.records import Finite, NotNegative


class CubeEntry(CutOff):
    """How a cube explains the readings; the scores are known where the truth is, None where they have no value."""

    title: Line
    chi_square_reduced: NotNegative
    residual_neighbour_correlation: Finite
    psnr_db: Finite | None = None
    ssim: Finite | None = None
    spectral_angle_degrees: Finite | None = None


class CassiRecord(VerifiedRecord):
    """Of the detector image of a scene."""

    wavelengths_nm: list[Finite]
    repeats: Count
    readings_used: Count
    readings_dead_or_saturated: Count
    raw_readings_saturated: Count
    operator_error: NotNegative | None
    light_over_training: Finite
    images: dict[str, CubeEntry]
