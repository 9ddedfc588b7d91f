"""Pictures in arrays of NumPy: what is a stack of pictures, what are labels, and what could be either (refused)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isqrt, log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.data.picture_labels import Labels, labels_of
from cidesign.errors import FileError
from cidesign.io.arrays import float64_of
from cidesign.records import shown

COLOURS = (3, 4)
# Rec. 601 luma, what 'grey' means in image tools.
LUMA = np.array([0.299, 0.587, 0.114])
# A bare array (H, W) with a side this many times the other is a table sooner than a picture.
LONGEST_ASPECT = 10
SMALLEST_SIDE = 4
# Pictures written one a row have at least this side, by their number of channels.
SMALLEST_FLAT_SIDE = {1: 8, 3: 16}
# Mean differences of neighbours are taken of so many values along an axis.
SAMPLE = 64
EXPLICIT = "(1, H, W) for one picture, (N, H, W, 1) or (N, H, W, 3) for N of them"


@dataclass(frozen=True)
class Picture:
    """A grey picture (H, W) in the numbers of its file.

    `label` tells it from the others of the file ("" when there is only one); those of one `scale` share a white level,
    and those of one `scene` ("": of one file) show the same thing.  `task` is the number or the name of its class,
    where the file says it.
    """

    values: NDArray[np.generic]
    label: str = ""
    scale: str = ""
    scene: str = ""
    task: int | str | None = None


def grey(picture: NDArray[np.generic]) -> NDArray[np.generic]:
    """A picture (H, W) or (H, W, 1, 3 or 4) as grey (H, W) of the same type; a fourth channel is transparency."""
    if picture.dtype == bool:
        picture = picture.astype(np.uint8) * np.uint8(255)
    if picture.ndim == 2:
        return picture
    if picture.shape[2] == 1:
        return picture[..., 0]
    luma: NDArray[np.float64] = picture[..., :3] @ LUMA
    return luma.astype(picture.dtype) if picture.dtype.kind == "f" else np.round(luma).astype(picture.dtype)


def pictures_of_arrays(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], notes: list[str], count_last: bool = False
) -> Iterator[Picture]:
    """The pictures of named arrays: (H, W), (N, H, W), with channels last or (N, C, H, W), or one a row (N, s * s).

    Arrays that are no pictures are left out with a remark; labels among them, one for each picture, go with the
    pictures.  With `count_last` (as MATLAB's users have it) the number of the picture may also be the last axis.
    Raises `FileError` when no array is one, with the reasons.
    """
    stacks: dict[str, NDArray[np.generic]] = {}
    others: dict[str, str] = {}
    for name, array in arrays.items():
        found = _stack(array, count_last)
        if isinstance(found, str):
            others[name] = found
        else:
            stacks[name] = found
    _leave_out_tables(arrays, stacks, others)
    alone = len(arrays) == 1
    labels = {name: labels_of(name, len(stack), {o: arrays[o] for o in others}) for name, stack in stacks.items()}
    kept = {found.name for found in labels.values() if found is not None}
    others = {name: f"{why}{'; kept for tasks' if name in kept else ''}" for name, why in others.items()}
    reasons = [reason if alone else f"`{name}`: {reason}" for name, reason in others.items()]
    if not stacks:
        raise FileError(f"{path}: {shown(reasons) if reasons else 'it holds no array'}")
    if others:
        taken = shown(f"`{name}` ({len(stack)})" for name, stack in stacks.items())
        notes.append(f"pictures are read from {taken}; left out: {shown(reasons)}")
    for name, stack in stacks.items():
        if arrays[name].ndim == 2 and len(stack) > 1:
            size = f"{stack.shape[1]} x {stack.shape[2]}"
            notes.append(f"{arrays[name].shape} is read as {len(stack)} pictures of {size}, one a row")
        yield from _numbered(name, stack, alone, labels[name])


def _numbered(name: str, stack: NDArray[np.generic], alone: bool, labels: Labels | None) -> Iterator[Picture]:
    for number, picture in enumerate(stack):
        label = "" if alone and len(stack) == 1 else f"{'' if alone else name}[{number}]"
        yield Picture(grey(picture), label, name, task=None if labels is None else labels.of(number))


def _leave_out_tables(
    arrays: Mapping[str, NDArray[np.generic]], stacks: dict[str, NDArray[np.generic]], others: dict[str, str]
) -> None:
    """A matrix with a row or a column for every picture of another array is a table about them, and so is one picture
    as high as there are others."""
    counts = {len(stack) for name, stack in stacks.items() if arrays[name].ndim > 2 and len(stack) > 1}
    for name in list(stacks):
        shape = arrays[name].shape
        one = len(shape) == 3 and len(stacks[name]) == 1 and shape[0] != 1
        if shape[0] in counts and (len(shape) == 2 or one):
            others[name] = f"{shape} has a row for every picture of another array"
        elif len(shape) == 2 and shape[1] in counts:
            others[name] = f"{shape} has a column for every picture of another array"
        else:
            continue
        del stacks[name]


def _stack(array: NDArray[np.generic], count_last: bool) -> NDArray[np.generic] | str:
    """An array as pictures (N, H, W) or (N, H, W, C), or why it is not."""
    shape = array.shape
    if array.dtype.kind not in "uifb":
        return f"values of type {array.dtype} are not pictures"
    if min(shape, default=0) < 1 or array.ndim < 2 or (array.ndim == 2 and min(shape) == 1):
        return f"{shape} are labels or a list of numbers, no pictures"
    if array.ndim == 2:
        return _bare(array)
    if array.ndim == 3:
        return _three_axes(array, count_last)
    if array.ndim == 4 and shape[-1] in (1, *COLOURS):
        return _large_enough(array)
    if array.ndim == 4 and shape[1] in (1, *COLOURS):
        return _large_enough(np.moveaxis(array, 1, -1))
    if array.ndim == 4 and shape[2] in (1, *COLOURS) and count_last:
        return _large_enough(np.moveaxis(array, -1, 0))
    return f"{shape} is no picture and no stack of pictures; give {EXPLICIT}"


def _large_enough(stack: NDArray[np.generic]) -> NDArray[np.generic] | str:
    height, width = stack.shape[1:3]
    if min(height, width) < SMALLEST_SIDE:
        return f"{height} x {width} pixels are no picture"
    return stack


def _bare(array: NDArray[np.generic]) -> NDArray[np.generic] | str:
    """A matrix: labels, a picture, or pictures that are written one a row; refused where that is not clear."""
    rows, columns = array.shape
    if columns <= 1000 and rows > 1 and _class_rows(array):
        return f"{array.shape} are labels (one row for each, which adds to 1), no pictures"
    layout, clear = _flat_layout(array)
    if layout is not None and clear:
        return layout
    transposed, certain = _flat_layout(array.T)
    if transposed is not None and certain:
        return f"{array.shape} looks like pictures written one a column; transpose it"
    if layout is not None:
        side = layout.shape[1]
        return (
            f"{array.shape} could be one picture, or {rows} of {side} x {side} written one a row; say which by its "
            f"shape: {EXPLICIT}"
        )
    if max(rows, columns) > LONGEST_ASPECT * min(rows, columns):
        return f"{array.shape} could be a table, a picture or several of them; say which by its shape: {EXPLICIT}"
    return _large_enough(array[None])


def _class_rows(array: NDArray[np.generic]) -> bool:
    values = float64_of(array)
    return bool(np.isfinite(values).all() and (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3))


def _flat_layout(array: NDArray[np.generic]) -> tuple[NDArray[np.generic] | None, bool]:
    """Pictures written one a row (N, s * s or 3 * s * s), if that is possible, and whether it is certain.

    In such a row the values `s` apart are neighbours: they differ less than those half a line further, and less than
    the same pixel of two pictures.  In one picture the neighbour is the next row.
    """
    rows, columns = array.shape
    if not np.isfinite(array).all():  # refused as a picture, with the number of them
        return None, False
    for channels, smallest in SMALLEST_FLAT_SIDE.items():
        side = isqrt(columns // channels)
        if side < smallest or channels * side * side != columns or rows < 2:
            continue
        sample = float64_of(array[:: max(rows // 256, 1)][:256])
        # The first picture of a pair is compared with the next row of the whole array, not of the sample.
        following = array[1 :: max(rows // 256, 1)][: len(sample)].astype(np.float64)
        between = float(abs(following - sample[: len(following)]).mean())
        steps = (side,) if channels == 1 else (side, 3 * side)
        near = [float(abs(sample[:, step:] - sample[:, :-step]).mean()) for step in steps]
        step = steps[int(np.argmin(near))]
        far = float(abs(sample[:, step + step // 2 :] - sample[:, : -(step + step // 2)]).mean())
        if min(near) > 1.25 * between or min(near) >= 0.97 * far:
            return None, False
        if channels == 1:
            pictures: NDArray[np.generic] = array.reshape(rows, side, side)
        elif step == side:
            pictures = np.moveaxis(array.reshape(rows, 3, side, side), 1, -1)
        else:
            pictures = array.reshape(rows, side, side, 3)
        certain = min(near) < 0.8 * between and min(near) < 0.9 * far
        # As many rows as columns are seldom a list.
        return (pictures, certain) if certain or rows != columns else (None, False)
    return None, False


def _three_axes(array: NDArray[np.generic], count_last: bool) -> NDArray[np.generic] | str:
    shape = array.shape
    if shape[0] == 1:
        return _large_enough(array)
    if shape[-1] == 1:
        return _bare(array[..., 0])
    if shape[-1] in COLOURS:
        return _large_enough(array[None])
    if shape[0] in COLOURS:
        return (
            f"{shape} could be one picture in planes of colour or {shape[0]} grey ones; say which by its shape: "
            f"(H, W, {shape[0]}) or ({shape[0]}, H, W, 1)"
        )
    if shape[0] == shape[1] != shape[2] or _last_counts(array):
        if count_last:
            return _large_enough(np.moveaxis(array, -1, 0))
        return (
            f"{shape} looks like {shape[2]} pictures of {shape[0]} x {shape[1]}; the number of the picture comes "
            "first: use numpy.moveaxis(array, -1, 0), or say by a fourth axis, (N, H, W, 1), that it does"
        )
    return _large_enough(array)


def _last_counts(array: NDArray[np.generic]) -> bool:
    """Whether the first two axes are alike in how much neighbours differ, as height and width are, and the last not."""
    middle = tuple(slice(max(n // 2 - SAMPLE // 2, 0), max(n // 2 - SAMPLE // 2, 0) + SAMPLE) for n in array.shape)
    sample = float64_of(array[middle])
    if min(sample.shape) < 2 or not np.isfinite(sample).all():
        return False
    rough = [float(abs(np.diff(sample, axis=axis)).mean()) for axis in range(3)]
    if min(rough) <= 0:
        return False
    return abs(log(rough[0] / rough[1])) + 0.4 < abs(log(rough[1] / rough[2]))
