"""Frames: golden bytes by hand, and nothing with a wrong CRC is ever taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidesign.device.link import slip
from cidesign.device.link.frames import Frame, FrameReader, MessageType, unpack


def crc32_bitwise(content: bytes) -> int:
    """CRC-32 (IEEE 802.3, reflected, 0xEDB88320) one bit at a time: shares nothing with zlib."""
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_the_crc_is_the_one_of_the_check_value() -> None:
    # The check value that every CRC catalogue gives for CRC-32/ISO-HDLC.
    assert crc32_bitwise(b"123456789") == 0xCBF43926


@pytest.mark.parametrize(
    ("frame", "body"),
    [
        (Frame(MessageType.PING, 0x1234), "01 03 34 12 00 00"),
        (Frame(MessageType.BAUD, 1, bytes.fromhex("00 10 0e 00")), "01 02 01 00 04 00 00 10 0e 00"),
        (Frame(MessageType.STOP, 0xDBC0), "01 21 c0 db 00 00"),
    ],
)
def test_golden_frames(frame: Frame, body: str) -> None:
    content = bytes.fromhex(body)
    content += crc32_bitwise(content).to_bytes(4, "little")
    assert frame.pack() == slip.encode(content)
    assert unpack(frame.pack()[1:-1]) == frame


def test_the_ping_of_the_specification() -> None:
    assert Frame(MessageType.PING, 0x1234).pack() == bytes.fromhex("c0 01 03 34 12 00 00 3e 10 d5 5d c0")


def test_every_single_bit_error_is_found() -> None:
    content = slip.decode(Frame(MessageType.DATA, 7, b"an F, not uniform").pack()[1:-1])
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        assert unpack(bytes(damaged).replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")) is None


@given(st.binary(max_size=400))
def test_random_bytes_never_crash_and_are_never_a_frame(noise: bytes) -> None:
    # A random body has a right CRC once in 2^32; none of these has.
    assert FrameReader().feed(noise + b"\xc0") == []


@given(
    st.binary(max_size=80),
    st.integers(0, 0xFFFF),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_damaged_frame_is_dropped_or_unchanged(payload: bytes, sequence: int, damage: list[tuple[int, int]]) -> None:
    frame = Frame(MessageType.DATA, sequence, payload)
    wire = bytearray(frame.pack())
    for where, value in damage:
        wire[where % len(wire)] = value
    assert all(found == frame for found in FrameReader().feed(bytes(wire) + b"\xc0"))


def test_a_length_that_does_not_fit_is_refused() -> None:
    for claimed in (0, 2, 4, 0xFFFF):
        content = bytes([1, 3, 0, 0]) + claimed.to_bytes(2, "little") + b"abc"
        body = content + crc32_bitwise(content).to_bytes(4, "little")
        assert unpack(slip.encode(body)[1:-1]) is None


def test_another_version_is_read_so_that_it_can_be_named() -> None:
    assert FrameReader().feed(Frame(0x41, 3, b"x", version=9).pack())[0].version == 9


def test_the_reader_keeps_the_first_bytes_of_another_protocol() -> None:
    reader = FrameReader()
    reader.feed(b"Marlin 2.1 ready\n" * 100)
    assert reader.sample.startswith(b"Marlin 2.1 ready\n")
    assert len(reader.sample) == 256
    reader.feed(Frame(MessageType.PING, 1).pack())
    assert reader.sample == b""
