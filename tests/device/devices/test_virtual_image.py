"""The virtual device's decoder against vectors worked out by hand, and against anything at all."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidesign.device.dlpc900.virtual_image import BadImage, decode_block

WHITE, BLACK = 0xFFFFFF, 0


def _block(data: bytes, coding: int, columns: int = 8, rows: int = 2, size: int | None = None) -> bytes:
    count = len(data) if size is None else size
    return struct.pack("<4sHHI8s4sBBB21s", b"Spld", columns, rows, count, b"\xff" * 8, b"", 1, coding, 1, b"") + data


LINE = [WHITE] * 4 + [BLACK] * 4


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        # Enhanced: 4 white, 4 black, copy 8 from above, end of image, padded to 4.
        (2, "04 FFFFFF 04 000000 00 01 08 00 01 00 00 00"),
        # The same with optional end-of-line marks, which are nothing at the start of a line.
        (2, "04 FFFFFF 04 000000 00 00 00 01 08 00 00 00 01 00 00"),
        # Literal pixels: 00, 8, then 8 pixels.
        (2, "00 08 FFFFFF FFFFFF FFFFFF FFFFFF 000000 000000 000000 000000 00 01 08 00 01 00"),
        # Plain: each line ends 00 00, aligned to 4; image ends 00 01, padded to 16.
        (1, "04 FFFFFF 04 000000 00 00 0000 04 FFFFFF 04 000000 00 00 0000 00 01"),
        (1, "04 FFFFFF 04 000000 00 00 0000 00 04 FFFFFFFFFFFFFFFFFFFFFFFF 04 000000 00 01 000000000000"),
        # Uncompressed: 24 bytes a line, padded to 32.
        (0, "FFFFFF" * 4 + "000000" * 4 + "00" * 8 + "FFFFFF" * 4 + "000000" * 4 + "00" * 8),
    ],
)
def test_hand_made_vectors(coding: int, data: str) -> None:
    words = decode_block(_block(bytes.fromhex(data), coding), 8, 2)
    assert words.tolist() == [LINE, LINE]


def test_a_copy_takes_the_same_columns() -> None:
    # Line 0: pixels 1 to 8; line 1: two of 9, then columns 2 to 5 from above, then two of 9.
    literal = "00 08" + "".join(f"{value:06X}" for value in range(1, 9))
    data = bytes.fromhex(f"{literal} 02 000009 00 01 04 02 000009 00 01 00")
    assert decode_block(_block(data, 2), 8, 2)[1].tolist() == [9, 9, 3, 4, 5, 6, 9, 9]


def test_two_byte_lengths() -> None:
    # 130 -> 82 01, 513 -> 81 04, 1920 -> 80 0F (the rule of TI DLPU018F; Table 2-110 misprints 513).
    for columns, code in ((130, "8201"), (513, "8104"), (1920, "800F")):
        data = bytes.fromhex(f"{code} 010203 00 01 {code} 00 01 00")
        words = decode_block(_block(data, 2, columns), columns, 2)
        assert (words == 0x010203).all()
    assert words.shape == (2, 1920)


def test_the_byte_count_may_count_the_header() -> None:
    data = bytes.fromhex("04 FFFFFF 04 000000 00 01 08 00 01 00 00 00")
    assert decode_block(_block(data, 2, size=len(data) + 48), 8, 2).shape == (2, 8)


@pytest.mark.parametrize(
    ("coding", "data", "text"),
    [
        (2, "00 01 08 04 FFFFFF 04 FFFFFF 00 01 00", "line 0 copies"),
        (2, "09 FFFFFF 07 000000 00 01 00", "line 0 is written past its end"),
        (2, "08 FFFFFF 08 000000 08 000000 00 01 00", "line 2 is written past its end"),
        (2, "04 FFFFFF 00 00 04 FFFFFF 08 FFFFFF 00 01 00", "line 0 ends early"),
        (2, "08 FFFFFF 00 01 00", "the image ends in line 1"),
        (2, "08 FFFFFF 08 FFFFFF", "the data end before the end-of-image mark"),
        (2, "08 FFFFFF 08 FFFFFF 00 01 00 55", "bytes follow the end-of-image mark"),
        (1, "08 FFFFFF 08 FFFFFF 00 01", "line 0 is written past its end"),
        (1, "04 FFFFFF 00 00 00 00 08 FFFFFF 00 01", "line 0 ends early"),
        (1, "08 FFFFFF 00 00 0000 08 FFFFFF 00 01" + "00" * 16, "16 bytes follow"),
        (0, "FFFFFF" * 16, "48 bytes of pixels, 64 are needed"),
        (3, "00", "compression 3"),
    ],
)
def test_what_is_wrong_is_said(coding: int, data: str, text: str) -> None:
    with pytest.raises(BadImage, match=text):
        decode_block(_block(bytes.fromhex(data), coding), 8, 2)


def _outcome(content: bytes) -> int:
    """0 when the content is an image of 8 x 2, else the error code."""
    try:
        words = decode_block(content, 8, 2)
    except BadImage as error:
        return error.code
    return 0 if words.shape == (2, 8) and words.dtype == np.uint32 else -1


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_decoder(content: bytes) -> None:
    assert _outcome(content) in (0, 6, 9)


@given(st.sampled_from([0, 1, 2]), st.binary(max_size=120))
def test_no_data_crash_the_decoder(coding: int, data: bytes) -> None:
    assert _outcome(_block(data, coding)) in (0, 6, 9)


@given(st.integers(0, 95), st.integers(0, 255))
def test_a_changed_byte_is_an_error_or_another_image(place: int, value: int) -> None:
    data = bytearray(_block(bytes.fromhex("04 FFFFFF 04 000000 00 01 08 00 01 00 00 00"), 2))
    data[place % len(data)] = value
    assert _outcome(bytes(data)) in (0, 6, 9)


def test_a_huge_claim_takes_no_memory() -> None:
    header = struct.pack("<4sHHI8s4sBBB21s", b"Spld", 65535, 65535, 2**32 - 1, b"\xff" * 8, b"", 0, 2, 1, b"")
    with pytest.raises(BadImage, match="image of 65535 x 65535, this controller drives 1920 x 1080"):
        decode_block(header, 1920, 1080)
