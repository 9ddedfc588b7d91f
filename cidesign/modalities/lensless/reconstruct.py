"""A capture of a lensless camera, with a calibration: images, baselines, and how far they can be trusted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from cidesign.calibration.lensless.capture import LenslessCapture
from cidesign.calibration.lensless.record import LenslessReadings, StoredLenslessCalibration
from cidesign.checks import Check
from cidesign.modalities.lensless.family import calibrated_noise, encoder_of, unit_of
from cidesign.modalities.lensless.outcome import ColourImage, draw_images
from cidesign.modalities.lensless.record import LenslessEntry, LenslessRecord
from cidesign.modalities.lensless.run import LenslessRun
from cidesign.modalities.lensless.solve import METHODS, images_of, student_image
from cidesign.physics.metrics import psnr_db, ssim
from cidesign.reconstruct.outcome import COMPARISON, cut_off, shown
from cidesign.reconstruct.pipeline import Findings, Reconstructor, Scene
from cidesign.reconstruct.record import Disagreement, Uncertainty
from cidesign.reconstruct.uncertainty import deviation_of, disagreement, followed, generators

if TYPE_CHECKING:
    from cidesign.modalities.lensless.encoders.designed import MeasuredEncoder
    from cidesign.models.system import ImagingSystem

DRAWS, SEED = 8, 0
SSIM_MIN_SIDE = 11
UNITS = "reflectance: 0 no light, 1 the white of the calibration's target"
HEADER = ("image", "chi2", "range", "PSNR dB", "SSIM")
LOW_RESIDUAL = (
    "a low chi2 proves little where the sensor has about as many samples as the image has pixels: then a wrong PSF "
    "explains the readings too; point sources and the known target check it"
)

LenslessScene = Scene[LenslessRun, LenslessCapture, StoredLenslessCalibration, LenslessReadings]


@dataclass(frozen=True)
class Solved:
    """Images (C, H, W) by method, their chi squares, and the readings in the encoder's unit."""

    own: str
    images: dict[str, NDArray[np.float32]]
    chi_squares: dict[str, float]
    y: NDArray[np.float64]
    encoder: "MeasuredEncoder"


class LenslessReconstructor(
    Reconstructor[LenslessRun, LenslessCapture, StoredLenslessCalibration, LenslessReadings, Solved]
):
    """The student, the best linear estimate, Wiener's filter and ADMM-TV."""

    record = LenslessRecord
    # A check that could not be made is no reason to refuse, but one to say so.
    remarked = ("not checked",)

    def solve(self, scene: LenslessScene, system: "ImagingSystem") -> tuple[Solved, list[Check]]:
        """All images, told the measured PSF."""
        calibration, readings = scene.calibration.calibration, scene.measured
        operator = calibration.operator
        encoder = encoder_of(operator, calibrated_noise(calibration, len(scene.capture.scene)))
        y = readings.y / unit_of(operator)
        images = images_of(system, y, encoder)
        used = readings.valid
        chi = {
            name: float(np.mean((operator.predict(one) - readings.y)[used] ** 2 / readings.variance[used]))
            for name, one in images.items()
        }
        return Solved(system.decoder.column, images, chi, y, encoder), []

    def diagnose(self, scene: LenslessScene, system: "ImagingSystem", solved: Solved) -> Findings:
        """Scores where the truth is known, disagreement with ADMM-TV, and the scatter of the decoder's image."""
        truth, readings = scene.capture.truth, scene.measured
        entries = {
            name: _entry(METHODS.get(name, name), one, solved.chi_squares[name], truth)
            for name, one in solved.images.items()
        }
        leaves = [
            ColourImage(name, METHODS.get(name, name), one, _caption(entries[name]))
            for name, one in solved.images.items()
        ]
        if truth is not None:
            leaves.insert(0, ColourImage("truth", "truth (simulated)", truth.astype(np.float32)))
        own = solved.images[solved.own]
        apart = disagreement(own, solved.images["admm_tv"])
        spread = np.sqrt(readings.variance) / unit_of(scene.calibration.calibration.operator)
        scatter = deviation_of(
            student_image(system, solved.y + spread * rng.standard_normal(spread.shape), solved.encoder)
            for rng in followed(generators(DRAWS, SEED), DRAWS)
        )
        rms = float(np.sqrt(np.mean(scatter.astype(np.float64) ** 2)))
        channels = list(scene.capture.record.channels)
        rows, columns = own.shape[1:]
        heading = f"{rows} x {columns} in {', '.join(channels)}; 0 to 1, reflectance"
        channel, row, column = apart.place
        notes = [
            LOW_RESIDUAL,
            f"the image of the decoder and that of ADMM-TV differ by {apart.rms:.3f} (root mean square; 1 is white), "
            f"most in {channels[channel]} at row {row}, column {column} (counted from 0), by {apart.largest:+.3f}",
            f"uncertainty: noise makes the image of the decoder scatter by {rms:.4f} (root mean square, {DRAWS} "
            f"draws); "
            "errors of the PSF are not in it",
        ]
        return Findings(
            leaves=leaves,
            heading=heading,
            rows=[_row(entry) for entry in entries.values()],
            header=HEADER,
            entries={
                "simulated": scene.capture.bench is not None,
                "units": UNITS,
                "channels": channels,
                "repeats": len(scene.capture.scene),
                "readings_used": int(np.count_nonzero(readings.valid)),
                "readings_not_used": int(np.count_nonzero(~readings.valid)),
                "images": entries,
                "disagreement": Disagreement(
                    baseline="ADMM-TV", rms=apart.rms, row=row, column=column, largest=apart.largest
                ),
                "uncertainty": Uncertainty(draws=DRAWS, student_rms=rms),
            },
            notes=notes,
            pictures={COMPARISON: lambda: draw_images(leaves, heading)},
        )


def _entry(
    title: str, image: NDArray[np.float32], chi_square: float, truth: NDArray[np.float64] | None
) -> LenslessEntry:
    scores: dict[str, float | None] = {}
    if truth is not None:
        x_hat, x = (torch.from_numpy(np.ascontiguousarray(one, dtype=np.float64))[None] for one in (image, truth))
        scores["psnr_db"] = None if torch.equal(x_hat, x) else float(psnr_db(x_hat, x))
        scores["ssim"] = float(ssim(x_hat, x)) if min(image.shape[1:]) >= SSIM_MIN_SIDE else None
    return LenslessEntry.model_validate(
        {**dict(cut_off(image)), "title": title, "chi_square_reduced": chi_square, **scores}
    )


def _caption(entry: LenslessEntry) -> str:
    scored = f"{shown(entry.psnr_db, '.2f')} dB, " if "psnr_db" in entry.model_fields_set else ""
    return f"{scored}chi² {entry.chi_square_reduced:.2f}"


def _row(entry: LenslessEntry) -> tuple[str, ...]:
    return (
        entry.title,
        f"{entry.chi_square_reduced:.2f}",
        f"{entry.minimum:.2f} .. {entry.maximum:.2f}",
        shown(entry.psnr_db, ".2f"),
        shown(entry.ssim, ".3f"),
    )
