"""Packing frames of 1..8 bits into the 24 bit planes of one image."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequencePlan
from cidesign.errors import InputError
from cidesign.pattern import PatternStack

PLANES_PER_IMAGE = 24
# Planes from one frame to the next, and the first plane used, for 1..8 bits (TI LUT_Entry_Helper sheet): five
# bits leave the lowest of six planes unused, seven bits the lowest of eight.
_STRIDE = (1, 2, 3, 4, 6, 6, 8, 8)
_OFFSET = (0, 0, 0, 0, 1, 0, 1, 0)


def frames_per_image(bit_depth: int) -> int:
    """How many frames of a bit depth 1..8 one image holds: 24, 12, 8, 6, 4, 4, 3, 3."""
    return PLANES_PER_IMAGE // _STRIDE[bit_depth - 1]


def planes_of(bit_depth: int, slot: int) -> tuple[int, ...]:
    """The planes 0..23 of the frame in slot `slot`, least significant level bit first.

    Planes 0-7 are G0-G7, 8-15 R0-R7, 16-23 B0-B7.  Raises `InputError` for a slot that the image does not have.
    Source: TI LUT_Entry_Helper sheet; ALC SDK, pattern merge.
    """
    if not 1 <= bit_depth <= 8:
        raise InputError(f"bit depth {bit_depth} is outside 1..8")
    first = slot * _STRIDE[bit_depth - 1] + _OFFSET[bit_depth - 1]
    if slot < 0 or first + bit_depth > PLANES_PER_IMAGE:
        raise InputError(f"slot {slot} of {bit_depth} bits lies outside the {PLANES_PER_IMAGE} planes of an image")
    return tuple(range(first, first + bit_depth))


def pack_planes(levels: NDArray[np.uint8], bit_depth: int) -> NDArray[np.uint8]:
    """Pack the frames of one image: levels (S, ...), 0 .. 2**bit_depth - 1 -> bytes (3, ...).

    Byte 0 holds planes 0-7, byte 1 planes 8-15, byte 2 planes 16-23; unused planes are 0.  Any shape after the
    first axis: super-pixels or mirrors.  Raises `InputError` for more frames than an image holds.
    """
    groups = np.zeros((3, *levels.shape[1:]), dtype=np.uint8)
    for slot, frame in enumerate(levels):
        for bit, plane in enumerate(planes_of(bit_depth, slot)):
            one = frame if bit_depth == 1 else (frame >> np.uint8(bit)) & np.uint8(1)
            groups[plane // 8] |= one << np.uint8(plane % 8)
    return groups


def pack_images(levels: NDArray[np.uint8], plan: SequencePlan) -> Iterator[NDArray[np.uint8]]:
    """The 24-plane images of a plan, one after another: levels of all frames (F, n, n) -> bytes (3, n, n).

    Planes are packed on super-pixels; a writer spreads them to mirrors once per byte or word, not once per plane.
    """
    for first, last in _images(plan):
        yield pack_planes(levels[first:last], plan.bit_depth)


def images_of(pattern: PatternStack, plan: SequencePlan) -> Iterator[NDArray[np.uint8]]:
    """`pack_images` of the frames of a design, of which only those of one image are made at a time."""
    frames = pattern.frames()
    for first, last in _images(plan):
        yield pack_planes(pattern.shown(frames[first:last]), plan.bit_depth)


def image_name(device: str, image: int, images: int) -> str:
    """What the files of an image are called, so that their names sort as their numbers, 0 .. images - 1."""
    return f"{device}_{image:0{2 if images <= 100 else 3}d}"


def _images(plan: SequencePlan) -> Iterator[tuple[int, int]]:
    """The first entry of each image, and the one after its last."""
    first = [number for number, entry in enumerate(plan.entries) if entry.loads_image]
    return zip(first, [*first[1:], len(plan.entries)], strict=True)
