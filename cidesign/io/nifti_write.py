"""Images of a scan as NIfTI-1, by nibabel: what FSLeyes, ITK-SNAP, MRIcroGL and napari open."""

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

DESCRIPTION = "cidesign: i right, j down the picture; place in body unknown"


def write_nifti(path: Path, image: NDArray[np.float32]) -> None:
    """Write a picture (N, n), row 0 at the top, as a volume of one slice (n, N, 1), float32, unscaled.

    The first axis runs to the right of the picture, the second one down.  Raw k-space does not say how it lies in the
    body, nor how large a pixel is: qform and sform codes are 0 (unknown), and the units of length are unknown.
    """
    volume = nibabel.Nifti1Image(np.ascontiguousarray(image.T[:, :, None], dtype=np.float32), None)
    volume.header["descrip"] = DESCRIPTION.encode()
    volume.header.set_xyzt_units(0, 0)
    volume.header.set_slope_inter(1, 0)
    volume.to_filename(path)
