"""The camera's lens from pictures of a checkerboard: focal length, centre and distortion."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cidesign.errors import FileError, InputError
from cidesign.io.pictures import STACK_SUFFIXES, read_image_stack

MIN_IMAGES, MAX_IMAGES = 5, 200
MAX_IMAGE_PX = 80_000_000
JPEG_SUFFIXES = (".jpg", ".jpeg")
# A usual camera on a good board stays below; beyond, the board bends, the pictures are blurred, or it moved.
MAX_RMS_PX = 0.5
BOARD_CORNERS = (9, 6)
# Pictures in which a board of another size is looked for.
SIZE_IMAGES = 4
_UNDISTORT_STEPS = 60


@dataclass(frozen=True)
class Lens:
    """A camera matrix (3, 3) in pixels and distortion coefficients k1, k2, p1, p2, k3 (the model of OpenCV)."""

    matrix_px: NDArray[np.float64]
    distortion: NDArray[np.float64]

    def distort(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where ideal pixel positions (..., 2) appear in the picture; NaN where the model turns back on itself."""
        ideal = self._plane(points)
        beyond = np.sum(ideal**2, axis=-1, keepdims=True) >= self._reach
        return self._pixels(np.where(beyond, np.nan, ideal + self._offset(ideal)))

    def undistort(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where pixel positions of the picture (..., 2) would be with an ideal lens: the inverse of `distort`.

        NaN where `distort` reaches a position from nowhere.
        """
        seen = self._plane(points)
        ideal, longest = seen, self._reach**0.5
        for _ in range(_UNDISTORT_STEPS):
            before, ideal = ideal, seen - self._offset(ideal)
            distance = np.hypot(ideal[..., :1], ideal[..., 1:])
            ideal = ideal * np.minimum(1.0, longest / np.maximum(distance, 1e-12))
            if np.abs(ideal - before).max(initial=0.0) < 1e-11:
                break
        missed = np.abs(ideal + self._offset(ideal) - seen).max(axis=-1, keepdims=True) > 1e-6
        return self._pixels(np.where(missed, np.nan, ideal))

    @property
    def _reach(self) -> float:
        """The smallest squared distance from the axis at which the picture does not grow with it any more."""
        k1, k2, _, _, k3 = self.distortion
        roots = np.roots(np.array([7 * k3, 5 * k2, 3 * k1, 1.0]))
        places = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)]
        return float(places.min()) if places.size else float("inf")

    def _plane(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        plane: NDArray[np.float64] = (points - self.matrix_px[:2, 2]) / np.diag(self.matrix_px)[:2]
        return plane

    def _pixels(self, plane: NDArray[np.float64]) -> NDArray[np.float64]:
        pixels: NDArray[np.float64] = plane * np.diag(self.matrix_px)[:2] + self.matrix_px[:2, 2]
        return pixels

    def _offset(self, ideal: NDArray[np.float64]) -> NDArray[np.float64]:
        k1, k2, p1, p2, k3 = self.distortion
        x, y = ideal[..., 0], ideal[..., 1]
        square = x * x + y * y
        radial = square * (k1 + square * (k2 + square * k3))
        return np.stack(
            [
                x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x),
                y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y,
            ],
            axis=-1,
        )


def radial_lens(shape: tuple[int, int], k1: float) -> Lens:
    """A lens with one radial coefficient about the picture's centre; unit: half of the picture's diagonal."""
    height, width = shape
    half = 0.5 * float(np.hypot(height, width))
    matrix = np.array([[half, 0.0, (width - 1) / 2], [0.0, half, (height - 1) / 2], [0.0, 0.0, 1.0]])
    return Lens(matrix, np.array([k1, 0.0, 0.0, 0.0, 0.0]))


@dataclass(frozen=True)
class LensCalibration:
    """The lens, how well the corners agree with it, and which pictures served.

    `rms_px`: root mean square distance of found and predicted corners; `used`, `not_found`: names of pictures.
    """

    lens: Lens
    rms_px: float
    rms_by_image_px: tuple[float, ...]
    shape: tuple[int, int]
    used: tuple[str, ...]
    not_found: tuple[str, ...]


def find_checkerboard(image: NDArray[Any], corners: tuple[int, int] = BOARD_CORNERS) -> NDArray[np.float64] | None:
    """Inner corners (N, 2) of a checkerboard in a grey picture (H, W), x and y in pixels; None where it is not seen.

    `corners`: inner corners along the longer and the shorter side.  Raises `InputError` for fewer than 3 x 3.
    """
    _require_corners(corners)
    grey = _eight_bit(image)
    found, places = cv2.findChessboardCornersSB(grey, corners, flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
    if not found:
        # The older search finds boards that the sector search misses.
        found, places = cv2.findChessboardCorners(grey, corners)
    if not found:
        return None
    start = np.asarray(places, dtype=np.float32).reshape(corners[1], corners[0], 2)
    # The window around a corner holds no other corner, and no more of the squares than it needs.
    apart = min(float(np.linalg.norm(np.diff(start, axis=axis), axis=-1).min()) for axis in (0, 1))
    window = int(np.clip(0.35 * apart, 2, 11))
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 1e-3)
    refined = cv2.cornerSubPix(grey, start.reshape(-1, 1, 2), (window, window), (-1, -1), criteria)
    return np.asarray(refined, dtype=np.float64).reshape(-1, 2)


def calibrate_lens(images: Mapping[str, NDArray[Any]], corners: tuple[int, int] = BOARD_CORNERS) -> LensCalibration:
    """The lens from pictures (H, W) of one flat checkerboard in several positions, by name.

    Raises `FileError` for pictures of different sizes, or when the board is found in fewer than 5 of them (naming
    those where it is not), and `InputError` for impossible corners.
    """
    _require_corners(corners)
    shapes = {image.shape for image in images.values()}
    if len(shapes) > 1:
        first, *others = images
        odd = next(name for name in others if images[name].shape != images[first].shape)
        raise FileError(
            f"checkerboard: {odd} is {_size(images[odd])}, {first} is {_size(images[first])}; all pictures must come "
            "from the same camera with the same region"
        )
    if len(images) < MIN_IMAGES:
        raise FileError(
            f"checkerboard: {len(images)} pictures; at least {MIN_IMAGES} positions of the board are needed"
        )
    found = {name: find_checkerboard(image, corners) for name, image in images.items()}
    places = {name: points for name, points in found.items() if points is not None}
    missing = tuple(name for name, points in found.items() if points is None)
    if len(places) < MIN_IMAGES:
        raise FileError(
            f"checkerboard: {corners[0]} x {corners[1]} inner corners are found in {len(places)} of {len(images)} "
            f"pictures, at least {MIN_IMAGES} are needed; not found in {', '.join(missing[:5])}"
            + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            + f". {_seen_size([images[name] for name in missing])}--set corners=WIDTHxHEIGHT gives the inner corners "
            "of another board"
        )
    height, width = next(iter(shapes))
    board = np.zeros((corners[0] * corners[1], 3), dtype=np.float32)
    board[:, :2] = np.mgrid[: corners[0], : corners[1]].T.reshape(-1, 2)
    seen = [points.astype(np.float32)[:, None] for points in places.values()]
    result = cv2.calibrateCameraExtended([board] * len(seen), seen, (width, height), np.eye(3), np.zeros(5))
    matrix, distortion, by_image = (
        np.asarray(result[1]),
        np.asarray(result[2]).ravel()[:5],
        np.asarray(result[7]).ravel(),
    )
    return LensCalibration(
        lens=Lens(matrix.astype(np.float64), distortion.astype(np.float64)),
        rms_px=float(result[0]),
        rms_by_image_px=tuple(float(value) for value in by_image),
        shape=(height, width),
        used=tuple(places),
        not_found=missing,
    )


def corners_of(text: str) -> tuple[int, int]:
    """The inner corners along the longer and the shorter side from `8x6`; raises `InputError` for anything else."""
    parts = re.fullmatch(r"\s*(\d{1,3})\s*[xX*]\s*(\d{1,3})\s*", text)
    if parts is None:
        raise InputError(f"corners={text}: give the inner corners of the checkerboard as WIDTHxHEIGHT, for example 8x6")
    corners = (max(int(parts[1]), int(parts[2])), min(int(parts[1]), int(parts[2])))
    _require_corners(corners)
    return corners


def _seen_size(images: list[NDArray[Any]]) -> str:
    """What size of board some of the pictures show, in words; nothing where none is seen, or they do not agree."""
    sizes = set()
    for image in images[:SIZE_IMAGES]:
        flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_LARGER
        found, _, grid = cv2.findChessboardCornersSBWithMeta(_eight_bit(image), (3, 3), flags)
        if found and np.asarray(grid).ndim == 2:
            sizes.add(tuple(sorted(np.asarray(grid).shape, reverse=True)))
    if len(sizes) != 1:
        return ""
    ((longer, shorter),) = sizes
    return f"A board of {longer} x {shorter} inner corners is seen: --set corners={longer}x{shorter}? "


def read_pictures(folder: Path) -> dict[str, NDArray[Any]]:
    """The grey pictures (H, W) of a folder by name: PNG and TIFF of 8 or 16 bits, or JPEG, whose colours become grey.

    Raises `FileError` when there are none, or too many, or one is damaged.
    """
    suffixes = (*STACK_SUFFIXES, *JPEG_SUFFIXES)
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    except OSError as error:
        raise FileError(f"{folder}: these checkerboard pictures cannot be read ({error.strerror or error})") from error
    if not 1 <= len(paths) <= MAX_IMAGES:
        raise FileError(
            f"{folder}: holds {len(paths)} pictures ({', '.join(suffixes)}); {MIN_IMAGES} to {MAX_IMAGES} of a "
            "checkerboard are needed"
        )
    return {
        path.name: _jpeg(path) if path.suffix.lower() in JPEG_SUFFIXES else read_image_stack(path, "checkerboard")
        for path in paths
    }


def _jpeg(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path, formats=("JPEG",)) as picture:
            if picture.width * picture.height > MAX_IMAGE_PX:
                raise FileError(f"{path}: {picture.width} x {picture.height} pixels; at most {MAX_IMAGE_PX} are read")
            return np.asarray(picture.convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileError(f"{path}: this checkerboard picture cannot be read ({error})") from error


def _require_corners(corners: tuple[int, int]) -> None:
    if min(corners) < 3:
        raise InputError(f"checkerboard: {corners[0]} x {corners[1]} inner corners; at least 3 x 3 are needed")


def _size(image: NDArray[Any]) -> str:
    return " x ".join(str(size) for size in reversed(image.shape))


def _eight_bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture with its whole range spread over 0 .. 255, which only the search for corners needs."""
    if image.ndim != 2 or min(image.shape) < 16:
        raise FileError(f"checkerboard: a picture of shape {image.shape}; grey pictures (H, W) are needed")
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    lowest, highest = float(image.min()), float(image.max())
    if not np.isfinite([lowest, highest]).all():
        raise FileError("checkerboard: the picture holds values that are not finite; record it again")
    scaled = (image.astype(np.float64) - lowest) * (255.0 / max(highest - lowest, 1e-12))
    return np.rint(scaled).astype(np.uint8)
