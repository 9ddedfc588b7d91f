"""The known pitfalls of these controllers, each as a check of the driver or of the virtual device.

| pitfall                                                          | test                                             |
|------------------------------------------------------------------|--------------------------------------------------|
| 1  exposures below the table, or rounded down                    | test_exposures_below_what_the_device_reports     |
| 2  DLPC350 period gap of 1..229 us                               | test_dlpc350_gaps                                |
| 3  DLPC350 bit 18 on the first entry of every image              | test_dlpc350_first_entry_loads_an_image          |
| 4  DLPC350 swaps exactly two images                              | test_dlpc350_two_images                          |
| 5  DLPC350 load time of a third image                            | test_dlpc350_images_shown_too_briefly            |
| 6  plane order on the wire: planes 16-23 first                   | test_plane_order_on_the_wire                     |
| 7  TRIG_OUT2 bit is *disable*                                    | test_trigger_output_2_stays_on                   |
| 8  status bits from the least significant; error code, not flag  | test_status_bits_and_error_code                  |
| 9  no packet of length 0 when the size is a multiple of 504      | test_sizes_around_a_multiple_of_504              |
| 10 no reply to data packets; stale replies                       | test_data_packets_ask_for_no_reply, test_hid.py  |
| 11 images from the last to the first; re-download after a change | test_image_order, test_a_changed_table_loses_... |
| 12 stop before and after the mode change, which is slow          | test_mode_change                                 |
| 13 HID interface 0, blocking reads, udev rule                    | test_hid.py                                      |
| 14 invert loses all entries                                      | test_invert_loses_the_table                      |
| 15 flips: off, and after inversion                               | test_flips_are_switched_off, test_inversion_...  |
| 16 105 us of dark before a triggered entry                       | test_dark_before_triggered_entries               |
| 17 on exit: stop, then idle                                      | test_exit_leaves_idle_mode (and test_dlpc900.py) |
| 18 numbers of entries, indices and images                        | test_numbers_of_entries_and_images               |
| 19 two controllers: halves                                       | test_halves_of_dual_controllers                  |
| 21 I2C write bit                                                 | test_i2c.py                                      |
| 22 resolutions copied from memory                                | test_shipped_profiles_fit_their_boards           |
| 23 video path: exact mode                                        | test_display.py                                  |
| 24 fields that changed with firmware 6                           | test_extended_bit_depths_are_never_sent          |
| 25 trigger-line memory: no trigger command is sent at all        | test_no_trigger_command_is_sent                  |
| 26 start only after a clean error code and status                | test_start_wants_a_clean_status                  |

20 (ALP) belongs to the export, and there is no driver for it.
"""

import struct
from pathlib import Path

import numpy as np
import pytest

from cidesign.device.dlpc350.tables import Source as ImageSource
from cidesign.device.dlpc350.tables import image_table, lut_words
from cidesign.device.dlpc900.tables import BOARDS
from cidesign.device.dmd import Half, TableEntry
from cidesign.errors import DeviceError
from cidesign.hardware_profiles.loader import load_profile, shipped_profiles

GOLDEN = Path(__file__).parent / "data" / "dlpc900_upload.txt"


def _raw_block(pixels: bytes, columns: int = 1920, rows: int = 1080) -> bytes:
    header = struct.pack("<4sHHI8s4sBBB21s", b"Spld", columns, rows, len(pixels), b"\xff" * 8, b"", 0, 0, 1, b"")
    return header + pixels


def test_exposures_below_what_the_device_reports(virtual_900) -> None:
    rig = virtual_900()
    rig.controller._exposures_us[1] = 120  # what older firmware reports
    rig.dmd.prepare()
    with pytest.raises(DeviceError, match="entry 0: exposure 119 us; this device takes 120 to 16777215 us at 1 bit"):
        rig.dmd.load_sequence(rig.table(3, exposure_us=119))
    rig.dmd.load_sequence(rig.table(3, exposure_us=120))
    assert not rig.controller.on_write(0x1A34, bytes.fromhex("0000 770000 70 000000 00 0000"), True)
    assert rig.controller.on_read(0x0100, b"") == b"\x0e"
    with pytest.raises(DeviceError, match="dark time 16777216 us"):
        rig.dmd.load_sequence(rig.table(1, exposure_us=120, dark_us=1 << 24))


