"""The codings of the DLPC900: vectors worked out by hand, and a decoder that shares no code with the encoders."""

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.export.dmd.dlpc900.compression import Lines, erle, length_code, rle, smallest, uncompressed
from cidesign.export.dmd.dlpc900.read import read_block
from cidesign.export.dmd.dlpc900.write import image_block

WHITE, BLACK = 0xFFFFFF, 0


def image(*rows: list[int]) -> NDArray[np.uint32]:
    return np.array(rows, dtype=np.uint32)


def block(code: int, content: bytes, columns: int, rows: int) -> bytes:
    header = b"Spld" + struct.pack("<HHI", columns, rows, len(content)) + b"\xff" * 8 + b"\0" * 5 + bytes([code, 1])
    return header + b"\0" * 21 + content


def decoded(code: int, content: bytes, columns: int, rows: int) -> NDArray[np.uint32]:
    pixels = read_block(block(code, content, columns, rows), "test").astype(np.uint32)
    return pixels[:, :, 0] | pixels[:, :, 1] << 8 | pixels[:, :, 2] << 16


@pytest.mark.parametrize(
    ("count", "code"),
    [(1, "01"), (127, "7f"), (128, "8001"), (130, "8201"), (513, "8104"), (1920, "800f"), (4660, "b424")],
)
def test_lengths_by_hand(count: int, code: str) -> None:
    assert length_code(count).hex() == code


def test_enhanced_coding_by_hand() -> None:
    """Four white and four black pixels, the same line again: repeat, repeat, copy 8, end, padded to 16 bytes."""
    line = [WHITE] * 4 + [BLACK] * 4
    expected = "04ffffff 04000000 000108 000100 0000"
    assert erle(Lines.of(image(line, line))) == bytes.fromhex(expected)


def test_enhanced_coding_joins_literals_and_copies() -> None:
    first = [1, 2, 3, 7, 7, 7, 5, 5]
    second = [1, 2, 3, 7, 7, 9, 4, 5]  # copy 3; the run 7 7 is copied too; literal 9 4; 5 alone is not worth a copy
    expected = (
        "00 03 010000 020000 030000  03 070000  02 050000"
        "00 01 05  00 03 090000 040000 050000"
        "00 01 00"
    )  # fmt: skip
    content = bytes.fromhex(expected)
    assert erle(Lines.of(image(first, second))) == content + bytes(-len(content) % 4)


def test_plain_coding_by_hand() -> None:
    """Literals of three, a repeat, line end padded to 4; 300 pixels as 255 + 45; end padded to 16."""
    expected = "00 03 030201 060504 090807  02 0c0b0a  0000 000000  0001 000000000000000000000000".replace(" ", "")
    words = image([0x010203, 0x040506, 0x070809, 0x0A0B0C, 0x0A0B0C])
    content = rle(Lines.of(words))
    assert len(content) % 16 == 0
    body = bytes.fromhex(expected[: 2 * (11 + 4 + 2)])
    body += bytes(-len(body) % 4) + b"\0\1"
    assert content == body + bytes(-len(body) % 16)
    assert rle(Lines.of(image([7] * 300)))[:8].hex() == "ff0700002d070000"
    # 256 literal pixels: 255 at once, and one alone, which only a repeat can say.
    many = rle(Lines.of(image(list(range(256)))))
    assert many[:2].hex() == "00ff"
    assert many[2 + 765 :][:4].hex() == "01ff0000"


def test_uncompressed_rows_are_padded_to_16() -> None:
    content = uncompressed(image([0x030201, 0x060504], [0x090807, 0x0C0B0A]))
    assert content.hex() == "010203040506" + "00" * 10 + "0708090a0b0c" + "00" * 10


