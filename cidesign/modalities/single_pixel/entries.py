"""What is said of a capture of the designed patterns, and of the images that it becomes; without torch."""

from collections.abc import Mapping
from typing import Any

from cidesign.calibration.single_pixel.capture import Capture
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.nominal import NominalCalibration
from cidesign.calibration.single_pixel.record import PatternCalibration
from cidesign.modalities.single_pixel.diagnostics import diagnose as spc_diagnostics
from cidesign.modalities.single_pixel.diagnostics.residuals import HeldOut, Residuals
from cidesign.modalities.single_pixel.record import ImageEntry, LampEntry, LargestResidual
from cidesign.reconstruct.outcome import NamedImage, cut_off, rounded, shown

UNITS = "reflectance of the white reference (0 no light, 1 white)"
ARBITRARY = "arbitrary: the scene has the contrast of the training images"
# Outside this range of mean levels the student sees scenes unlike those it was trained on.
LIGHT_RATIO = (0.5, 2.0)
CHI_SQUARE_MEANING = (
    "chi2/K is 1 where an image explains the readings to their noise; with fewer readings than pixels these images fit "
    "them all and lie below, which does not prove that the operator is right; far above 1 something is wrong"
)
HEADER = ("image", "chi2/K", "held out", "largest residual", "range", "PSNR dB", "SSIM", "correlation")


def capture_entries(
    capture: Capture, calibration: PatternCalibration[Any], measured: Measurements, count: int
) -> dict[str, object]:
    """What the record says of the capture and of what was measured."""
    return {
        "simulated": capture.bench is not None,
        "units": units_of(calibration),
        "patterns": len(measured.kept),
        "patterns_left_out": sorted(set(range(count)) - set(measured.kept.tolist())),
        "repeats": measured.repeats,
        "light_level": measured.light_level,
        "lamp": lamp_entry(measured),
        "pictures": {"residuals": spc_diagnostics.RESIDUALS_TEXT},
    }


def units_of(calibration: PatternCalibration[Any]) -> str:
    """The unit of images, which readings alone do not tell."""
    arbitrary = isinstance(calibration, NominalCalibration) and not calibration.measured
    return ARBITRARY if arbitrary else UNITS


def light_notes(measurements: Measurements, prior_level: float) -> list[str]:
    """What is remarked on a scene that is brighter or darker than the training images, where its light was measured."""
    if measurements.light_level.standard_error >= measurements.light_level.value:
        return []
    level = measurements.light_level.value / float(measurements.light_weights.mean())
    ratio = level / prior_level
    if LIGHT_RATIO[0] <= ratio <= LIGHT_RATIO[1]:
        return []
    return [
        f"the scene's mean level is {level:.3f}, {ratio:.2f} times that of the training "
        f"images ({prior_level:.3f}); the student may be less accurate, adjust the light or the white reference"
    ]


def lamp_entry(measurements: Measurements) -> LampEntry | None:
    """What the lamp did, None where nothing shows it."""
    lamp = measurements.lamp
    if lamp is None:
        return None
    wave = lamp.flicker
    return LampEntry(
        corrected=lamp.degree > 0 or wave is not None,
        degree=lamp.degree,
        drift_peak_to_peak_percent=lamp.drift_percent,
        flicker_percent=wave.amplitude_percent if wave else 0.0,
        flicker_hz=wave.frequency_hz if wave else None,
        pair_sum_scatter_percent=lamp.scatter_percent,
        scatter_over_expected_noise=measurements.scatter_ratio,
    )


def image_entry(named: NamedImage, found: Residuals, scores: Mapping[str, Any]) -> ImageEntry:
    """How an image explains the readings, with its `scores` where the truth is known."""
    index, largest = found.largest
    return ImageEntry(
        **dict(cut_off(named.image)),
        title=named.title,
        chi_square_reduced=found.chi_square_reduced,
        largest_residual=LargestResidual(pattern=int(found.numbers[index]), normalised=largest),
        residual_neighbour_correlation=found.neighbour_correlation,
        residual_number_correlation=found.number_correlation,
        residual_mean_correlation=found.mean_correlation,
        normalised_residuals=rounded(found.normalised),
        **scores,
    )


def caption(entry: ImageEntry) -> str:
    """What stands below an image."""
    psnr = f"{shown(entry.psnr_db, '.2f')} dB, " if "psnr_db" in entry.model_fields_set else ""
    return f"{psnr}chi²/K {entry.chi_square_reduced:.2g}"


def row_of(named: NamedImage, entry: ImageEntry, held: HeldOut | None) -> tuple[str, ...]:
    """The row of an image, under `HEADER`."""
    largest = entry.largest_residual
    return (
        named.title,
        f"{entry.chi_square_reduced:.2g}",
        shown(None if held is None else held.relative, ".1%"),
        f"{largest.normalised:+.1f} (pattern {largest.pattern})",
        f"{entry.minimum:.2f} .. {entry.maximum:.2f}",
        shown(entry.psnr_db, ".2f"),
        shown(entry.ssim, ".3f"),
        shown(entry.correlation, ".3f"),
    )
