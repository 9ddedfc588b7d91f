"""The DLPC350 driver and its virtual device as a conversation over USB-HID reports."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cidesign.device.dlpc350.driver import Dlpc350
from cidesign.device.dlpc350.tables import Source, lut_words, pack_config
from cidesign.device.dlpc350.virtual import VirtualDlpc350, rgb_words
from cidesign.device.dmd import Half, TableEntry
from cidesign.device.hid import HidLink
from cidesign.device.virtual_hid import VirtualHidPort
from cidesign.errors import DeviceError, InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.testing.virtual_clock import VirtualClock

GOLDEN = Path(__file__).parent / "data" / "dlpc350_upload.txt"
DARK = np.zeros((1140, 912), dtype=np.uint32)


def _table(frames: int, exposure_us: int = 235, dark_us: int = 0) -> list[TableEntry]:
    return [TableEntry(n // 24, n % 24, 1, n % 24 == 0, exposure_us, dark_us) for n in range(frames)]


def test_a_whole_table_word_for_word(virtual_350, transcript) -> None:
    rig = virtual_350(flash=[DARK])
    rig.dmd.prepare()
    rig.dmd.load_sequence(_table(2))
    rig.dmd.start(0)
    rig.dmd.stop()
    golden = [line for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]
    assert transcript(rig.port.trace) == golden


def test_words_of_the_table() -> None:
    # Plane 0, 1 bit, white, internal trigger, buffer swap: 00 71 04 (TI GUI source); black afterwards is bit 17.
    assert lut_words(_table(1), Source.FLASH) == [0x047100]
    assert lut_words(_table(1, dark_us=230), Source.FLASH) == [0x067100]
    assert lut_words([TableEntry(0, 2, 8, False, 8333, 0)], Source.FLASH) == [2 << 2 | 8 << 8 | 7 << 12]
    # From video: the first waits for the frame, the others follow, the last ends black; 01 71 06 is the word of
    # TI forum 466576 for a single pattern.
    assert lut_words(_table(1), Source.VIDEO) == [0x067101]
    assert lut_words(_table(3), Source.VIDEO) == [0x047101, 0x007107, 0x02710B]


def test_counts_are_sent_minus_one() -> None:
    assert pack_config(128, 64, fixed=True, repeat=False) == (0x1A31, bytes([127, 0, 127, 63]))
    assert pack_config(1824, 256, fixed=False, repeat=True) == (0x1A40, struct.pack("<HHBB", 1823, 1823, 255, 1))


def test_variable_exposure(virtual_350, f_words) -> None:
    rig = virtual_350(flash=[])
    words = f_words(rig.profile, 1)
    rig.controller._flash = [words]
    entries = [TableEntry(0, slot, 1, slot == 0, 300 + slot, 230 * (slot % 2)) for slot in range(24)]
    rig.dmd.prepare()
    rig.dmd.load_sequence(entries)
    rig.dmd.start(0)
    for slot, frame in enumerate(rig.controller.shown_frames()):
        assert (frame.levels == (words >> slot & 1)).all()
        assert (frame.exposure_us, frame.dark_us) == (300 + slot, 230 * (slot % 2))
    sent = [message[4:6] for message in rig.port.trace]
    assert sent.count(b"\x3e\x1a") == sent.count(b"\x3f\x1a") - 1 == 24
    modes = [message[6] for message in rig.port.trace if message[4:6] == b"\x23\x1a"]
    assert modes == [3]


@pytest.mark.parametrize("bit_depth", range(1, 9))
def test_plane_addressing_of_every_bit_depth(virtual_350, f_words, bit_depth: int) -> None:
    planes = {  # TI LUT_Entry_Helper sheet
        5: [range(1, 6), range(7, 12), range(13, 18), range(19, 24)],
        7: [range(1, 8), range(9, 16), range(17, 24)],
    }.get(bit_depth, [range(n, n + bit_depth) for n in range(0, 24, bit_depth) if n + bit_depth <= 24])
    rig = virtual_350(flash=[])
    words = f_words(rig.profile, bit_depth)
    rig.controller._flash = [words]
    rig.dmd.prepare()
    rig.dmd.load_sequence([TableEntry(0, slot, bit_depth, not slot, 9000, 0) for slot in range(len(planes))])
    rig.dmd.start(0)
    for frame, used in zip(rig.controller.shown_frames(), planes, strict=True):
        assert (frame.levels == sum((words >> plane & 1) << bit for bit, plane in enumerate(used))).all()


def test_images_are_refused_with_the_way_out(virtual_350) -> None:
    rig = virtual_350()
    assert not rig.dmd.info().image_upload
    with pytest.raises(DeviceError, match=r"takes no images over its control link.*--backend display.*flash"):
        rig.dmd.load_image(0, Half.PRIMARY, b"")


def test_a_table_over_images_that_are_not_in_flash(virtual_350) -> None:
    rig = virtual_350(flash=[DARK])
    rig.dmd.prepare()
    with pytest.raises(DeviceError, match="the table uses 2 images, its flash holds 1"):
        rig.dmd.load_sequence(_table(48))


def test_once_or_until_stopped(virtual_350) -> None:
    rig = virtual_350(flash=[DARK])
    rig.dmd.prepare()
    rig.dmd.load_sequence(_table(24, 10_000))
    rig.dmd.start(1)
    assert rig.dmd.status().running
    rig.clock.wait_us(240_000)
    assert not rig.dmd.status().running
    rig.dmd.start(0)
    rig.clock.wait_us(10**9)
    assert rig.dmd.status().running
    with pytest.raises(DeviceError, match="cannot show the sequence 2 times"):
        rig.dmd.start(2)


def test_starting_without_validation_does_nothing(virtual_350) -> None:
    """TI forum 466576: neither without the validation nor without reading its result."""
    rig = virtual_350(flash=[DARK])
    rig.dmd.prepare()
    rig.dmd.load_sequence(_table(2))
    write, read = rig.controller.on_write, rig.controller.on_read
    for steps, running in (([], True), ([(0x1A30, b"\0")], False), ([(0x1A30, b"\0"), (0x1A1A, b"\0")], False)):
        write(0x1A24, b"\0", True)
        for command, data in steps:
            assert write(command, data, True)
        rig.clock.wait_us(30_000)
        assert write(0x1A24, b"\2", True), "it says yes and does nothing"
        assert read(0x1A0C, b"") == bytes([running << 1])
    assert write(0x1A1A, b"\0", True)
    assert read(0x1A1A, b"") == b"\x80", "still busy"
    rig.clock.wait_us(20_000)
    assert read(0x1A1A, b"") == b"\0"
    assert write(0x1A24, b"\2", True)
    assert read(0x1A0C, b"") == b"\x02"


@pytest.mark.parametrize(
    ("words", "times_us", "bits"),
    [
        ([0x047100], (234, 234), 0b00001),
        ([0x047100], (235, 234), 0b00001),
        ([0x047100 | 24 << 2], (235, 235), 0b00010),
        ([0x007100], (235, 235), 0b00010),  # no image is loaded
        ([0x047100, 0x047104], (235, 235), 0b00010),  # a second image that is not there
        ([0x067100, 0x080104], (235, 470), 0b01100),  # continued trigger over black; black missing
        ([0x047100], (235, 465), 0b01000),
        ([0x067100], (235, 464), 0b10000),
        ([0x067101], (235, 235), 0b00000),
        ([0x047101], (235, 235), 0b01000),  # external trigger, but the entry before it does not end black
    ],
)
def test_validation_bits(virtual_350, words: list[int], times_us: tuple[int, int], bits: int) -> None:
    rig = virtual_350(flash=[DARK])
    write = rig.controller.on_write
    for command, data in (
        (0x1A24, b"\0"),
        (0x1A22, b"\3"),
        (0x1A23, b"\1"),
        (0x1A29, struct.pack("<II", *times_us)),
        (0x1A33, b"\2"),
        (0x1A32, b"\0"),
        (0x1A34, b"".join(word.to_bytes(3, "little") for word in words)),
        (0x1A33, b"\0"),
        (0x1A31, bytes([len(words) - 1, 0, len(words) - 1, 0])),
        (0x1A1A, b"\0"),
    ):
        assert write(command, data, True), hex(command)
    rig.clock.wait_us(30_000)
    assert rig.controller.on_read(0x1A1A, b"") == bytes([bits])


def test_changes_while_running_are_refused(virtual_350) -> None:
    rig = virtual_350(flash=[DARK])
    for command, data in ((0x1A1B, b"\1"), (0x1A22, b"\3"), (0x1A23, b"\1"), (0x1A30, b"\0"), (0x1A33, b"\2")):
        assert not rig.controller.on_write(command, data, True)


def test_entries_that_the_device_cannot_show(virtual_350) -> None:
    rig = virtual_350(flash=[DARK] * 80)
    rig.dmd.prepare()
    for entries, text in (
        ([], "0 entries and 0 images"),
        (_table(1825), "1825 entries"),
        (_table(1, exposure_us=234), "exposure 234 us.*at least 235 us at 1 bit"),
        (_table(1, exposure_us=200_000_001), "periods at most 200000000 us"),
        ([TableEntry(0, 0, 9, True, 9999, 0)], "9 bit; this device shows"),
    ):
        with pytest.raises(DeviceError, match=text):
            rig.dmd.load_sequence(entries)
        rig.dmd.prepare()


def test_a_device_that_never_runs(virtual_350) -> None:
    rig = virtual_350(flash=[DARK])
    rig.dmd.prepare()
    rig.dmd.load_sequence(_table(24, 10_000))
    rig.controller._run = lambda: None  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="the sequence does not start"):
        rig.dmd.start(0)


def test_idle_mode_is_not_promised() -> None:
    profile = load_profile("dlp4500")
    on_exit = profile.on_exit.model_copy(update={"value": "stop_then_idle"})
    other = profile.model_copy(update={"on_exit": on_exit})
    clock = VirtualClock()
    with pytest.raises(InputError, match="the DLPC350 has no idle mode"):
        Dlpc350(HidLink(VirtualHidPort(VirtualDlpc350(other, clock)), "x"), other, clock)


def test_rgb_carries_green_red_blue() -> None:
    frame = np.array([[[0x22, 0x11, 0x33]]], dtype=np.uint8)  # red, green, blue
    assert rgb_words(frame).tolist() == [[0x332211]]


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 0x1AFF), st.binary(max_size=16), st.booleans()), max_size=12))
def test_no_command_crashes_the_virtual_device(commands: list[tuple[int, bytes, bool]]) -> None:
    controller = VirtualDlpc350(load_profile("dlp4500"), VirtualClock(), flash=[DARK])
    known = [*controller._writers, *controller._readers]
    for number, data, reading in commands:
        command = known[number % len(known)] if number < 0x1A00 else number
        if reading:
            controller.on_read(command, b"")
        else:
            controller.on_write(command, data, True)
    list(controller.shown_frames())