@pytest.mark.parametrize(("side", "size"), [(2, 2_075_764), (4, 521_644), (8, 133_384), (16, 36_692), (32, 12_348)])
def test_sizes_of_24_random_planes(side: int, size: int) -> None:
    """Sizes by arithmetic: one repeat of 4 bytes a super-pixel, 4 bytes for each copied line, 3 to end."""
    rows, columns = -(-1080 // side), 1920 // side
    # Words of neighbours must differ, or a repeat is saved: number them.
    small = np.random.default_rng(side).permutation(rows * columns).reshape(rows, columns).astype(np.uint32)
    words = np.repeat(np.repeat(small, side, axis=0)[:1080], side, axis=1)
    expected = 4 * rows * columns + 4 * (1080 - rows) + 3
    assert expected + -expected % 4 == size
    name, content = smallest(words)
    assert (name, len(content)) == ("erle", size)


def test_random_mirrors_stay_uncompressed() -> None:
    words = np.random.default_rng(1).integers(0, 2**24, (20, 1920), dtype=np.uint32)
    name, content = smallest(words)
    assert (name, len(content)) == ("none", 20 * 5760)
    # 1920 literals a line: 3 bytes before them, 3 at the end.
    assert len(erle(Lines.of(words))) == 20 * (5760 + 3) + 4


@st.composite
def images(draw) -> NDArray[np.uint32]:
    """Small images with runs, repeated lines and repeated parts of lines."""
    columns = draw(st.integers(1, 40))
    values = st.sampled_from([0, 1, 2, 0xFFFFFF, 0x0100, 0x010000])
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        action = draw(st.sampled_from(["runs", "same", "part", "pixels"])) if rows else "runs"
        if action == "same":
            rows.append(list(rows[-1]))
        elif action == "part":
            cut = draw(st.integers(0, columns))
            rows.append(rows[-1][:cut] + draw(st.lists(values, min_size=columns - cut, max_size=columns - cut)))
        elif action == "pixels":
            rows.append(draw(st.lists(values, min_size=columns, max_size=columns)))
        else:
            row: list[int] = []
            while len(row) < columns:
                row += [draw(values)] * draw(st.integers(1, columns))
            rows.append(row[:columns])
    return image(*rows)


@given(images())
@example(image([5]))
@example(image([5], [5], [6]))
@example(image([1, 1, 2], [1, 1, 2], [1, 2, 2]))
def test_every_coding_decodes_to_the_image(words) -> None:
    rows, columns = words.shape
    lines = Lines.of(words)
    contents = {"none": uncompressed(words), "rle": rle(lines), "erle": erle(lines)}
    for code, (name, content) in enumerate(contents.items()):
        assert np.array_equal(decoded(code, content, columns, rows), words), name
    name, content = smallest(words)
    assert content == contents[name]
    assert len(content) == min(map(len, contents.values()))


@pytest.mark.parametrize("columns", [127, 128, 129, 255, 256, 257, 510, 511, 2716])
def test_lengths_at_the_edges_of_their_fields(columns: int) -> None:
    values = np.arange(columns, dtype=np.uint32)
    words = image([3] * columns, list(values), list(values), [9, *values[1:]])
    lines = Lines.of(words)
    for code, content in enumerate((uncompressed(words), rle(lines), erle(lines))):
        assert np.array_equal(decoded(code, content, columns, 4), words)


@pytest.mark.parametrize(
    ("code", "content", "message"),
    [
        (2, "04ffffff 000100 00", "the image ends after 4 of 8 pixels"),
        (2, "05ffffff 03ffffff 000100 00", "crosses the end of a line"),
        (2, "000104 04ffffff 000100 0000", "copies into the first line"),
        (2, "04ffffff 04ffffff", "cut short"),
        (2, "04ffffff 04ffffff 000100", "follow the end"),
        (2, "04ffffff 04ffffff 000100 01", "follow the end"),
        (2, "04ffffff 04ffffff 01ffffff 000100 00", "crosses the end of a line"),
        (2, "02ffffff 0000 02ffffff 04ffffff 000100 0000", "ends a line before its last pixel"),
        (1, "04ffffff 0000 0001 04ffffff 0000 0000 0001 000000000000000000000000", "is not zero"),
        (1, "04ffffff 04ffffff 0001", "follow the end|padded to 16"),
        (0, "ff" * 12 + "00" * 4 + "ff" * 12 + "00" * 3, "cut short"),
        (0, "ff" * 12 + "00" * 4 + "ff" * 12 + "01" * 4, "is not zero"),
    ],
)
def test_the_decoder_refuses_what_a_device_might(code: int, content: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        decoded(code, bytes.fromhex(content.replace(" ", "")), 4, 2)


def test_an_optional_line_end_is_accepted() -> None:
    content = bytes.fromhex("04ffffff 0000 04000000 0000 000100 00".replace(" ", ""))
    assert decoded(2, content + bytes(-len(content) % 4), 4, 2).tolist() == [[WHITE] * 4, [BLACK] * 4]


def test_each_coding_is_chosen_where_it_is_the_smallest() -> None:
    """Runs of 200 take 4 bytes in the plain coding and 5 in the enhanced one; single pixels are best left alone."""
    runs = np.repeat(np.arange(200, dtype=np.uint32).reshape(40, 5), 200, axis=1)
    for words, chosen, size in (
        (image([7] * 64, [7] * 64), "erle", 4 + 3 + 3 + 2),
        (runs, "rle", 40 * (5 * 4 + 2 + 2) + 2 + 14),
        (image(list(range(16))), "none", 48),
    ):
        name, content = image_block(words)
        assert (name, len(content) - 48) == (chosen, size)
        assert content[25] == {"none": 0, "rle": 1, "erle": 2}[chosen]
