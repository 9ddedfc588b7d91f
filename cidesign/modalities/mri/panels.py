"""Pictures of an MRI reconstruction: every set of lines with its images, and below them their errors."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.io.nifti import write_nifti
from cidesign.pattern import CartesianLines
from cidesign.reconstruct.outcome import NamedImage

if TYPE_CHECKING:
    from cidesign.modalities.mri.solve import Residual

METHODS = {
    "zero_filled": "zero-filled",
    "cg_sense": "CG-SENSE",
    "total_variation": "total variation",
    "student": "student decoder",
    "linear": "linear estimate",
}
ERROR_GAIN = 5.0


@dataclass(frozen=True)
class NamedSlice(NamedImage):
    """An image that is written as NAME.nii too, at its place in the patient: `affine` (4, 4), None where unknown."""

    affine: NDArray[np.float64] | None = None

    def write(self, folder: Path) -> None:
        """Write what every image leaves, and NAME.nii (float32; x along the readout, y along phase encoding)."""
        super().write(folder)
        write_nifti(folder / f"{self.name}.nii", np.ascontiguousarray(self.image.T[:, :, None]), self.affine)


class Result(NamedTuple):
    """One reconstruction: magnitude (N, n) of `method` from the set of lines `lines`; `own`: those of the run."""

    lines: str
    method: str
    magnitude: NDArray[np.float32]
    residual: "Residual"
    design: CartesianLines
    own: bool


def images_of(
    results: list[Result],
    reference: NDArray[np.float32] | None,
    of_what: str,
    affine: NDArray[np.float64] | None,
) -> list[NamedSlice]:
    """The images to write; those of the run's own lines carry the name of their method alone."""
    found = [] if reference is None else [NamedSlice("reference", of_what, reference, affine=affine)]
    for result in results:
        stem = result.method if result.own else f"{result.lines.replace(' ', '_')}_{result.method}"
        title = f"{METHODS[result.method]}, {result.lines} lines"
        found.append(NamedSlice(stem, title, result.magnitude, affine=affine))
    return found


def comparison(
    results: list[Result], reference: NDArray[np.float32] | None, of_what: str, captions: list[str]
) -> tuple[list[NamedImage], int]:
    """Panels row by row, and how many are in a row: the lines and the images, then reference and error maps."""
    panels: list[NamedImage] = []
    for lines in dict.fromkeys(result.lines for result in results):
        numbers = [number for number, result in enumerate(results) if result.lines == lines]
        of_set = [results[number] for number in numbers]
        panels.append(NamedImage("lines", f"{lines} lines", _picture_of_lines(of_set[0].design)))
        panels += [
            NamedImage(one.method, METHODS[one.method], one.magnitude, captions[number])
            for number, one in zip(numbers, of_set, strict=True)
        ]
        if reference is None:
            continue
        panels.append(NamedImage("reference", of_what, reference))
        panels += [
            NamedImage(
                one.method,
                f"error x {ERROR_GAIN:g}",
                np.asarray(ERROR_GAIN * np.abs(one.magnitude - reference), dtype=np.float32),
            )
            for one in of_set
        ]
    return panels, 1 + len(dict.fromkeys(result.method for result in results))


def _picture_of_lines(design: CartesianLines) -> NDArray[np.float32]:
    """k-space (N, n), white where it is measured; phase encoding runs down, whatever the orientation of the images."""
    return np.broadcast_to(design.mask[:, None], (design.lines, design.readout)).astype(np.float32)
