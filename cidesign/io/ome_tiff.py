"""Float images as OME-TIFF: what napari, Fiji, QuPath and Bio-Formats open with named axes and wavelengths.

Source: Open Microscopy Environment, "OME Data Model", schema 2016-06.
"""

import hashlib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from cidesign.errors import InputError


def write_ome_tiff(
    path: Path,
    image: NDArray[np.float32],
    wavelengths_nm: Sequence[float] = (),
    axes: Literal["YX", "CYX", "ZYX"] | None = None,
) -> None:
    """Write an image (H, W), axes YX, or a cube (L, H, W), axes CYX, as float32, unscaled; row 0 is at the top.

    `axes`: ZYX for slices (S, H, W).

    `wavelengths_nm` (L,) are the channels' names and emission wavelengths.  Pixel sizes are left out: they are not
    known.  The same values give the same bytes.  Raises `InputError` for as many wavelengths as there are no bands.
    """
    axes = axes or ("YX" if image.ndim == 2 else "CYX")
    if wavelengths_nm and (image.ndim != 3 or len(wavelengths_nm) != len(image)):
        raise InputError(f"{path}: {len(wavelengths_nm)} wavelengths for an image of shape {image.shape}")
    values = np.ascontiguousarray(image, dtype=np.float32)
    digest = hashlib.sha256(values.tobytes()).digest()
    metadata: dict[str, Any] = {"axes": axes, "Creator": "cidesign", "UUID": str(uuid.UUID(bytes=digest[:16]))}
    if wavelengths_nm:
        metadata["Channel"] = {
            "Name": [f"{nm:g} nm" for nm in wavelengths_nm],
            "EmissionWavelength": [float(nm) for nm in wavelengths_nm],
            "EmissionWavelengthUnit": ["nm"] * len(wavelengths_nm),
        }
    tifffile.imwrite(path, values, ome=True, photometric="minisblack", metadata=metadata)
