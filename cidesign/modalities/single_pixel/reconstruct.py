"""A capture of the designed patterns, with a calibration: images, baselines, diagnostics."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.capture import Capture
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.nominal import NominalCalibration
from cidesign.calibration.single_pixel.record import PatternCalibration
from cidesign.checks import Check
from cidesign.modalities.single_pixel import solve
from cidesign.modalities.single_pixel.diagnostics import diagnose as spc_diagnostics
from cidesign.modalities.single_pixel.diagnostics.maps import DRAWS, SEED, Bench, Prior, SpcMaps, make_maps
from cidesign.modalities.single_pixel.diagnostics.residuals import HeldOut, Residuals, residuals
from cidesign.modalities.single_pixel.record import ImageEntry, LampEntry, LargestResidual, SinglePixelRecord
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modalities.single_pixel.score import score
from cidesign.reconstruct.classify import Told
from cidesign.reconstruct.outcome import COMPARISON, NamedImage, cut_off, draw_panels, rounded, shown
from cidesign.reconstruct.pipeline import Findings, Reconstructor, Scene
from cidesign.reconstruct.uncertainty import generators

if TYPE_CHECKING:
    from cidesign.models.system import ImagingSystem
    from cidesign.physics.noise import DetectorNoise

UNITS = "reflectance of the white reference (0 no light, 1 white)"
ARBITRARY = "arbitrary: the scene has the contrast of the training images"
# The factor of larger ones takes minutes.
MOST_TV_ENTRIES = 2**25
# Outside this range of mean levels the student sees scenes unlike those it was trained on.
LIGHT_RATIO = (0.5, 2.0)
CHI_SQUARE_MEANING = (
    "chi2/K is 1 where an image explains the readings to their noise; with fewer readings than pixels these images fit "
    "them all and lie below, which does not prove that the operator is right; far above 1 something is wrong"
)
HEADER = ("image", "chi2/K", "held out", "largest residual", "range", "PSNR dB", "SSIM", "correlation")

SpcScene = Scene[SinglePixelRun, Capture, PatternCalibration[Any], Measurements]


@dataclass(frozen=True)
class Solved:
    """The images, the first of which is the decoder's where it makes images, and the noise that it was told; `linear`
    names the best linear estimate among them."""

    images: list[NamedImage]
    noise: "DetectorNoise"
    linear: str
    notes: list[str]


class SinglePixelReconstructor(Reconstructor[SinglePixelRun, Capture, PatternCalibration[Any], Measurements, Solved]):
    """The student, the best linear estimate, least squares and TV, with maps of what can be said of them."""

    record = SinglePixelRecord
    remarked = ("corrected",)

    def solve(self, scene: SpcScene, system: "ImagingSystem") -> tuple[Solved, list[Check]]:
        """All images from the calibrated operator and its noise."""
        measured, calibration = scene.measured, scene.calibration
        peak = calibration.response.with_peak(calibration.optics.peak_over_mean)
        noise = solve.calibrated_noise(peak, scene.run.design.encoding)
        # What learns nothing is the best linear estimate itself, and classes are no image.
        name = "lmmse" if system.decoder.learns else system.decoder.column
        linear = NamedImage(name, "best linear (LMMSE)", solve.best_linear_calibrated(system, measured))
        images = [linear]
        if system.decoder.draws:
            decoded = solve.decode(system, measured.y, measured.signed, noise)
            images.insert(0, NamedImage(system.decoder.column, system.decoder.column, decoded))
        images.append(NamedImage("tikhonov", "least squares (Tikhonov)", solve.tikhonov_calibrated(system, measured)))
        notes = []
        if measured.signed.size <= MOST_TV_ENTRIES:
            images.append(NamedImage("tv", "least variation (TV)", solve.least_variation(measured, linear.image)))
        else:
            notes = [f"TV is left out: {len(measured.kept)} patterns of {linear.image.size} pixels take minutes"]
        return Solved(images, noise, name, notes), []

    def diagnose(self, scene: SpcScene, system: "ImagingSystem", solved: Solved) -> Findings:
        """Residuals, held-out readings, disagreement and scatter."""
        design, measured, images = scene.run.design, scene.measured, solved.images
        prior = solve.image_statistics(system)
        bench = _bench(scene)
        by_name = {image.name: image.image for image in images}
        decode = solve.decoder_of(system, solved.noise) if system.decoder.draws else None
        maps = make_maps(bench, prior, decode, by_name, solved.linear)
        truth = None if scene.capture.truth is None else scene.capture.truth.astype(np.float32)
        found = {image.name: residuals(image.image, measured) for image in images}
        entries = {image.name: _entry(image, found[image.name], truth) for image in images}
        record = _record(scene) | {"images": entries}
        if maps is not None:
            record["held_out"] = spc_diagnostics.held_out_record(maps)
            record |= spc_diagnostics.trust(maps, truth, by_name).entries
        panels = [NamedImage(i.name, i.title, i.image, _caption(entries[i.name])) for i in images]
        if truth is not None:
            panels.insert(0, NamedImage("truth", "truth (simulated)", truth))
        units = _units(scene).partition(" (")[0]
        heading = f"{design.count} patterns of {design.side} x {design.side}; grey: 0 to 1, {units}"
        drawn_maps = [] if maps is None else spc_diagnostics.named_maps(maps)
        return Findings(
            leaves=images,
            heading=heading,
            rows=[
                _row(image, entries[image.name], maps.held_out.get(image.name) if maps else None) for image in images
            ],
            header=HEADER,
            entries=record,
            notes=[*_notes(scene, prior, design.count, found[solved.linear], maps), *solved.notes],
            pictures={
                COMPARISON: lambda: draw_panels(panels, len(panels), heading, drawn_maps),
                "residuals": lambda: spc_diagnostics.draw_residuals(images, found, maps, design.count),
            },
            map_leaves=drawn_maps,
        )

    def told(self, scene: SpcScene, solved: Solved) -> Told:
        """The calibrated operator with its noise, and readings of the best linear estimate's scene drawn again."""
        bench = _bench(scene)
        linear = next(image.image for image in solved.images if image.name == solved.linear)
        again = np.stack([bench.drawn(linear, rng)[0] for rng in generators(DRAWS, SEED)])
        return solve.told(scene.measured.y, again, scene.measured.signed, solved.noise)


