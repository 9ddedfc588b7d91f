"""NIfTI-1 and NIfTI-2 images (.nii, .nii.gz), read by nibabel in the bounded child process, and written by it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.files import MAX_ARRAY_BYTES, write_bytes
from cidesign.io.child import SPARE_BYTES, ask, typed_head

NIFTI_SUFFIXES = (".nii", ".nii.gz")
READER = "cidesign.io.nifti_child"
# A slow network drive delivers the largest volume in this time.
LONGEST_READ_S = 900


@dataclass(frozen=True)
class NiftiVolume:
    """The slices (M, H, W) of the first volume of an image, with the scaling of the header applied.

    `plane` is "axial", "coronal" or "sagittal", None where the file does not say how it lies in the body; `volumes` is
    how many the file has.
    """

    slices: NDArray[np.generic]
    plane: str | None
    volumes: int


@dataclass(frozen=True)
class NiftiHead:
    """What the child says beside the slices: see `NiftiVolume`."""

    plane: str | None
    volumes: int


def read_nifti(path: Path) -> NiftiVolume:
    """Read the slices of a NIfTI file as they are looked at, by its affine.

    Slices are cut across the direction of the thickest voxels; where voxels are alike (within 25 %), they are axial.
    They come from the feet to the head, from the back to the front, or from the patient's left to the right.  Up is the
    head (axial: the front), left is the patient's right (sagittal: the front).  A file without affine is cut
    along its third axis, its second one pointing down.  Raises `FileError` for damage and for types that are not
    numbers.
    """
    request = {"max_bytes": MAX_ARRAY_BYTES}
    head, arrays = ask(path, READER, request, "NIfTI file", LONGEST_READ_S, SPARE_BYTES + 4 * MAX_ARRAY_BYTES)
    said = typed_head(NiftiHead, head)
    return NiftiVolume(arrays["slices"], said.plane, said.volumes)


def write_nifti(path: Path, volume: NDArray[np.float32], affine: NDArray[np.float64] | None) -> None:
    """Write a volume (x, y, z) as NIfTI-1 (.nii); `affine` (4, 4): voxel to mm to the right, front and head.

    None: the codes of the header say that the place is not known.
    """
    import nibabel

    image = nibabel.Nifti1Image(volume, np.eye(4) if affine is None else affine)
    code = "unknown" if affine is None else "scanner"
    image.header.set_xyzt_units("unknown" if affine is None else "mm")
    image.set_sform(image.affine, code=code)
    image.set_qform(image.affine, code=code)
    write_bytes(path, image.to_bytes())
