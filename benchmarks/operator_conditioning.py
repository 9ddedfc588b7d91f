"""What it is worth to tell the student's decoder the operator of the bench, and to fine-tune it for that operator.

A bench departs from the design as rows of the table say.  Its operator is known as a calibration knows it: operators
are drawn around the one that decoders are told, with the standard errors below.  Columns, PSNR in dB, mean +- standard
error over images that no training saw (a new set of images, noise and draws for every seed): the student told the
design; told the calibrated operator; fine-tuned with it; the best linear estimate told it; and paired differences.

Run: python benchmarks/operator_conditioning.py RUN... [--seeds 3] [--images N] [--held-out 64]
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.calibration.single_pixel.operator import Placement, SpcOperator
from cidesign.distill.fine_tune import MeanError, Quality, fine_tune, fine_tune_settings
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.family import CassiFamily
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.modalities.mri.family import KspaceFamily
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.mri.solve import calibrated_encoder
from cidesign.modalities.single_pixel.family import SinglePixelFamily
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modality import modality
from cidesign.models.system import load_student
from cidesign.physics.noise import DetectorNoise, PixelNoise
from cidesign.physics.operator_family import OperatorFamily
from cidesign.runs import Run

ROTATION_DEG, SHIFT_PX, CORNER_LOSS = 2.0, 1.0, 0.3
ROTATION_ERROR_DEG, SHIFT_ERROR_PX, LIGHT_ERROR = 0.03, 0.02, 0.005
DIM_PHOTOELECTRONS = 1e5
MASK_TURN_DEG, ACROSS_PX, STEP = 0.5, 0.7, 1.04
MASK_ERROR_PX = 0.003
OTHER_COILS = 8
# Training images come from seeds below 2**32, validation images from those above.
TRAIN_SEED, HELD_OUT_SEED = 2**35, 2**36


def single_pixel(run: SinglePixelRun) -> Iterator[tuple[str, OperatorFamily]]:
    """Patterns turned, shifted and unevenly lit; and the same with a hundredth of the light."""
    settings = run.settings
    at = np.linspace(-1, 1, settings.side)
    light = 1 - CORNER_LOSS * (at[:, None] ** 2 + at**2) / 2
    place = Placement(ROTATION_DEG, 0.0, SHIFT_PX)
    errors = ROTATION_ERROR_DEG, SHIFT_ERROR_PX, LIGHT_ERROR
    operator = SpcOperator(place, 1, light / light.mean(), *errors, True)
    noise = DetectorNoise(settings.photoelectrons_per_frame, settings.read_noise_photoelectrons, settings.encoding)
    words = f"turned {ROTATION_DEG:g} deg, shift {SHIFT_PX:g} px, corners -{CORNER_LOSS:.0%}"
    yield words, SinglePixelFamily.around(operator, run.design, noise)
    dim = replace(noise, photoelectrons_per_frame=DIM_PHOTOELECTRONS)
    yield f"the same, {DIM_PHOTOELECTRONS:g} photoelectrons", SinglePixelFamily.around(operator, run.design, dim)


def scan(run: MriRun) -> Iterator[tuple[str, OperatorFamily]]:
    """Coils with other maps than those of the training; and more coils."""
    settings = run.settings
    for coils in dict.fromkeys((settings.coils, OTHER_COILS)):
        if coils > 1:
            maps = coil_maps(coils, settings.side, 1).astype(np.complex64)
            yield f"{coils} coils with other maps", KspaceFamily(calibrated_encoder(run.design, maps, settings.noise))


def cassi(run: CassiRun) -> Iterator[tuple[str, OperatorFamily]]:
    """The mask turned, shifted across the dispersion, and another step of the dispersion."""
    encoder = load_student(run).encoder
    assert isinstance(encoder, SdCassiEncoder)
    assert encoder.noise is not None
    noise = PixelNoise(**vars(encoder.noise))
    operator = misplaced(run.design.levels.astype(np.float32), encoder.dispersion)
    words = f"turned {MASK_TURN_DEG:g} deg, {ACROSS_PX:g} px across, step x {STEP:g}"
    yield words, CassiFamily.around(operator, MASK_ERROR_PX, noise)


def misplaced(mask: np.ndarray, dispersion: Dispersion) -> CassiOperator:
    """The drawn mask (H, W) on a detector that is turned and moved, with a longer dispersion."""
    angle = math.radians(MASK_TURN_DEG)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = (np.array(mask.shape) - 1) / 2
    along_columns = dispersion.axis == "columns"
    ways = []
    for shift in dispersion.shift_px:
        along = STEP * shift if dispersion.sign > 0 else dispersion.span_px - STEP * shift
        moved = np.array([ACROSS_PX, along] if along_columns else [along, ACROSS_PX])
        ways.append(np.column_stack([turn, middle - turn @ (moved + middle)]))
    height, width = mask.shape
    size = (height, width + dispersion.span_px) if along_columns else (height + dispersion.span_px, width)
    masks = np.repeat(mask[None], len(ways), axis=0)
    return CassiOperator(masks, np.array(ways), np.ones(len(ways)), size)


def cases(run: Run) -> Iterator[tuple[str, OperatorFamily]]:
    """What is wrong, and the operators that a calibration of it leaves open."""
    modality = run.settings.modality
    if modality == "single-pixel":
        return single_pixel(SinglePixelRun(run.path))
    return scan(MriRun(run.path)) if modality == "mri" else cassi(CassiRun(run.path))


def measure(run: Run, family: OperatorFamily, seed: int, images: int | None, held_out: int) -> tuple[Quality, bool]:
    """Fine-tune with one seed, and the quality on images of that seed."""
    settings = fine_tune_settings(run.settings, None, images, seed, "cpu")
    kind = modality(run.settings.modality)
    # The shipped function halves the held-out images: one half decides, the other is reported.
    pictures = tuple(
        torch.from_numpy(kind.procedural_images(run.settings, run.profile, count, start + seed))
        for count, start in ((settings.images, TRAIN_SEED), (2 * held_out, HELD_OUT_SEED))
    )
    found = fine_tune(load_student(run), family, (pictures[0], pictures[1]), run.settings, settings)
    return found.reported, found.kept


def pooled(parts: list[MeanError | None]) -> str:
    """The mean of means of equally many images, with its standard error."""
    known = [part for part in parts if part is not None]
    if not known:
        return "-"
    mean = sum(part.mean for part in known) / len(known)
    error = math.hypot(*(part.standard_error for part in known)) / len(known)
    return f"{mean:.2f} ± {error:.2f}"


def main() -> None:
    """Print one row for each case of each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=None)
    parser.add_argument("--held-out", type=int, default=64)
    asked = parser.parse_args()
    names = ("blind", "told", "fine-tuned", "best linear", "told - blind", "fine-tuned - told")
    print(f"{'run':8}{'bench':52}" + "".join(f"{name:>18}" for name in names) + "  kept")
    for path in asked.runs:
        run = Run(path)
        for words, family in cases(run):
            found = [measure(run, family, seed, asked.images, asked.held_out) for seed in range(asked.seeds)]
            parts = [quality for quality, _ in found]
            cells = [
                pooled([quality.blind for quality in parts]),
                pooled([quality.before for quality in parts]),
                pooled([quality.after for quality in parts]),
                pooled([quality.linear for quality in parts]),
                pooled([quality.conditioning for quality in parts]),
                pooled([quality.gain for quality in parts]),
            ]
            kept = sum(kept for _, kept in found)
            print(f"{path.name:8}{words:52}" + "".join(f"{cell:>18}" for cell in cells) + f"  {kept}/{len(found)}")


if __name__ == "__main__":
    main()