def _bench(scene: SpcScene) -> Bench:
    return Bench(scene.run.design, scene.calibration.response, scene.calibration.optics, scene.measured)


def _notes(scene: SpcScene, prior: Prior, count: int, linear: Residuals, maps: SpcMaps | None) -> list[str]:
    measured = scene.measured
    # Light that nobody measured is nothing to remark on.
    known = measured.light_level.standard_error < measured.light_level.value
    return [
        *measured.notes,
        *(_light_notes(measured, prior.level) if known else ()),
        *spc_diagnostics.left_out_words(measured, count),
        *spc_diagnostics.time_notes(linear),
        *_map_notes(maps, measured),
        CHI_SQUARE_MEANING,
    ]


def _record(scene: SpcScene) -> dict[str, object]:
    """What the record says of the capture and of what was measured."""
    measured = scene.measured
    return {
        "simulated": scene.capture.bench is not None,
        "units": _units(scene),
        "patterns": len(measured.kept),
        "patterns_left_out": sorted(set(range(scene.run.design.count)) - set(measured.kept.tolist())),
        "repeats": measured.repeats,
        "light_level": measured.light_level,
        "lamp": _lamp_entry(measured),
        "pictures": {"residuals": spc_diagnostics.RESIDUALS_TEXT},
    }


def _units(scene: SpcScene) -> str:
    nominal = scene.calibration
    return ARBITRARY if isinstance(nominal, NominalCalibration) and not nominal.measured else UNITS


def _map_notes(maps: SpcMaps | None, measurements: Measurements) -> list[str]:
    if maps is not None:
        return spc_diagnostics.map_notes(maps)
    count, side = measurements.signed.shape[:2]
    return [
        f"held-out readings and uncertainty are left out: with {count} patterns of {side} x {side} they take too "
        "long, or a single one leaves nothing to hold out"
    ]


def _light_notes(measurements: Measurements, prior_level: float) -> list[str]:
    level = measurements.light_level.value / float(measurements.light_weights.mean())
    ratio = level / prior_level
    if LIGHT_RATIO[0] <= ratio <= LIGHT_RATIO[1]:
        return []
    return [
        f"the scene's mean level is {level:.3f}, {ratio:.2f} times that of the training "
        f"images ({prior_level:.3f}); the student may be less accurate, adjust the light or the white reference"
    ]


def _lamp_entry(measurements: Measurements) -> LampEntry | None:
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


def _entry(named: NamedImage, found: Residuals, truth: NDArray[np.float32] | None) -> ImageEntry:
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
        **({} if truth is None else score(named.image, truth)._asdict()),
    )


def _caption(entry: ImageEntry) -> str:
    psnr = f"{shown(entry.psnr_db, '.2f')} dB, " if "psnr_db" in entry.model_fields_set else ""
    return f"{psnr}chi²/K {entry.chi_square_reduced:.2g}"


def _row(named: NamedImage, entry: ImageEntry, held: HeldOut | None) -> tuple[str, ...]:
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
