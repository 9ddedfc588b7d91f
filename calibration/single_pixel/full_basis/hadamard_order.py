"""In which order the rows of the Hadamard matrix were shown: told by the smoothness of the image.

A scene is smooth: neighbouring pixels are alike.  Readings put into the wrong rows scatter its pixels, and neighbours
are as different as any two pixels.  White noise is as rough in every order, so it can hide the difference between two
orders but never make one; how much of a difference is noise is seen by adding as much noise again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cidesign.pattern.hadamard import hadamard_order_rows, walsh_hadamard

OrderStatus = Literal["stated", "of the file's own basis", "verified", "not verified", "put right", "refused"]
# A difference counts when it is that many deviations of what noise makes of it.
DEVIATIONS, DRAWS, SEED = 5.0, 20, 20
# The smoothest order is taken where its roughness is at most that part of every other's.
CLEAR_RATIO = 0.75
# An image is smooth where its roughness is below that of scattered pixels, 1, by as much.
SMOOTH = 0.9
# Pixels a few apart that are as much alike, or opposite: the order may be right, and the scene a fine grating.
STRUCTURED, STRUCTURE_PX = 0.7, 3
# Images that are that much alike are one, whatever their orders are called.
SAME_IMAGE = 0.99
NORMAL_MEDIAN = 0.6745


@dataclass(frozen=True)
class OrderFound:
    """What the smoothness of the image says about the order of the readings.

    `order`: the order to use; `rivals`: orders that cannot be told from it, or that the user must choose between;
    `roughness`: mean square difference of neighbours in each order, 1 where they are as different as any two pixels.
    """

    order: str
    status: OrderStatus
    rivals: tuple[str, ...]
    roughness: Mapping[str, float]


def find_order(readings: NDArray[np.float64], size: tuple[int, int]) -> OrderFound:
    """Decide between the natural order and the others of `hadamard_order_rows` for readings (N,) of one scene (H, W).

    Natural order stands unless another one is clearly and significantly smoother than all; where it is smoother, but
    not clearly, or the image in natural order has a structure of its own, the status is "refused".
    """
    rows = hadamard_order_rows(*size)
    names = list(rows)
    images = {name: _image(readings, rows[name], size) for name in names}
    roughness = {name: _roughness(image) for name, image in images.items()}
    best = min(names, key=lambda name: roughness[name])
    noise = _noise_of_differences(readings, rows, best, size)

    def significant(name: str) -> bool:
        return roughness[name] - roughness[best] > DEVIATIONS * noise[name]

    others = [name for name in names if name != best]
    if best == "natural":
        sound = roughness[best] < SMOOTH and all(significant(name) for name in others)
        return OrderFound("natural", "verified" if sound else "not verified", (), roughness)
    if not significant("natural"):
        return OrderFound("natural", "not verified", (), roughness)
    rivals = tuple(
        name
        for name in others
        if (not significant(name) or roughness[best] > CLEAR_RATIO * roughness[name])
        and not _alike(images[name], images[best])
    )
    if _structure(images["natural"]) > STRUCTURED and "natural" not in rivals:
        rivals = ("natural", *rivals)
    return OrderFound(best, "refused" if rivals else "put right", rivals, roughness)


def in_natural_order(readings: NDArray[np.float64], order: str, size: tuple[int, int]) -> NDArray[np.float64]:
    """Readings (R, N), recorded in `order`, in the order of the rows of the Sylvester matrix."""
    natural = np.empty_like(readings)
    natural[:, hadamard_order_rows(*size)[order]] = readings
    return natural


def noise_level(readings: NDArray[np.float64]) -> float:
    """An upper bound of the deviation of one reading, from the median of all but the first, in any order.

    Most rows read little but noise; what they read of the scene makes the bound larger, and decisions rarer.
    """
    others = readings[1:]
    return float(np.median(np.abs(others - np.median(others)))) / NORMAL_MEDIAN


def _image(readings: NDArray[np.float64], rows: NDArray[np.intp], size: tuple[int, int]) -> NDArray[np.float64]:
    """Images (..., H, W) of readings (..., N) in an order.

    Pixel (0, 0), which a constant part of all readings would make bright, is taken from its neighbours.
    """
    natural = np.empty_like(readings)
    natural[..., rows] = readings
    image: NDArray[np.float64] = walsh_hadamard(natural).reshape(*readings.shape[:-1], *size) / readings.shape[-1]
    image[..., 0, 0] = (image[..., 0, 1] + image[..., 1, 0]) / 2
    return image


def _differences(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean square difference of neighbours, down and across, of images (..., H, W)."""
    found: NDArray[np.float64] = sum(np.mean(np.diff(image, axis=axis) ** 2, axis=(-2, -1)) for axis in (-2, -1)) / 2
    return found


def _roughness(image: NDArray[np.float64]) -> float:
    """`_differences` of an image (H, W) over those of any two of its pixels; 1 for an image without contrast."""
    variance = float(image.var())
    return float(_differences(image)) / (2 * variance) if variance > 0 else 1.0


def _structure(image: NDArray[np.float64]) -> float:
    """The largest correlation, of either sign, between pixels up to `STRUCTURE_PX` apart in each direction."""
    (height, width), reach = image.shape, min(STRUCTURE_PX, min(image.shape) // 2)
    centred = (image - image.mean()) / max(float(image.std()), np.finfo(float).tiny)
    largest = 0.0
    for down in range(reach + 1):
        for across in range(-reach if down else 1, reach + 1):
            left, right = max(-across, 0), width - max(across, 0)
            first = centred[: height - down, left:right]
            second = centred[down:, left + across : right + across]
            largest = max(largest, abs(float(np.mean(first * second))))
    return largest


def _noise_of_differences(
    readings: NDArray[np.float64], rows: Mapping[str, NDArray[np.intp]], best: str, size: tuple[int, int]
) -> dict[str, float]:
    """By how much noise moves the roughness of each order against that of the best one, standard deviation."""
    rng = np.random.default_rng(SEED)
    noisy = readings + rng.normal(0.0, noise_level(readings), (DRAWS, readings.size))

    def drawn(name: str) -> NDArray[np.float64]:
        variance = float(_image(readings, rows[name], size).var())
        return _differences(_image(noisy, rows[name], size)) / (2 * variance) if variance > 0 else np.ones(DRAWS)

    reference = drawn(best)
    return {name: float(np.std(drawn(name) - reference, ddof=1)) for name in rows}


def _alike(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two images are one, or one the transpose of the other."""
    if not first.std() * second.std():
        return True
    others = (second, second.T) if second.shape[0] == second.shape[1] else (second,)
    return any(abs(float(np.corrcoef(first.ravel(), other.ravel())[0, 1])) > SAME_IMAGE for other in others)