@pytest.mark.parametrize(("dark_us", "accepted"), [(0, True), (1, False), (229, False), (230, True)])
def test_dlpc350_gaps(virtual_350, dark_us: int, accepted: bool) -> None:
    rig = virtual_350(flash=[np.zeros((1140, 912), dtype=np.uint32)])
    rig.dmd.prepare()
    entries = [TableEntry(0, slot, 1, slot == 0, 1000, dark_us) for slot in range(4)]
    if accepted:
        rig.dmd.load_sequence(entries)
        rig.dmd.start(0)
        assert [(frame.exposure_us, frame.dark_us) for frame in rig.controller.shown_frames()] == [(1000, dark_us)] * 4
        return
    with pytest.raises(DeviceError, match=f"entry 0: dark time {dark_us} us; it is 0 or at least 230 us"):
        rig.dmd.load_sequence(entries)
    rig.dmd._profile = rig.profile.model_copy(
        update={"timing": rig.profile.timing.model_copy(update={"min_period_gap_us": None})}
    )
    with pytest.raises(DeviceError, match="period and exposure differ by less than 230 us"):
        rig.dmd.load_sequence(entries)


def test_dlpc350_first_entry_loads_an_image(virtual_350) -> None:
    rig = virtual_350(flash=[np.zeros((1140, 912), dtype=np.uint32)] * 2)
    entries = [TableEntry(n // 24, n % 24, 1, n % 24 == 0, 9000, 0) for n in range(30)]
    assert [word >> 18 & 1 for word in lut_words(entries, ImageSource.FLASH)] == [1, *[0] * 23, 1, *[0] * 5]
    rig.dmd.prepare()
    with pytest.raises(DeviceError, match="entry 0 loads no image"):
        rig.dmd.load_sequence(entries[1:])


def test_dlpc350_two_images(virtual_350, f_words) -> None:
    assert image_table([0, 1]) == b"\x01\x00"
    assert image_table([0]) == b"\x00"
    assert image_table([0, 1, 2]) == b"\x00\x01\x02"
    rig = virtual_350(flash=[])
    words = [f_words(rig.profile, seed) for seed in (1, 2)]
    rig.controller._flash = words
    rig.dmd.prepare()
    rig.dmd.load_sequence([TableEntry(n // 24, n % 24, 1, n % 24 == 0, 500, 0) for n in range(48)])
    rig.dmd.start(1)
    for number, frame in enumerate(rig.controller.shown_frames()):
        assert (frame.levels == (words[number // 24] >> (number % 24) & 1)).all(), number


def test_dlpc350_images_shown_too_briefly(virtual_350) -> None:
    flash = [np.zeros((1140, 912), dtype=np.uint32)] * 3
    for exposure_us, tears in ((8333, True), (8334, False)):  # 24 x 8334 us = 200016 us
        rig = virtual_350(flash=flash)
        rig.dmd.prepare()
        rig.dmd.load_sequence([TableEntry(n // 24, n % 24, 1, n % 24 == 0, exposure_us, 0) for n in range(72)])
        if tears:
            with pytest.raises(DeviceError, match="sequence error"):
                rig.dmd.start(0)
        else:
            rig.dmd.start(0)


def test_plane_order_on_the_wire(virtual_900) -> None:
    pixels = np.zeros((1080, 1920, 3), dtype=np.uint8)
    for plane, value in ((0, "000001"), (7, "000080"), (8, "000100"), (16, "010000"), (23, "800000")):
        pixels[plane, plane] = list(bytes.fromhex(value))
    rig = virtual_900()
    rig.upload([_raw_block(pixels.tobytes())], rig.table(24))
    rig.dmd.start(0)
    for plane, frame in enumerate(rig.controller.shown_frames()):
        expected = [(plane, plane)] if plane in (0, 7, 8, 16, 23) else []
        assert list(zip(*np.nonzero(frame.levels), strict=True)) == expected


def test_trigger_output_2_stays_on(virtual_900) -> None:
    rig = virtual_900()
    rig.dmd.prepare()
    rig.dmd.load_sequence(rig.table(3))
    entries = [message for message in rig.port.trace if message[4:6] == b"\x34\x1a"]
    assert [entry[6 + 9] for entry in entries] == [0, 0, 0]


def test_status_bits_and_error_code(virtual_900) -> None:
    rig = virtual_900()
    assert rig.controller.on_read(0x1A0A, b"") == b"\x01", "bit 0: initialised"
    assert rig.controller.on_read(0x1A0C, b"") == b"\x02", "bit 1: running"
    rig.dmd.prepare()
    assert rig.dmd.status().error == ""
    assert not rig.controller.on_write(0x1A31, b"\0" * 6, True)
    assert rig.dmd.status().error == "", "the error code is that of the last command, and that was a read"
    rig.controller._hardware_status = lambda: b"\x85"  # type: ignore[method-assign]
    rig.controller._readers[0x1A0A] = rig.controller._hardware_status
    assert rig.dmd.status().error == "DMD reset controller; sequence error"
    rig.controller._readers[0x1A0A] = lambda: b"\x80"
    assert rig.dmd.status().error == "sequence error; not initialised"


@pytest.mark.parametrize("size", [1007, 1008, 1009, 1512])
def test_sizes_around_a_multiple_of_504(virtual_900, size: int) -> None:
    rig = virtual_900()
    rig.dmd.prepare()
    rig.dmd.load_sequence(rig.table(1))
    with pytest.raises(DeviceError):  # the content is no image; only its packets matter here
        rig.dmd.load_image(0, Half.PRIMARY, b"Spld" + bytes(size - 4))
    packets = [message for message in rig.port.trace if message[4:6] == b"\x2b\x1a"]
    lengths = [int.from_bytes(packet[6:8], "little") for packet in packets]
    assert lengths == [504] * (size // 504) + ([size % 504] if size % 504 else [])
    assert [len(packet) - 8 for packet in packets] == lengths


def test_data_packets_ask_for_no_reply(virtual_900, erle_block, f_words) -> None:
    rig = virtual_900()
    words = f_words(rig.profile, 3)
    rig.upload([erle_block(words)], rig.table(1))
    for message in rig.port.trace:
        assert message[0] == (0x00 if message[4:6] == b"\x2b\x1a" else message[0] | 0x40)
    # The hazard: the same packets with the reply bit are accepted and shown wrongly.
    rig.dmd.prepare()
    rig.dmd.load_sequence(rig.table(1))
    without = rig.dmd._link.write
    rig.dmd._link.write = lambda command, data, reply: without(command, data, True)  # type: ignore[method-assign]
    rig.dmd.load_image(0, Half.PRIMARY, _raw_block(bytes(1920 * 1080 * 3)))
    rig.dmd.start(0)
    assert next(rig.controller.shown_frames()).levels.any()


def test_image_order(virtual_900, erle_block) -> None:
    rig = virtual_900()
    dark = erle_block(np.zeros((1080, 1920), dtype=np.uint32))
    rig.dmd.prepare()
    rig.dmd.load_sequence(rig.table(60))
    with pytest.raises(DeviceError, match="image 0: the controller takes images from the last to the first; image 2"):
        rig.dmd.load_image(0, Half.PRIMARY, dark)
    for index in (2, 1, 0):
        rig.dmd.load_image(index, Half.PRIMARY, dark)
    with pytest.raises(DeviceError, match="no more is next"):
        rig.dmd.load_image(0, Half.PRIMARY, dark)
    assert not rig.controller.on_write(0x1A2A, struct.pack("<HI", 1, len(dark)), True)
    assert rig.controller.on_read(0x0100, b"") == b"\x11"


def test_a_changed_table_loses_the_images(virtual_900, erle_block) -> None:
    rig = virtual_900()
    dark = erle_block(np.zeros((1080, 1920), dtype=np.uint32))
    rig.upload([dark], rig.table(24))
    rig.dmd.load_sequence(rig.table(23))
    assert rig.dmd.status().images_loaded == 0
    with pytest.raises(DeviceError, match="1 image parts are missing"):
        rig.dmd.start(0)
    # The controller itself: another count, then another plane.
    rig.upload([dark], rig.table(24))
    assert rig.controller.on_write(0x1A31, struct.pack("<HI", 23, 0), True)
    assert not rig.controller.on_write(0x1A24, b"\x02", True)
    rig.upload([dark], rig.table(24))
    assert rig.controller.on_write(0x1A34, bytes.fromhex("0300 690000 70 000000 00 0028"), True)  # plane 5
    assert rig.controller.on_write(0x1A31, struct.pack("<HI", 24, 0), True)
    assert not rig.controller.on_write(0x1A24, b"\x02", True)
    assert rig.controller.on_read(0x0100, b"") == b"\x11"


def test_mode_change(virtual_900) -> None:
    rig = virtual_900()
    assert rig.controller.on_write(0x1A1B, b"\x03", True)  # without the stop before it
    assert rig.controller.silent, "the controller locks up"
    rig = virtual_900()
    assert rig.controller.on_write(0x1A24, b"\0", True)
    assert rig.controller.on_write(0x1A1B, b"\x03", True)
    entry = bytes.fromhex("0000 690000 70 000000 00 0000")
    assert not rig.controller.on_write(0x1A34, entry, True), "the change takes its time"
    assert rig.controller.on_read(0x1A1B, b"") == b"\x01"
    rig.clock.wait_us(500_000)
    assert rig.controller.on_read(0x1A1B, b"") == b"\x03"
    assert not rig.controller.on_write(0x1A34, entry, True), "the stop after it is missing"
    assert rig.controller.on_write(0x1A24, b"\0", True)
    assert rig.controller.on_write(0x1A34, entry, True)


def test_a_mode_change_that_never_ends(virtual_900) -> None:
    rig = virtual_900()
    rig.controller._readers[0x1A1B] = lambda: b"\x01"
    with pytest.raises(DeviceError, match="does not enter pattern-on-the-fly mode after 5 s"):
        rig.dmd.prepare()


def test_invert_loses_the_table(virtual_900, erle_block) -> None:
    rig = virtual_900()
    rig.upload([erle_block(np.zeros((1080, 1920), dtype=np.uint32))], rig.table(2))
    assert rig.controller.on_write(0x1A30, b"\x01", True)
    assert not rig.controller.on_write(0x1A31, struct.pack("<HI", 2, 0), True)
    assert rig.controller.on_read(0x0100, b"") == b"\x10"


def test_flips_are_switched_off(virtual_900, erle_block, f_words) -> None:
    rig = virtual_900()
    words = f_words(rig.profile, 8)
    for name in ("flip_long", "flip_short", "invert"):
        rig.controller._flags[name] = 1  # what another program left behind
    rig.upload([erle_block(words)], rig.table(1))
    rig.dmd.start(0)
    assert (next(rig.controller.shown_frames()).levels == (words & 1)).all()


def test_inversion_comes_before_flips(virtual_900, erle_block, f_words) -> None:
    rig = virtual_900()
    words = f_words(rig.profile, 8)
    rig.upload([erle_block(words)], rig.table(1))
    rig.controller._flags.update(flip_long=1, flip_short=1, invert=1)
    rig.dmd.start(0)
    assert (next(rig.controller.shown_frames()).levels == 1 - (words & 1)[::-1, ::-1]).all()


def test_dark_before_triggered_entries(virtual_900, erle_block) -> None:
    rig = virtual_900()
    rig.upload([erle_block(np.zeros((1080, 1920), dtype=np.uint32))], rig.table(4, exposure_us=200, dark_us=10))
    # Entry 2 waits for a trigger; the exposure and the source stay, so the images stay too.
    assert rig.controller.on_write(0x1A34, bytes.fromhex("0200 C80000 F0 0A0000 00 0010"), True)
    rig.dmd.start(0)
    assert [frame.dark_us for frame in rig.controller.shown_frames()] == [10, 115, 10, 10]


def test_exit_leaves_idle_mode(virtual_900) -> None:
    rig = virtual_900()
    rig.dmd.stop()
    assert rig.dmd.status().idle
    assert not rig.dmd.status().running, "idle mode reports itself as running; that is not the sequence"
    before_us = rig.clock.now_us()
    rig.dmd.prepare()
    assert rig.clock.now_us() - before_us >= 3_000_000, "idle mode lasts at least 3 s"
    assert not rig.dmd.status().idle


def test_numbers_of_entries_and_images(virtual_900) -> None:
    rig = virtual_900()
    rig.dmd.prepare()
    with pytest.raises(DeviceError, match="401 entries; its table takes 1 to 400"):
        rig.dmd.load_sequence(rig.table(401))
    with pytest.raises(DeviceError, match="0 entries"):
        rig.dmd.load_sequence([])
    with pytest.raises(DeviceError, match="image 18; this device takes 18 images"):
        rig.dmd.load_sequence([TableEntry(18, 0, 1, True, 105, 0)])
    many = [TableEntry(n // 3, n % 3, 8, not n % 3, 4046, 0) for n in range(51)]
    with pytest.raises(DeviceError, match=r"error 8 \(out of resources\): 408 bit planes"):
        rig.dmd.load_sequence(many)
    assert rig.dmd.status().idle
    rig.dmd.prepare()
    rig.dmd.load_sequence(many[:50])
    rig.dmd.load_sequence(rig.table(400))
    for data in ("9001 690000 70 000000 00 0000", "0002 690000 70 000000 00 0000"):  # index 400, index 512
        assert not rig.controller.on_write(0x1A34, bytes.fromhex(data), True)
        assert rig.controller.on_read(0x0100, b"") == b"\x0f"
    assert not rig.controller.on_write(0x1A34, bytes.fromhex("0000 CE0F00 7E 000000 00 0088"), True)  # plane 17 + 8
    assert rig.controller.on_read(0x0100, b"") == b"\x0a"


@pytest.mark.parametrize("name", ["dlp9000", "dlp670s", "dlp500yx"])
def test_halves_of_dual_controllers(virtual_900, erle_block, f_words, name: str) -> None:
    rig = virtual_900(name)
    words = f_words(rig.profile, 4)
    middle = words.shape[1] // 2
    halves = {Half.PRIMARY: words[:, :middle], Half.SECONDARY: words[:, middle:]}
    rig.dmd.prepare()
    rig.dmd.load_sequence(rig.table(24))
    with pytest.raises(DeviceError, match="image 0 primary is next"):
        rig.dmd.load_image(0, Half.SECONDARY, erle_block(halves[Half.SECONDARY]))
    rig.dmd.load_image(0, Half.PRIMARY, erle_block(halves[Half.PRIMARY]))
    assert rig.dmd.status().images_loaded == 0
    with pytest.raises(DeviceError, match="1 image parts are missing"):
        rig.dmd.start(0)
    rig.dmd.load_image(0, Half.SECONDARY, erle_block(halves[Half.SECONDARY]))
    rig.dmd.start(0)
    for plane, frame in enumerate(rig.controller.shown_frames()):
        assert (frame.levels == (words >> plane & 1)).all()
    assert {message[4:6] for message in rig.port.trace} >= {b"\x2a\x1a", b"\x2b\x1a", b"\x2c\x1a", b"\x2d\x1a"}
    rig.dmd.prepare()
    rig.dmd.load_sequence(rig.table(24))
    with pytest.raises(DeviceError, match="error 6"):  # the whole width to one controller
        rig.dmd.load_image(0, Half.PRIMARY, erle_block(words))


def test_a_single_controller_takes_no_secondary_half(virtual_900, erle_block) -> None:
    rig = virtual_900()
    dark = erle_block(np.zeros((1080, 1920), dtype=np.uint32))
    rig.upload([dark], rig.table(1))
    with pytest.raises(DeviceError, match="no more is next"):
        rig.dmd.load_image(0, Half.SECONDARY, dark)
    assert not rig.controller.on_write(0x1A2C, struct.pack("<HI", 0, len(dark)), True)
    assert rig.controller.on_read(0x0100, b"") == b"\x07"


def test_shipped_profiles_fit_their_boards() -> None:
    sizes = {(board.columns, board.rows): board for board in BOARDS.values()}
    checked = 0
    for entry in (known for known in shipped_profiles() if known.kind == "dmd"):
        profile = load_profile(entry.id)
        if profile.kind == "dmd" and profile.controller.value == "dlpc900":
            board = sizes[profile.mirrors.columns.value, profile.mirrors.rows.value]
            assert board.name.lower() == profile.id
            assert board.dual == profile.dual_controller.value
            checked += 1
    assert checked >= 4


def test_extended_bit_depths_are_never_sent(virtual_900) -> None:
    extended = bytes.fromhex("0000 CE0F00 7E 000000 02 0000")
    for firmware, accepted in (((6, 0, 0), False), ((5, 9, 9), True)):  # older firmware ignores the bit
        rig = virtual_900(firmware=firmware)
        rig.dmd.prepare()
        assert rig.controller.on_write(0x1A34, extended, True) is accepted
    rig.dmd.load_sequence([TableEntry(0, 0, 8, True, 4046, 0)])
    assert [message[15] for message in rig.port.trace if message[4:6] == b"\x34\x1a"] == [0]


def test_no_trigger_command_is_sent() -> None:
    commands = {line[15:17] + line[12:14] for line in GOLDEN.read_text().splitlines() if not line.startswith("#")}
    assert commands.isdisjoint({"1A1D", "1A1E", "1A35", "1A36"})


def test_start_wants_a_clean_status(virtual_900, erle_block) -> None:
    rig = virtual_900()
    rig.upload([erle_block(np.zeros((1080, 1920), dtype=np.uint32))], rig.table(1))
    rig.controller._readers[0x1A0A] = lambda: b"\x41"
    with pytest.raises(DeviceError, match="sequence aborted"):
        rig.dmd.start(0)
    assert rig.controller.starts == 0
    assert rig.dmd.status().idle


def test_a_start_that_runs_nothing(virtual_900, erle_block) -> None:
    rig = virtual_900()
    rig.upload([erle_block(np.zeros((1080, 1920), dtype=np.uint32))], rig.table(1))
    rig.controller._readers[0x1A0C] = lambda: b"\x00"
    with pytest.raises(DeviceError, match="does not run; is it waiting for a trigger"):
        rig.dmd.start(0)
