"""Payloads: golden bytes by hand, and anything else ends in `MalformedError`."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidesign.device.dmd import DeviceInfo
from cidesign.device.link.messages import (
    Begin,
    Caps,
    Data,
    Held,
    LinkStatus,
    MalformedError,
    Nak,
    NakReason,
    Named,
    Placed,
    Range,
    Run,
    Slot,
    clip_text,
    pack_u32,
    tag_of,
    unpack_u32,
)

A, B, C = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
INFO = DeviceInfo("dlp6500", "dlpc900", (5, 0, 2), 1920, 1080, True, 400, 18, {8: 4046, 1: 105})

GOLDEN = [
    (
        Begin(Slot(2, 0x0103), 0x00012345, A, 0xDEADBEEF, B, C),
        f"02 03 01 45 23 01 00 {A.hex()} ef be ad de {B.hex()} {C.hex()}",
    ),
    (Named(Slot(3, 0), A), f"03 00 00 {A.hex()}"),
    (Data(0x03020100, 512, b"\x99"), "00 01 02 03 00 02 00 00 99"),
    (Placed(0x03020100, 512, 768), "00 01 02 03 00 02 00 00 00 03 00 00"),
    (
        Held(A, 256, (Range(256, 512), Range(1024, 7))),
        f"{A.hex()} 00 01 00 00 02 00 00 01 00 00 00 02 00 00 00 04 00 00 07 00 00 00",
    ),
    (Run(1, 0, A), f"01 00 00 00 00 00 00 00 {A.hex()}"),
    (Nak(0x11, NakReason.ORDER, "no"), "11 04 6e 6f"),
    (LinkStatus(True, False, True, 17, 400, A, B, "hot"), f"05 11 00 90 01 {A.hex()} {B.hex()} 68 6f 74"),
    (
        Caps(4104, 64, 512_000_000, 4_000_000, "x 1", INFO),
        "08 10 40 00 00 80 84 1e 00 09 3d 00 05 00 00 00 02 00 80 07 38 04 01 90 01 12 00 02 01 69 00 00 00 "
        "08 ce 0f 00 00 07 64 6c 70 36 35 30 30 07 64 6c 70 63 39 30 30 03 78 20 31",
    ),
]


@pytest.mark.parametrize(("message", "wire"), GOLDEN, ids=lambda item: type(item).__name__)
def test_golden_payloads(message: Begin, wire: str) -> None:
    assert message.pack() == bytes.fromhex(wire)
    assert type(message).unpack(bytes.fromhex(wire)) == message


def test_baud_is_a_u32() -> None:
    assert pack_u32(921_600) == bytes.fromhex("00 10 0e 00")
    assert unpack_u32(bytes.fromhex("c0 c6 2d 00")) == 3_000_000


def test_the_tag_is_the_beginning_of_the_hash() -> None:
    assert tag_of(bytes.fromhex("0a0b0c0d") + bytes(28)) == 0x0D0C0B0A


@pytest.mark.parametrize(("message", "wire"), GOLDEN, ids=lambda item: type(item).__name__)
def test_every_cut_is_noticed(message: Begin, wire: str) -> None:
    whole = bytes.fromhex(wire)
    for length in range(len(whole)):
        try:
            found = type(message).unpack(whole[:length])
        except MalformedError:
            continue
        # Only texts at the end may be shorter.
        assert isinstance(message, (Nak, LinkStatus))
        assert found != message


@given(st.binary(max_size=300), st.sampled_from([type(message).unpack for message, _ in GOLDEN]))
def test_any_bytes_are_a_message_or_malformed(noise: bytes, unpack: Callable[[bytes], object]) -> None:
    with contextlib.suppress(MalformedError):
        unpack(noise)


@given(st.text(max_size=300))
def test_texts_are_cut_at_a_character(text: str) -> None:
    clipped = clip_text(text)
    assert len(clipped) <= 200
    assert text.startswith(clipped.decode())


def test_a_bridge_that_offers_no_window_is_refused() -> None:
    with pytest.raises(MalformedError, match="window of 0"):
        Caps.unpack(Caps(4104, 0, 1, 115_200, "x", INFO).pack())
