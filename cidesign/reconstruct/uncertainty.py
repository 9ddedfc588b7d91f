"""How far an image can be trusted: where two methods disagree, and how much it scatters when readings are redrawn."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cidesign import progress

Image = NDArray[np.float32]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Disagreement:
    """`difference`: the student's image less that of a classical baseline, of any shape.

    Where they agree, the detail comes from the readings; where they differ, it comes from what the student has learned
    or from what the baseline cannot draw, and only a better measurement can tell which.
    """

    difference: Image

    @property
    def rms(self) -> float:
        """Root mean square of the difference, in units of the images."""
        return float(np.sqrt(np.mean(self.difference.astype(np.float64) ** 2)))

    @property
    def place(self) -> tuple[int, ...]:
        """Where the two differ most: the index of the largest difference of either sign."""
        at = np.unravel_index(int(np.argmax(np.abs(self.difference))), self.difference.shape)
        return tuple(int(index) for index in at)

    @property
    def largest(self) -> float:
        """The difference at `place`, with its sign."""
        return float(self.difference[self.place])


def disagreement(student: NDArray[np.floating], baseline: NDArray[np.floating]) -> Disagreement:
    """Compare two images or cubes of one shape and unit; complex images are compared by their magnitudes."""
    if student.shape != baseline.shape:
        raise ValueError(f"images of shapes {student.shape} and {baseline.shape} cannot be compared")
    return Disagreement((np.asarray(student, np.float64) - np.asarray(baseline, np.float64)).astype(np.float32))


def followed(images: Iterable[_T], draws: int) -> Iterator[_T]:
    """What is made one by one of `draws` redrawn readings; whoever waits is told how many are made."""
    return progress.counted("scatter of the image", images, draws)


def generators(draws: int, seed: int) -> list[np.random.Generator]:
    """One generator for each draw."""
    return [np.random.default_rng((seed, number)) for number in range(draws)]


def deviation_of(images: Iterable[NDArray[np.floating]]) -> Image:
    """The standard deviation, pixel by pixel, of at least two images that come one by one (Welford 1962).

    Of images decoded from redrawn readings it is the parametric bootstrap (Efron and Tibshirani, "An Introduction to
    the Bootstrap", 1993, chapter 6), with a relative error of about (2 (draws - 1))^-1/2.
    """
    count = 0
    for image in images:
        count += 1
        if count == 1:
            mean, squares = image.astype(np.float64), np.zeros(image.shape)
            continue
        step = image - mean
        mean += step / count
        squares += step * (image - mean)
    if count < 2:
        raise ValueError(f"{count} images do not scatter; at least 2 are needed")
    return np.sqrt(squares / (count - 1)).astype(np.float32)


def error_over(error: NDArray[np.floating], deviation: NDArray[np.floating]) -> float:
    """Root mean square of error / deviation: 1 where the deviation is that of the error, above 1 where too small."""
    floor = 1e-6 * float(deviation.max()) + 1e-12
    return float(np.sqrt(np.mean((error.astype(np.float64) / np.maximum(deviation, floor)) ** 2)))
