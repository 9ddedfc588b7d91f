"""A raw image of any lensless camera with its PSF: Wiener's filter, ADMM-TV, and the decoder of a run if there is one.

Neither a mask nor a profile of that camera is needed: the image of a point source says all that an image takes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from cidesign.calibration.lensless.operator import LenslessOperator
from cidesign.calibration.lensless.pairs.pair import Pair, read_pair
from cidesign.data.procedural import dead_leaves
from cidesign.errors import InputError
from cidesign.modalities.lensless.classical import admm_tv, wiener
from cidesign.modalities.lensless.data.leaves import colour_leaves
from cidesign.modalities.lensless.family import encoder_of, unit_of
from cidesign.modalities.lensless.outcome import ColourImage, draw_images
from cidesign.modalities.lensless.record import PairEntry, PairRecord
from cidesign.modalities.lensless.run import LenslessRun
from cidesign.modalities.lensless.solve import METHODS, images_of
from cidesign.models.system import ImagingSystem, load_student
from cidesign.physics.base import ImagePrior
from cidesign.physics.linear_inverse import fit_prior
from cidesign.physics.noise import PixelNoise
from cidesign.reconstruct.gate import common_entries, entries_of
from cidesign.reconstruct.outcome import COMPARISON, Reconstruction, cut_off
from cidesign.verb_settings import InputPath, VerbSettings

HEADER = ("image", "left of the readings", "range")
SCALE_PERCENTILE = 99.5
# Of a raw image that nothing is known of, as a part of its brightest reading.
NOISE_PART = 0.01
# Procedural images that say what pictures are like, where no run does.
LEAVES, LEAVES_SIDE = 64, 64
NO_RUN = "(no run)"
NOTES = (
    "nothing of this camera was verified: a PSF of another day, mirrored or out of focus spoils all images alike",
    f"brightness and colours are not known: each image is divided by its {SCALE_PERCENTILE:g}th percentile",
    "light that the PSF throws beside the sensor is not known and counts as none; the field is that of the sensor",
)


class ReadPair(VerbSettings):
    """`psf`: the image of the point source; `side`: most samples along a side, to which both are averaged."""

    psf: InputPath | None = None
    side: Annotated[int, Field(ge=16, le=1024)] = 256


@dataclass(frozen=True)
class _Solver:
    """What makes images: `system` of a run, None without one; `prior`: what pictures are like."""

    prior: ImagePrior
    system: ImagingSystem | None

    def images(self, y: NDArray[np.float64], operator: LenslessOperator) -> dict[str, NDArray[np.float32]]:
        """Images (C, H, W) by method of readings in the encoder's unit."""
        encoder = encoder_of(operator, PixelNoise((1 / NOISE_PART) ** 2, 0.0, float(y.max())))
        if self.system is not None:
            return images_of(self.system, y, encoder)
        readings = torch.from_numpy(y.astype(np.float32))[None]
        found = {"wiener": wiener(readings, encoder, self.prior), "admm_tv": admm_tv(readings, encoder, self.prior)}
        return {name: one[0].numpy().astype(np.float32) for name, one in found.items()}


def reconstruct_pair(run: LenslessRun | None, path: Path, settings: ReadPair) -> Reconstruction:
    """Images of a raw picture with the PSF of its own camera, by the decoder of a run too where there is one.

    Raises `InputError` without a PSF or for channels that the decoder does not make, and `FileError` for a pair that
    does not fit together.
    """
    if settings.psf is None:
        raise InputError("--reader psf: needs the image of the point source of that camera: --set psf=FILE")
    pair = read_pair(path, settings.psf, settings.side)
    solver = _solver(run, len(pair.raw))
    bands = len(solver.prior.mean)
    if len(pair.raw) not in (1, bands):
        known = NO_RUN if run is None else run.known_as
        raise InputError(f"{path}: {len(pair.raw)} channels, and the decoder of {known} makes {bands}")
    raw, operator = _in_channels(pair, bands)
    y, scale = _scaled(raw, operator, float(solver.prior.mean.mean()))
    images = solver.images(y, operator)
    left = {name: _left(operator, one, y) for name, one in images.items()}
    # Nobody knows how bright the scene was: each image is shown with its own white.
    divisors = {name: max(float(np.percentile(one, SCALE_PERCENTILE)), 1e-9) for name, one in images.items()}
    leaves = [
        ColourImage(name, METHODS.get(name, name), (one / divisors[name]).astype(np.float32))
        for name, one in images.items()
    ]
    return _reconstruction(run, path, settings.psf, pair, leaves, left, scale)


