"""What readers of files hand over: images to train on, or all images of a user to measure on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError

HELD_OUT = 10
MAX_MEASURED_BYTES = 4_000_000_000


@dataclass(frozen=True)
class TrainingSet:
    """Images (M, ...) for training and for validation, from different scenes, and what was left out and why.

    `trained` holds the digests of all pictures that are not kept for validation; `labels` the numbers of the `classes`
    (M,) of both kinds of images, where the source has one for every picture.
    """

    train: NDArray[Any]
    validation: NDArray[Any]
    pictures: int
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    trained: frozenset[str]
    labels: tuple[NDArray[np.int64], ...] | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MeasuredSet:
    """Images (M, ...) of every usable picture, as many of each.

    Of the `pictures` found, `left_out` are ones that the system was trained on; when all are, all are measured and
    `held_out` is False.  `labels` are the numbers of the `classes` of the images (M,), where the source has them.
    """

    images: NDArray[Any]
    pictures: int
    left_out: int
    held_out: bool
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()


def content_digest(values: NDArray[np.generic]) -> str:
    """A digest of an array's shape, kind and values: equal for copies of a picture."""
    digest = hashlib.blake2b(f"{values.shape} {values.dtype.str}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(values).data.cast("B"))
    return digest.hexdigest()


def kept_for_validation(scenes: int) -> list[bool]:
    """Which of several scenes in a fixed order are kept for validation: every tenth, or the last."""
    chosen = [index % HELD_OUT == HELD_OUT - 1 for index in range(scenes)]
    chosen[-1] = chosen[-1] or not any(chosen)
    return chosen


def not_trained_on(digests: Sequence[str], trained: frozenset[str]) -> tuple[list[int], bool]:
    """The numbers of the pictures that a system was not trained on, and True; all and False if there is none."""
    fresh = [index for index, digest in enumerate(digests) if digest not in trained]
    return (fresh, True) if fresh else (list(range(len(digests))), False)


def images_of_each(pictures: int, wanted: int, image_bytes: int) -> int:
    """How many images to take of each picture for about `wanted` in all, at least one.

    Raises `InputError` when they need too much memory.
    """
    each = max(1, round(wanted / pictures))
    if pictures * image_bytes > MAX_MEASURED_BYTES:
        raise InputError(
            f"one image of {image_bytes} bytes of each of {pictures} pictures is more than {MAX_MEASURED_BYTES} bytes; "
            "give fewer pictures"
        )
    return max(1, min(each, MAX_MEASURED_BYTES // (pictures * image_bytes)))
