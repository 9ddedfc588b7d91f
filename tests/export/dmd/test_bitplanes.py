"""Planes of a 24-bit word, worked out by hand from the LUT_Entry_Helper sheet."""

import numpy as np
import pytest

from cidesign.errors import InputError
from cidesign.export.dmd.bitplanes import pack_planes, planes_of

G, R, B = 0, 8, 16

# Depth -> planes of each slot, least significant bit first, as the sheet prints them (most significant first there).
SHEET = {
    1: [(p,) for p in range(24)],
    2: [(p, p + 1) for p in range(0, 24, 2)],
    3: [(p, p + 1, p + 2) for p in range(0, 24, 3)],
    4: [tuple(range(p, p + 4)) for p in (G, G + 4, R, R + 4, B, B + 4)],
    5: [
        (G + 1, G + 2, G + 3, G + 4, G + 5),
        (G + 7, R + 0, R + 1, R + 2, R + 3),
        (R + 5, R + 6, R + 7, B + 0, B + 1),
        (B + 3, B + 4, B + 5, B + 6, B + 7),
    ],
    6: [tuple(range(p, p + 6)) for p in (0, 6, 12, 18)],
    7: [tuple(range(p + 1, p + 8)) for p in (G, R, B)],
    8: [tuple(range(p, p + 8)) for p in (G, R, B)],
}


@pytest.mark.parametrize("bit_depth", SHEET)
def test_planes_are_those_of_the_sheet(bit_depth: int) -> None:
    slots = SHEET[bit_depth]
    assert [planes_of(bit_depth, slot) for slot in range(len(slots))] == slots
    with pytest.raises(InputError, match="lies outside"):
        planes_of(bit_depth, len(slots))


def test_frames_per_image_of_the_profile_fit(dlp4500) -> None:
    for depth, limits in dlp4500.bit_depths.items():
        assert limits.frames_per_image.value == len(SHEET[int(depth)])


@pytest.mark.parametrize(
    ("plane", "groups"),
    [(0, (1, 0, 0)), (7, (0x80, 0, 0)), (8, (0, 1, 0)), (16, (0, 0, 1)), (23, (0, 0, 0x80))],
)
def test_one_plane_sets_one_bit(plane: int, groups: tuple[int, int, int]) -> None:
    levels = np.zeros((24, 1, 2), dtype=np.uint8)
    levels[plane, 0, 1] = 1
    packed = pack_planes(levels, 1)
    assert tuple(packed[:, 0, 1]) == groups
    assert not packed[:, 0, 0].any()


def test_levels_of_five_bits_cross_a_byte() -> None:
    # 0b10110 in slot 1: G7 = 0, R0 = 1, R1 = 1, R2 = 0, R3 = 1.
    levels = np.array([[0], [0b10110]], dtype=np.uint8)
    assert pack_planes(levels, 5)[:, 0].tolist() == [0, 0b1011, 0]


def test_more_frames_than_an_image_holds_are_refused() -> None:
    with pytest.raises(InputError, match="slot 3 of 8 bits"):
        pack_planes(np.zeros((4, 2, 2), dtype=np.uint8), 8)
