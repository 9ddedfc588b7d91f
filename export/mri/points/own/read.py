"""One file of points becomes a design: what is in it, what it leaves open, and a picture of what was understood."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cidesign.errors import FileError, InputError
from cidesign.export.mri.own.arrays import (
    ARRAYS,
    BART,
    PICTURES,
    TABLES,
    is_mask,
    one_file,
    read_array,
    real_numbers,
    refuse_settings,
    sources,
)
from cidesign.export.mri.points.own.options import PointOptions
from cidesign.export.mri.points.scan import points_said
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianPoints, calibration_region

SUFFIXES = (*ARRAYS, *BART, *PICTURES, *TABLES)
_LONGEST_PX = 512
Mask = NDArray[np.bool_]


class _Found(NamedTuple):
    """A mask (lines, partitions); the samples of a readout, None where the file does not say; how it was understood."""

    mask: Mask
    readout: int | None
    said: tuple[str, ...]


def read_own(files: Sequence[Path], profile: MriProfile, options: PointOptions) -> OwnDesign:
    """Read the points (ky, kz) of one file as a design for the scanner of `profile`.

    .npy, .npz, .mat, .csv, .txt: a mask (H, W) or a list of points (P, 2); .png, .tif: a picture of two values; .cfl: a
    pattern of BART (x, y, z).  Raises `FileError` for damage and for what is no points of a 3-D scan, `InputError`
    where the file can be read in several ways, naming them and the option that decides.
    """
    path = one_file(files, SUFFIXES, "points")
    array, name = read_array(path, options.array, "points", 3)
    where = f"{path}: {name}" if name else str(path)
    found = _of_bart(array, where, options) if path.suffix.lower() in BART else _of_array(array, path, where, options)
    if not found.mask.any():
        raise FileError(f"{where}: measures no point")
    mask, told = _centred(found.mask, where, options)
    readout = _readout(found, where, options)
    calibration = calibration_size(mask)
    acquired = np.argwhere(mask).astype(np.int64)
    lines, partitions = mask.shape
    design = CartesianPoints(lines, partitions, readout, acquired, calibration, profile.id, profile.digest)
    said = [*found.said, told, f"a readout has {readout} samples, without oversampling"]
    if not all(calibration):
        said.append("the centre of k-space is not measured: no fully sampled region")
    said.append(points_said(design))
    return OwnDesign(design, tuple(said), tuple(sources(path)), _picture(design))


def _of_bart(array: NDArray[np.generic], where: str, options: PointOptions) -> _Found:
    """A pattern (x, y, z): of one sample along x, or the same for all."""
    refuse_settings(where, "a pattern of BART", lines=options.lines, partitions=options.partitions, first=options.first)
    refuse_settings(where, "a pattern of BART", axis=options.axis)
    if array.ndim > 3:
        raise FileError(f"{where}: BART dimensions {array.shape}; a pattern of points has x, y and z alone")
    planes = array.reshape(array.shape[0], array.shape[1], -1)
    if planes.shape[2] == 1:
        raise FileError(f"{where}: BART dimensions {array.shape}, a pattern of one partition; points have y and z")
    if not np.isin(planes, (0, 1)).all():
        raise FileError(f"{where}: values other than 0 and 1 (weights are no points)")
    if (planes != planes[:1]).any():
        raise FileError(f"{where}: the pattern changes along x, the readout, which is measured whole or not at all")
    lines, partitions = planes.shape[1:]
    text = f"a pattern of BART: {lines} lines (y) and {partitions} partitions (z)"
    return _Found(planes[0].astype(bool), planes.shape[0] if planes.shape[0] > 1 else None, (text,))


def _of_array(array: NDArray[np.generic], path: Path, where: str, options: PointOptions) -> _Found:
    numbers = real_numbers(array, where, "points")
    if path.suffix.lower() in PICTURES:
        numbers, said = _of_picture(numbers, where), ("a picture: the brighter of its two values is measured",)
    elif not is_mask(array, numbers):
        return _of_list(numbers, where, options)
    else:
        said = ("a mask: 1 is measured",)
    refuse_settings(where, "a mask", lines=options.lines, partitions=options.partitions, first=options.first)
    if numbers.ndim != 2:
        raise FileError(
            f"{where}: shape {array.shape}; a mask of points has two axes, ky and kz. Lines of a 2-D scan are read "
            "with --set sampling=lines"
        )
    axis = options.axis or "rows"
    mask = numbers.astype(bool) if axis == "rows" else np.ascontiguousarray(numbers.astype(bool).T)
    other = "columns" if axis == "rows" else "rows"
    asked = "as asked for" if options.axis else f"--set axis={other} takes it the other way"
    text = f"its {axis} are the {mask.shape[0]} lines (ky), its {other} the {mask.shape[1]} partitions (kz); {asked}"
    return _Found(mask, None, (*said, text))


def _of_picture(numbers: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    values = np.unique(numbers)
    if len(values) != 2:
        raise FileError(
            f"{where}: a picture of {len(values)} values; a mask has two, dark and bright. Was it scaled or saved with "
            "loss? Draw it with one pixel for each point"
        )
    bright: NDArray[np.float64] = (numbers == values[1]).astype(np.float64)
    return bright


def _of_list(numbers: NDArray[np.float64], where: str, options: PointOptions) -> _Found:
    if numbers.ndim != 2 or numbers.shape[1] != 2:
        raise FileError(
            f"{where}: shape {numbers.shape} with values {numbers.min():g} to {numbers.max():g}; a list of points has "
            "two columns, line and partition, and a mask holds 0 and 1 alone (weights are no points)"
        )
    refuse_settings(where, "a list of points", axis=options.axis, centre=options.centre)
    whole = np.rint(numbers).astype(np.int64)
    if np.any(whole != numbers):
        raise FileError(f"{where}: {numbers[(whole != numbers).any(axis=1)][0].tolist()} is no point of whole steps")
    if options.lines is None or options.partitions is None:
        raise InputError(
            f"{where}: a list of {len(whole)} points, lines {whole[:, 0].min()} to {whole[:, 0].max()} and partitions "
            f"{whole[:, 1].min()} to {whole[:, 1].max()}; of how many? --set lines=N --set partitions=N"
        )
    matrix = np.array([options.lines, options.partitions])
    offset, told = _offset(whole, matrix, where, options)
    places = whole + offset
    unique = np.unique(places, axis=0)
    if len(unique) < len(places):
        raise FileError(f"{where}: {len(places) - len(unique)} points occur more than once; a design names each once")
    mask = np.zeros(matrix, dtype=bool)
    mask[tuple(unique.T)] = True
    said = f"a list of {len(unique)} points (line, partition), {told}; their order is no part of a design"
    return _Found(mask, None, (said,))


def _offset(
    found: NDArray[np.int64], matrix: NDArray[np.int64], where: str, options: PointOptions
) -> tuple[NDArray[np.int64], str]:
    """What is added to the numbers of a list to count from 0."""
    low, high = found.min(axis=0), found.max(axis=0)
    if (low < 0).any():
        if options.first is not None:
            raise InputError(f"--set first={options.first}: {where} has negative numbers; leave it out")
        offset, told = matrix // 2, "counted from the centre of k-space"
    else:
        fits = [first for first in (0, 1) if (low >= first).all() and (high < matrix + first).all()]
        if options.first is None and len(fits) == 2:
            raise InputError(
                f"{where}: points {low.tolist()} to {high.tolist()} of {matrix[0]} x {matrix[1]} fit counting from 0 "
                "(--set first=0) and from 1 (--set first=1); say which"
            )
        first = fits[0] if options.first is None and fits else options.first or 0
        offset, told = np.full(2, -first), f"counted from {first}"
    if (low + offset < 0).any() or (high + offset >= matrix).any():
        raise InputError(
            f"{where}: points {low.tolist()} to {high.tolist()} {told} are outside {matrix[0]} x {matrix[1]}; are "
            "lines and partitions right?"
        )
    return offset, told


def _centred(mask: Mask, where: str, options: PointOptions) -> tuple[Mask, str]:
    """The mask with the centre of k-space at (N // 2, M // 2)."""
    y, z = mask.shape[0] // 2, mask.shape[1] // 2
    if options.centre == "corner":
        return np.fft.fftshift(mask), f"point (0, 0) of the file is the centre of k-space, here ({y}, {z})"
    if options.centre is None and not mask[y, z] and mask[0, 0]:
        raise InputError(
            f"{where}: point ({y}, {z}), where the centre of k-space should be, is not measured, and (0, 0) is; is the "
            "mask in the order of an FFT (--set centre=corner), or is the centre left out (--set centre=middle)?"
        )
    return mask, f"the centre of k-space is point ({y}, {z}), counted from 0"


def _readout(found: _Found, where: str, options: PointOptions) -> int:
    if found.readout is None:
        if options.readout is None:
            raise InputError(
                f"{where}: does not say how many samples a readout has; say it with --set readout=N (without "
                f"oversampling, {found.mask.shape[0]} for as many as lines)"
            )
        return options.readout
    if options.readout not in (None, found.readout):
        raise InputError(f"--set readout={options.readout}: {where} has {found.readout} along x; leave it out")
    return found.readout


def calibration_size(mask: Mask) -> tuple[int, int]:
    """The largest block (lines, partitions) around the centre that is wholly measured; (0, 0) where that is not.

    Of several of one area the one whose sides differ least.
    """
    best, size = 0, (0, 0)
    partitions = mask.shape[1]
    for lines in range(1, mask.shape[0] + 1):
        while partitions and (calibration_region(_matrix(mask), (lines, partitions)) > mask).any():
            partitions -= 1
        area = lines * partitions
        if area > best or (area == best and abs(lines - partitions) < abs(size[0] - size[1])):
            best, size = area, (lines, partitions) if area else (0, 0)
        if not partitions:
            break
    return size


def _matrix(mask: Mask) -> tuple[int, int]:
    return mask.shape[0], mask.shape[1]


def _picture(design: CartesianPoints) -> bytes:
    """k-space: white where it is measured, lines down and partitions across; the fully sampled centre is green."""
    pixels = np.full((*design.matrix, 3), 30, dtype=np.uint8)
    pixels[design.mask == 1] = 235
    pixels[design.calibration_mask == 1] = (120, 200, 120)
    scale = max(1, _LONGEST_PX // max(design.matrix))
    step = -(-max(design.matrix) // (4 * _LONGEST_PX))
    picture = pixels[::step, ::step].repeat(scale, axis=0).repeat(scale, axis=1)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, format="PNG")
    return stream.getvalue()
