"""Raw data of several slices: in which order they lie, and how they are read, one at a time."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import RawKspace, listed
from cidesign.calibration.mri.place import ImagePlace, Vector
from cidesign.errors import CidesignError, InputError

# Slices of one stack lie this far, in mm, from where even spacing has them, at most.
MOST_UNEVEN_MM = 0.1
# Directions of unit length are the same within this.
MOST_TURNED = 1e-2
NOT_SAID = "the headers do not say where the slices lie"


@dataclass(frozen=True)
class KspaceSlices:
    """A capture of slices `numbers`, in the order of the stack; `read` makes one of them by its number.

    A stack may be larger than the memory, so no slice is kept.
    """

    path: Path
    numbers: tuple[int, ...]
    read: Callable[[int], RawKspace] = field(repr=False)

    def one(self, number: int | None) -> RawKspace:
        """The slice of a number, or the only one; raises `InputError` where it has to be chosen, or is not there."""
        if number is None:
            if len(self.numbers) > 1:
                text = f"holds slices {listed(list(self.numbers))}; choose one with --set slice_index=N"
                raise InputError(f"{self.path}: {text}")
            number = self.numbers[0]
        if number not in self.numbers:
            there = listed(list(self.numbers))
            raise InputError(f"{self.path}: holds no slice {number}; there are slices {there}")
        return self.read(number)


def by_place(centres_mm: Mapping[int, Vector | None]) -> tuple[int, ...]:
    """Numbers of slices in the order in which their middles lie along the stack; by number where that is not known.

    Slices are numbered in the order of time, or of space.  The order rises along the patient's axis that the stack is
    nearest to: to the left, the back or the head.
    """
    numbers = sorted(centres_mm)
    known = [centre for number in numbers if (centre := centres_mm[number]) is not None and np.isfinite(centre).all()]
    if len(known) < len(numbers) or len(numbers) < 2:
        return tuple(numbers)
    centres = np.stack(known).astype(np.float64)
    middle = centres - centres.mean(axis=0)
    along = np.linalg.svd(middle)[2][0]
    along *= np.sign(along[np.abs(along).argmax()])
    heights = middle @ along
    if np.ptp(heights) <= MOST_UNEVEN_MM:
        return tuple(numbers)
    return tuple(numbers[place] for place in np.argsort(heights, kind="stable").tolist())


@dataclass(frozen=True)
class StackPlace:
    """Where an evenly spaced stack lies: that of its first slice, and the step (3,) in mm to the next one."""

    first: ImagePlace
    step_mm: Vector

    @property
    def spacing_mm(self) -> float:
        """From the middle of a slice to that of the next."""
        return float(np.linalg.norm(self.step_mm))

    @property
    def gap_mm(self) -> float:
        """What is left between slices; below 0 where they overlap."""
        return self.spacing_mm - self.first.fov_mm[2]

    def affine(
        self, lines: int, samples: int, flip_vertical: bool = False, flip_horizontal: bool = False
    ) -> NDArray[np.float64]:
        """(4, 4): (column, row, slice) to mm to the right, front and head; see `ImagePlace.affine`."""
        matrix = self.first.affine(lines, samples, flip_vertical, flip_horizontal)
        matrix[:3, 2] = np.array([-1.0, -1.0, 1.0]) * self.step_mm
        return matrix


def stack_place(places: Sequence[ImagePlace | None]) -> tuple[StackPlace | None, str]:
    """Where the slices of a stack lie together, and what is said of it."""
    known = [place for place in places if place is not None]
    if len(known) < len(places) or len(known) < 2:
        return None, NOT_SAID
    first = known[0]
    for name in ("read", "phase", "normal"):
        turned = max(float(np.abs(getattr(place, name) - getattr(first, name)).max()) for place in known)
        if turned > MOST_TURNED:
            return None, "the slices are not parallel"
    centres = np.stack([place.centre_mm for place in known])
    step = (centres[-1] - centres[0]) / (len(known) - 1)
    apart = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    if float(apart.max()) <= MOST_UNEVEN_MM:
        return None, "the headers have all slices at the same place"
    even = centres[0] + np.arange(len(known))[:, None] * step
    if float(np.abs(centres - even).max()) > MOST_UNEVEN_MM:
        return None, f"the slices are not evenly spaced ({apart.min():.2f} to {apart.max():.2f} mm apart)"
    found = StackPlace(first, step)
    return found, (
        f"slices of {first.fov_mm[2]:.4g} mm, {found.spacing_mm:.4g} mm from middle to middle "
        f"({'a gap' if found.gap_mm >= 0 else 'an overlap'} of {abs(found.gap_mm):.2g} mm)"
    )


@contextlib.contextmanager
def of_slice(number: int) -> Iterator[None]:
    """Errors raised within name the slice."""
    try:
        yield
    except CidesignError as error:
        raise type(error)(f"slice {number}: {error}", fault=error.fault) from error
