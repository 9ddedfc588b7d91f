"""Reads NIfTI files for `nifti`, in the bounded child process."""

import gzip
import math
from typing import Any, TypedDict

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

from cidesign.io.child import Arrays, Refused
from cidesign.io.nifti import NiftiHead

# A voxel this many times longer than it is wide comes from a scan of separate slices.
THICK = 1.25
PLANES = ("sagittal", "coronal", "axial")
# The axes of slices, rows and columns in a volume that runs to the right, front and head; -1: against that direction.
VIEWS = {
    "sagittal": ((0, 1), (2, -1), (1, -1)),
    "coronal": ((1, 1), (2, -1), (0, -1)),
    "axial": ((2, 1), (1, -1), (0, -1)),
}


class Request(TypedDict):
    """The first volume of `path`, of at most `max_bytes`."""

    path: str
    max_bytes: int


def answer(request: Request) -> tuple[NiftiHead, Arrays]:
    """The slices (M, H, W) of the first volume of `path`, at most `max_bytes`; their plane; the number of volumes."""
    path = request["path"]
    opened = gzip.open if path.lower().endswith(".gz") else open
    with opened(path, "rb") as stream:
        size = stream.read(4)
        kinds = {size: kind for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image) for size in _sizes(kind)}
        if size not in kinds:
            raise Refused("not a NIfTI file (its header size is neither 348 nor 540)")
        kind = kinds[size]
        stream.seek(0)
        # nibabel mends a header that contradicts itself, and says nothing.
        stored = kind.header_class.from_fileobj(stream, check=False)
    if bytes(stored["magic"])[:3] not in (b"n+1", b"n+2"):
        raise Refused(f"not a NIfTI file of one piece (magic {bytes(stored['magic'])!r}); .hdr/.img pairs are not read")
    dtype = stored.get_data_dtype()
    if dtype.kind not in "iufc":
        raise Refused(f"values of type {dtype} are not read; images of real or complex numbers are")
    if int(stored["bitpix"]) != 8 * dtype.itemsize:
        raise Refused(f"its header says {stored['bitpix']} bits per value of {dtype}; that cannot be")
    dims = stored["dim"].tolist()
    if not 1 <= dims[0] <= 7 or min(dims[1 : 1 + dims[0]]) < 1:
        raise Refused(f"its header declares dimensions {dims}; that cannot be")
    image = kind.from_filename(path)
    shape = (*image.shape, 1, 1, 1)[:3]
    size_bytes = math.prod(shape) * dtype.itemsize
    if size_bytes > request["max_bytes"]:
        raise Refused(f"declares {size_bytes} bytes; at most {request['max_bytes']} are read")
    volumes = math.prod(image.shape[3:])
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not finite, and refused by the caller
        values = np.asarray(image.dataobj[(slice(None),) * min(image.ndim, 3) + (0,) * (image.ndim - 3)])
    slices, plane = _viewed(values.reshape(shape), image)
    return NiftiHead(plane, volumes), {"slices": np.ascontiguousarray(slices)}


def _sizes(kind: Any) -> tuple[bytes, bytes]:
    size = kind.header_class.sizeof_hdr
    return size.to_bytes(4, "little"), size.to_bytes(4, "big")


def _viewed(values: Any, image: Any) -> tuple[Any, str | None]:
    """A volume (x, y, z) as slices in the orientation that `read_nifti` states, and their plane."""
    known = int(image.header["qform_code"]) > 0 or int(image.header["sform_code"]) > 0
    turns = io_orientation(image.affine) if known and np.isfinite(image.affine).all() else np.full((3, 2), np.nan)
    if not np.isfinite(turns).all():
        return values.transpose(2, 1, 0), None
    lengths_mm = np.empty(3)
    lengths_mm[turns[:, 0].astype(int)] = np.sqrt((image.affine[:3, :3] ** 2).sum(axis=0))
    *_, second, thickest = np.argsort(lengths_mm)
    plane = PLANES[thickest] if lengths_mm[thickest] > THICK * lengths_mm[second] else "axial"
    upright = apply_orientation(values, turns)
    order, signs = zip(*VIEWS[plane], strict=True)
    return upright.transpose(order)[tuple(slice(None, None, sign) for sign in signs)], plane
