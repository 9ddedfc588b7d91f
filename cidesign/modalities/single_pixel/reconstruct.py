"""A capture of the designed patterns, with a calibration: images, baselines, diagnostics."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cidesign.calibration.single_pixel.capture import Capture
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.record import PatternCalibration
from cidesign.checks import Check
from cidesign.modalities.single_pixel import solve
from cidesign.modalities.single_pixel.diagnostics import diagnose as spc_diagnostics
from cidesign.modalities.single_pixel.diagnostics.maps import DRAWS, SEED, Bench, Prior, SpcMaps, make_maps
from cidesign.modalities.single_pixel.diagnostics.residuals import Residuals, residuals
from cidesign.modalities.single_pixel.entries import (
    CHI_SQUARE_MEANING,
    HEADER,
    caption,
    capture_entries,
    image_entry,
    light_notes,
    row_of,
    units_of,
)
from cidesign.modalities.single_pixel.record import SinglePixelRecord
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modalities.single_pixel.score import score
from cidesign.reconstruct.classify import Told
from cidesign.reconstruct.outcome import COMPARISON, NamedImage, draw_panels
from cidesign.reconstruct.pipeline import Findings, Reconstructor, Scene
from cidesign.reconstruct.uncertainty import generators

if TYPE_CHECKING:
    from cidesign.models.system import ImagingSystem
    from cidesign.physics.noise import DetectorNoise

# The factor of larger ones takes minutes.
MOST_TV_ENTRIES = 2**25

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

        def scores(image: NamedImage) -> dict[str, float | None]:
            return {} if truth is None else score(image.image, truth)._asdict()

        entries = {image.name: image_entry(image, found[image.name], scores(image)) for image in images}
        record = capture_entries(scene.capture, scene.calibration, measured, design.count) | {"images": entries}
        if maps is not None:
            record["held_out"] = spc_diagnostics.held_out_record(maps)
            record |= spc_diagnostics.trust(maps, truth, by_name).entries
        panels = [NamedImage(i.name, i.title, i.image, caption(entries[i.name])) for i in images]
        if truth is not None:
            panels.insert(0, NamedImage("truth", "truth (simulated)", truth))
        units = units_of(scene.calibration).partition(" (")[0]
        heading = f"{design.count} patterns of {design.side} x {design.side}; grey: 0 to 1, {units}"
        drawn_maps = [] if maps is None else spc_diagnostics.named_maps(maps)
        return Findings(
            leaves=images,
            heading=heading,
            rows=[
                row_of(image, entries[image.name], maps.held_out.get(image.name) if maps else None) for image in images
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
    return [
        *measured.notes,
        *light_notes(measured, prior.level),
        *spc_diagnostics.left_out_words(measured, count),
        *spc_diagnostics.time_notes(linear),
        *_map_notes(maps, measured),
        CHI_SQUARE_MEANING,
    ]


def _map_notes(maps: SpcMaps | None, measurements: Measurements) -> list[str]:
    if maps is not None:
        return spc_diagnostics.map_notes(maps)
    count, side = measurements.signed.shape[:2]
    return [
        f"held-out readings and uncertainty are left out: with {count} patterns of {side} x {side} they take too "
        "long, or a single one leaves nothing to hold out"
    ]
