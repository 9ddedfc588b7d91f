"""Images from the rows of a Hadamard matrix that were measured, without a truth to compare them with.

They rest on the rows alone: zeros or total variation in place of what was not measured, or what images are like.  A run
whose patterns have the same size adds what its decoder makes.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from scipy.linalg import cho_factor, cho_solve

from cidesign.calibration.single_pixel.full_basis.measured_rows import MeasuredRows
from cidesign.calibration.single_pixel.full_basis.rows import Rows, size_text
from cidesign.data.procedural import dead_leaves
from cidesign.modalities.single_pixel import solve
from cidesign.modalities.single_pixel.classical import strengths
from cidesign.modalities.single_pixel.encoder import single_band
from cidesign.modalities.single_pixel.full_basis.row_words import (
    SCALE_PERCENTILE,
    SMALLEST_VARIANCE,
    TITLES,
    full_basis_record,
    percentile_of,
    range_text,
)
from cidesign.modalities.single_pixel.record import FullBasisRecord, RowsEntry
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.models.system import load_student
from cidesign.physics.base import ImagePrior
from cidesign.physics.linear_inverse import fit_prior
from cidesign.physics.total_variation import gap_tv
from cidesign.reconstruct.outcome import COMPARISON, NamedImage, Reconstruction, cut_off, draw_panels

if TYPE_CHECKING:
    from cidesign.models.system import ImagingSystem

HEADER = ("reconstruction", "residual chi2", "lowest", "highest")
# Multiplications (of M rows of N pixels, M^2 N) up to which the linear estimate takes seconds.
MAX_PRODUCTS = 2**36
# Images without a run's statistics are taken to be like these.
PRIOR_IMAGES, PRIOR_SEED = 2000, 2**41


def reconstruct_rows(
    run: SinglePixelRun, measured: MeasuredRows, reader: str, remarks: list[str], region: int | None
) -> Reconstruction:
    """The images of the rows; raises `FileError` where there is no light in them."""
    size, count = measured.rows.size, measured.rows.count
    zero_filled = measured.image()
    divisor = percentile_of(zero_filled, f"{measured.path}: the image")
    pixels = math.prod(size)
    variance = max((measured.noise / divisor) ** 2 / pixels, SMALLEST_VARIANCE)
    same = size == (run.design.side, run.design.side)
    made = {_first_name(measured): (zero_filled / divisor).astype(np.float32)}
    made |= _estimates(load_student(run) if same else None, measured, divisor, variance)
    table = [
        RowsEntry(
            **dict(cut_off(image)),
            patterns="measured",
            reconstruction=name,
            chi_square_reduced=_chi_square(measured, image, divisor, variance),
        )
        for name, image in made.items()
    ]
    notes = [*remarks, *_notes(run, measured, same, divisor, variance, made)]
    record = full_basis_record(run, reader, measured.path, divisor, variance, notes) | {
        "pixels": pixels,
        "patterns": count,
        "region": region,
        "region_label": measured.label,
        "noise_is_upper_bound": measured.noise_is_bound,
        "readings": measured.record,
        "table": table,
    }
    images = [NamedImage(f"measured_{name}", TITLES[name], image) for name, image in made.items()]
    heading = f"{count} readings of {pixels} ({size_text(size)}): {measured.path.name}, {measured.label}"
    return Reconstruction(
        leaves=images,
        record=FullBasisRecord.model_validate(record),
        heading=heading,
        rows=[
            (TITLES[row.reconstruction], *(f"{x:.3f}" for x in (row.chi_square_reduced, row.minimum, row.maximum)))
            for row in table
        ],
        header=HEADER,
        pictures={COMPARISON: lambda: draw_panels(images, len(images), heading)},
    )


def _first_name(measured: MeasuredRows) -> str:
    return "inverse" if measured.complete else "zero_filled"


def _estimates(
    system: "ImagingSystem | None", measured: MeasuredRows, divisor: float, variance: float
) -> dict[str, NDArray[np.float32]]:
    """Linear estimate and total variation, and what the decoder of a run of this size makes."""
    size, scaled = measured.rows.size, measured.readings / divisor
    prior = procedural_prior(size) if system is None else system.decoder.prior
    found = {}
    if measured.complete:
        found["linear"] = shrunk(measured.image() / divisor, prior, variance)
    elif measured.rows.count**2 * math.prod(size) <= MAX_PRODUCTS:
        signed = measured.rows.signed()
        found["linear"] = best_linear(signed, scaled, prior, variance)
        if system is not None:
            noise = solve.constant_noise(variance, size[0])
            found["decoder"] = solve.decode(system, scaled / size[0], signed, noise)
    found["tv"] = total_variation(measured.rows, scaled, 0.0 if measured.noise_is_bound else measured.noise / divisor)
    return found


def best_linear(
    signed: NDArray[np.float32], readings: NDArray[np.float64], prior: ImagePrior, variance: float
) -> NDArray[np.float32]:
    """x = m + C A^T (A C A^T + s^2 I)^-1 (y - A m) of readings (M,) of patterns (M, H, W), all over the root of H W.

    `variance` s^2 is that of y.  The covariance C of the images is diagonal in the DCT.
    """
    spectral, root = single_band(prior), math.prod(signed.shape[1:]) ** 0.5
    level = float(spectral.mean_level)
    spectra = dctn(signed / np.float32(root), axes=(1, 2), norm="ortho").reshape(len(signed), -1)
    power = spectral.variance.numpy().reshape(-1)
    spread = ((spectra * power) @ spectra.T).astype(np.float64)
    spread[np.diag_indices_from(spread)] += variance
    rest = readings / root - level * signed.sum(axis=(1, 2), dtype=np.float64) / root
    weights = cho_solve(cho_factor(spread, overwrite_a=True), rest)
    coefficients = (power * (weights @ spectra)).reshape(signed.shape[1:])
    return np.asarray(level + idctn(coefficients, norm="ortho"), dtype=np.float32)


def shrunk(image: NDArray[np.float64], prior: ImagePrior, variance: float) -> NDArray[np.float32]:
    """The best linear estimate of an image (H, W) of all rows: its noise is white, so each DCT coefficient shrinks."""
    spectral = single_band(prior)
    level, power = float(spectral.mean_level), spectral.variance.numpy().astype(np.float64)
    coefficients = dctn(image - level, norm="ortho") * power / (power + variance)
    return np.asarray(level + idctn(coefficients, norm="ortho"), dtype=np.float32)


def total_variation(rows: Rows, readings: NDArray[np.float64], noise: float) -> NDArray[np.float32]:
    """GAP-TV of readings (M,) of a `noise`; the rows are orthogonal, A A^T = N, so that P is their inverse."""

    def forward(v: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(rows.readings(v[:, 0].numpy()))

    def project(left: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(rows.image(left.numpy()))[:, None]

    y = torch.from_numpy(np.asarray(readings, dtype=np.float64))[None]
    start = torch.full((1, 1, *rows.size), float(project(y).mean()), dtype=torch.float64)
    image = gap_tv(y, forward, project, start, strengths(noise / math.prod(rows.size) ** 0.5), noise**2)
    return np.asarray(image[0, 0].numpy(), dtype=np.float32)


def procedural_prior(size: tuple[int, int]) -> ImagePrior:
    """The statistics of procedural images (H, W)."""
    leaves = dead_leaves(PRIOR_IMAGES, max(size), PRIOR_SEED)[:, None, : size[0], : size[1]]
    return fit_prior(torch.from_numpy(leaves).float() / 255)


def _chi_square(measured: MeasuredRows, image: NDArray[np.float32], divisor: float, variance: float) -> float:
    left = measured.readings / divisor - measured.rows.readings(image.astype(np.float64))
    return float(np.mean(left**2) / math.prod(measured.rows.size) / variance)


def _notes(
    run: SinglePixelRun,
    measured: MeasuredRows,
    same: bool,
    divisor: float,
    variance: float,
    made: dict[str, NDArray[np.float32]],
) -> list[str]:
    pixels, count = math.prod(measured.rows.size), measured.rows.count
    first = made[_first_name(measured)]
    notes = [*measured.notes]
    if count < pixels:
        notes.append(
            f"{count} of {pixels} Hadamard rows were measured; what the others would have read is not known, so there "
            "is no score"
        )
    bound = "at most " if measured.noise_is_bound else ""
    notes.append(
        f"units are arbitrary: the {TITLES[_first_name(measured)]} image is divided by its {SCALE_PERCENTILE:g}th "
        f"percentile, {divisor:.6g}; {range_text(first)}"
    )
    notes.append(f"noise of a pixel, were all rows measured: {bound}{variance**0.5:.4f}")
    if not same:
        side = run.design.side
        notes.append(
            f"the run's patterns are {side} x {side}, so neither they nor its decoder are compared; the images need no "
            "training, and the linear one takes scenes to be like procedural ones"
        )
    elif "decoder" in made:
        notes.append(
            "the student's decoder was trained for its own patterns; its linear first step takes the rows measured"
        )
    if "linear" not in made:
        notes.append(f"the linear estimate is left out: {count} rows of {pixels} pixels take it minutes")
    return notes
