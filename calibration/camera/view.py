"""A camera beside a single-pixel bench: where it looks on the device, and what the card really looks like there."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cidesign.calibration.camera.checkerboard import BOARD_CORNERS
from cidesign.calibration.camera.fit import MirrorLattice
from cidesign.calibration.camera.graycode import graycode_patterns
from cidesign.calibration.camera.map import camera_image_on_superpixels
from cidesign.calibration.camera.registration import Registration, register_folder
from cidesign.calibration.camera.twin import CameraTwin, camera_view, simulate_graycode
from cidesign.errors import FileError
from cidesign.files import write_bytes
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.io.pictures import read_image_stack

CAMERA_PX = (360, 480)
# Where the white reference gives less light than this part of its brightest, a reflectance cannot be told.
LEAST_WHITE = 0.05


@dataclass(frozen=True)
class CameraView:
    """The registration, and the card's reflectance on the super-pixels (n, n) where it was photographed."""

    registration: Registration
    card_picture: NDArray[np.float64] | None


def view_of(
    graycode: Path,
    checkerboard: Path | None,
    card_photo: Path | None,
    profile: DmdProfile,
    side: int,
    corners: tuple[int, int] = BOARD_CORNERS,
) -> CameraView:
    """Register from a folder of Gray-code pictures, and bring a photograph of the card onto the super-pixels.

    The reflectance is (photo - black) / (white - black), with the Gray code's own white and black pictures: the card
    lies where the white reference lay, all mirrors are on, and the camera's settings are the same.  `corners`: of the
    checkerboard.
    Raises `FileError` where the photograph does not show the whole field, or the white reference is too dark.
    """
    registration = register_folder(graycode, profile, checkerboard, corners=corners)
    if card_photo is None:
        return CameraView(registration, None)
    photo = read_image_stack(card_photo, "card photograph")
    frames = read_image_stack(graycode, "Gray code")
    white, black = frames[-2].astype(np.float64), frames[-1].astype(np.float64)
    if photo.ndim == 3 and len(photo) == 1:
        photo = photo[0]
    if photo.shape != white.shape:
        raise FileError(f"{card_photo}: a picture of shape {photo.shape}, those of the Gray code have {white.shape}")
    seen = [
        camera_image_on_superpixels(image, registration.camera, profile, side)
        for image in (photo.astype(np.float64) - black, white - black)
    ]
    if not np.isfinite(seen[0]).all():
        missing = int(np.count_nonzero(~np.isfinite(seen[0])))
        raise FileError(
            f"{card_photo}: {missing} of {side * side} super-pixels are not in the picture; the camera must see the "
            "whole field"
        )
    if seen[1].min() < LEAST_WHITE * seen[1].max():
        raise FileError(f"{graycode}: its white picture is dark in a part of the field; light the whole card")
    return CameraView(registration, np.maximum(seen[0] / seen[1], 0.0))


def write_graycode(folder: Path, profile: DmdProfile) -> int:
    """Write the Gray code of a device as numbered 1-bit PNG files, white: mirror on; returns how many."""
    patterns = graycode_patterns(profile.mirrors.columns.value, profile.mirrors.rows.value)
    for number, pattern in enumerate(patterns):
        target = io.BytesIO()
        Image.fromarray(pattern.astype(bool)).save(target, format="PNG")
        write_bytes(folder / f"graycode_{number:02d}.png", target.getvalue())
    return len(patterns)


def simulated_pictures(profile: DmdProfile, seed: int) -> NDArray[np.uint16]:
    """The Gray code (F, H, W) as a simulated camera sees it on a white reference, the whole device in the picture."""
    lattice = MirrorLattice.of(profile)
    camera = CameraTwin(lattice, CAMERA_PX, camera_view(lattice, CAMERA_PX, seed), bits=12)
    return simulate_graycode(camera, seed)