def _solver(run: LenslessRun | None, channels: int) -> _Solver:
    if run is not None:
        system = load_student(run)
        return _Solver(system.decoder.prior, system)
    colour = channels == 3
    leaves = colour_leaves(LEAVES, LEAVES_SIDE, 0) if colour else dead_leaves(LEAVES, LEAVES_SIDE, 0)[:, None]
    return _Solver(fit_prior([torch.from_numpy(leaves.astype(np.float32) / 255)]), None)


def _in_channels(pair: Pair, bands: int) -> tuple[NDArray[np.float64], LenslessOperator]:
    """The raw image in as many channels as the decoder makes, and the operator of PSFs of the same sum.

    The PSF lies around the middle of an image that is as large as the sensor; beyond the sensor it is dark.
    """
    raw, psf = (np.repeat(one, bands // len(one), axis=0) for one in (pair.raw, pair.psf))
    psf = psf / psf.sum(axis=(1, 2), keepdims=True)
    _, height, width = psf.shape
    whole = np.zeros((bands, 2 * height - 1, 2 * width - 1))
    top, left = height - 1 - height // 2, width - 1 - width // 2
    whole[:, top : top + height, left : left + width] = psf
    return raw, LenslessOperator(whole * height * width, np.ones((height, width)))


def _scaled(raw: NDArray[np.float64], operator: LenslessOperator, level: float) -> tuple[NDArray[np.float64], float]:
    """Readings in the encoder's unit, as bright as those of the mean training image."""
    wanted = level * float(operator.white().mean()) / unit_of(operator)
    scale = float(raw.mean()) / wanted
    return raw / scale, scale


def _left(operator: LenslessOperator, image: NDArray[np.float32], y: NDArray[np.float64]) -> float:
    """The part of the readings' structure that an image does not explain."""
    rest = operator.predict(image) / unit_of(operator) - y
    return float(np.linalg.norm(rest) / np.linalg.norm(y - y.mean(axis=(1, 2), keepdims=True)))


def _reconstruction(
    run: LenslessRun | None,
    path: Path,
    psf: Path,
    pair: Pair,
    leaves: list[ColourImage],
    left: dict[str, float],
    scale: float,
) -> Reconstruction:
    levels = ", ".join(f"{one:.4g}" for one in pair.black_levels)
    decoder = (
        "no run was named: no decoder made an image; what pictures are like was learnt from procedural ones"
        if run is None
        else f"the decoder was trained for the run's mask; it is told this camera's PSF ({scale:.3g} counts of y are 1)"
    )
    notes = [*pair.notes, f"black level {levels} counts, read from the PSF, is taken off both", *NOTES, decoder]
    entries = {
        leaf.name: PairEntry(**dict(cut_off(leaf.image)), title=leaf.title, relative_residual=left[leaf.name])
        for leaf in leaves
    }
    common = (
        entries_of("lensless", NO_RUN, NO_RUN, str(path), notes)
        if run is None
        else common_entries(run, str(path), notes)
    )
    record = PairRecord.model_validate(
        {
            **common,
            "reader": "psf",
            "psf": str(psf),
            "channels": len(pair.raw),
            "pixels_per_sample": float(pair.step),
            "black_levels": [float(one) for one in pair.black_levels],
            "images": entries,
        }
    )
    rows, columns = leaves[0].image.shape[1:]
    heading = f"{path.name} with the PSF {psf.name}: {rows} x {columns}, {len(pair.raw)} channel(s)"
    return Reconstruction(
        leaves=leaves,
        record=record,
        heading=heading,
        rows=[_row(entry) for entry in entries.values()],
        header=HEADER,
        pictures={COMPARISON: lambda: draw_images(leaves, heading)},
    )


def _row(entry: PairEntry) -> tuple[str, ...]:
    return entry.title, f"{entry.relative_residual:.3f}", f"{entry.minimum:.2f} .. {entry.maximum:.2f}"
