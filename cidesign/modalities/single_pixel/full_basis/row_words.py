"""What all reconstructions of Hadamard captures say alike: titles, scale, ranges, the common part of their records."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.reconstruct.gate import common_entries
from cidesign.reconstruct.outcome import cut_off

SCALE_PERCENTILE = 99.5
SMALLEST_VARIANCE = 1e-6
TITLES = {
    "student": "student patterns",
    "hadamard": "coarsest Hadamard",
    "random": "random ±1",
    "linear": "best linear",
    "decoder": "student decoder",
    "zero_filled": "zero-filled",
    "inverse": "inverse transform",
    "tv": "TV",
}


def percentile_of(image: NDArray[np.float64], what: str) -> float:
    """What an image is divided by, so that images of training are as bright; raises `FileError` for darkness."""
    divisor = float(np.percentile(image, SCALE_PERCENTILE))
    if divisor <= 0:
        raise FileError(f"{what} has no positive values; is it a capture, the light on, and the sign right?")
    return divisor


def range_text(image: NDArray[np.floating]) -> str:
    """How many pixels lie outside 0 and 1, and how far."""
    ranges = cut_off(image.astype(np.float32))
    return (
        f"{ranges.pixels_below_0} pixels are negative (lowest {ranges.minimum:.3f}), "
        f"{ranges.pixels_above_1} above 1 (highest {ranges.maximum:.3f})"
    )


def full_basis_record(
    run: SinglePixelRun, reader: str, capture: Path, divisor: float, noise_variance: float, notes: list[str]
) -> dict[str, object]:
    """What the records of all readers say."""
    return {
        **common_entries(run, str(capture), notes),
        "reader": reader,
        "pixels": run.design.side**2,
        "scale_divisor": divisor,
        "scale_percentile": SCALE_PERCENTILE,
        "noise_variance": noise_variance,
    }
