"""The rules of a budget of points (ky, kz) of a 3-D Cartesian scan, checked in NumPy."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check, exceeds
from cidesign.constraints.kspace import Budget
from cidesign.errors import LimitError
from cidesign.pattern import CartesianPoints
from cidesign.pattern.points import calibration_region


@dataclass(frozen=True)
class PointBudget(Budget):
    """Exactly `acquired` of `lines` x `partitions` points are measured; the `calibration` region around the centre
    (lines, partitions) always is.

    Where it is `elliptical`, the corners never are: points with (2 u / lines)^2 + (2 v / partitions)^2 > 1 for their
    distances u and v from the centre of k-space (the usual elliptical scan of 3-D sequences).
    """

    lines: int
    partitions: int
    acquired: int
    calibration: tuple[int, int]
    elliptical: bool = True

    def __post_init__(self) -> None:
        if any(not 0 <= part <= size for part, size in zip(self.calibration, self.shape, strict=True)):
            raise LimitError(
                f"calibration region of {_times(self.calibration)} points: the matrix has {_times(self.shape)}; use 0 "
                f"to {self.lines} lines and 0 to {self.partitions} partitions"
            )
        outside = int(np.count_nonzero(self.always & self.never))
        if outside:
            raise LimitError(
                f"calibration region of {_times(self.calibration)} points: {outside} of them are corners of the "
                f"{_times(self.shape)} matrix outside the ellipse, which are never measured; use a smaller region, or "
                "measure corners (elliptical = false)"
            )
        fewest = int(np.count_nonzero(self.always))
        if not max(fewest, 1) <= self.acquired <= self.most:
            held = f"the calibration region of {_times(self.calibration)} alone has {fewest}"
            if self.acquired > self.most:
                ellipse = ", corners outside the ellipse left out (elliptical = false measures them)"
                held = f"the {_times(self.shape)} matrix has {self.most}{ellipse * self.elliptical}"
            raise LimitError(
                f"budget of {self.acquired} points: {held}; choose {max(fewest, 1)} to {self.most} points, R = "
                f"{self.always.size / self.most:.4g} to {self.always.size / max(fewest, 1):.4g}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Lines and partitions."""
        return self.lines, self.partitions

    @cached_property
    def always(self) -> NDArray[np.bool_]:
        """(lines, partitions), the calibration region."""
        return calibration_region(self.shape, self.calibration).astype(bool)

    @cached_property
    def never(self) -> NDArray[np.bool_]:
        """(lines, partitions), the corners outside the ellipse."""
        return (self.radius > 1) & self.elliptical

    @cached_property
    def radius(self) -> NDArray[np.float64]:
        """(lines, partitions), see `elliptical_radius`."""
        return elliptical_radius(self.shape)

    @property
    def core(self) -> tuple[int, int]:
        """A block of the matrix's shape with half of the budget, at least the calibration region."""
        share = (0.5 * self.acquired / self.always.size) ** 0.5
        sizes = (max(part, round(share * size), 1) for part, size in zip(self.calibration, self.shape, strict=True))
        down, across = sizes
        return down, across

    def trajectory(
        self, chosen: NDArray[np.bool_], readout: int, profile_id: str, profile_digest: str
    ) -> CartesianPoints:
        """The points that are chosen (lines, partitions)."""
        points = np.argwhere(chosen).astype(np.int64)
        return CartesianPoints(*self.shape, readout, points, self.calibration, profile_id, profile_digest)

    def check(self, pattern: CartesianPoints) -> list[Check]:
        """The budget is met exactly, in the right matrix, with the calibration region and without the corners."""
        if pattern.matrix != self.shape:
            asked = _times(self.shape)
            return [exceeds("matrix", "trajectory", f"{_times(pattern.matrix)} points", asked, "use its own run")]
        found = []
        if len(pattern.acquired) != self.acquired:
            limit = f"exactly {self.acquired} of {_times(self.shape)} points"
            value, hint = f"{len(pattern.acquired)} points", "use the run's own points"
            found.append(exceeds("point budget", "trajectory", value, limit, hint))
        chosen = pattern.mask.astype(bool)
        missing, corners = self.always & ~chosen, chosen & self.never
        for name, wrong, said, limit, hint in (
            ("calibration region", missing, "missing", f"{_times(self.calibration)} central points", "add them"),
            ("elliptical corners", corners, "measured", "no point outside the ellipse", "leave them out"),
        ):
            if wrong.any():
                first = " ".join(str(number) for number in np.argwhere(wrong)[0])
                value = f"{int(np.count_nonzero(wrong))} {said}, the first at {first}"
                found.append(exceeds(name, "trajectory", value, limit, hint))
        return found


def elliptical_radius(shape: tuple[int, int]) -> NDArray[np.float64]:
    """(lines, partitions), the distance of every point from the centre of k-space, 1 on the ellipse in the matrix."""
    down, across = (2 * (np.arange(size) - size // 2) / size for size in shape)
    return np.hypot(down[:, None], across)


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
