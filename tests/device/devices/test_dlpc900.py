"""The DLPC900 driver and its virtual device as a conversation over USB-HID reports."""

import random
import struct
from pathlib import Path

import numpy as np
import pytest

from cidesign.device.dlpc900.tables import pack_lut_entry
from cidesign.device.dmd import Half, TableEntry
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.errors import DeviceError

GOLDEN = Path(__file__).parent / "data" / "dlpc900_upload.txt"


def _golden() -> list[str]:
    return [line for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]


def test_table_entries_of_the_programmers_guide() -> None:
    # TI DLPU018F Table 2-137, examples: index 0, 200 us, 1 bit, red, image 0 plane 0.
    first = TableEntry(0, 0, 1, True, 200, 0)
    assert pack_lut_entry(0, first, leds=0b001) == bytes.fromhex("0000 C80000 10 000000 00 0000")
    # Index 1, 400 us, 2 bits (the table's rule: 0x22 for green; the printed 0x21 contradicts it), image 0 plane 2.
    second = TableEntry(0, 1, 2, False, 400, 0)
    assert pack_lut_entry(1, second, leds=0b010) == bytes.fromhex("0100 900100 22 000000 00 0010")
    # 8 bits in planes 16-23 of image 17, dark for 70000 us: 0x11170; 16 << 11 | 17 = 0x8011.
    last = TableEntry(17, 2, 8, False, 4046, 70_000)
    assert pack_lut_entry(511, last) == bytes.fromhex("FF01 CE0F00 7E 701101 00 1180")


def test_a_whole_upload_word_for_word(virtual_900, erle_block, transcript) -> None:
    rig = virtual_900()
    dark = erle_block(np.zeros((1080, 1920), dtype=np.uint32))
    entries = [TableEntry(0, 0, 1, True, 200, 0), TableEntry(0, 1, 1, False, 105, 0)]
    rig.upload([dark], entries)
    rig.dmd.start(0)
    rig.dmd.stop()
    assert transcript(rig.port.trace) == _golden()


def test_the_mirrors_show_the_images(virtual_900, erle_block, f_words) -> None:
    rig = virtual_900()
    words = [f_words(rig.profile, seed) for seed in (1, 2)]
    rig.upload([erle_block(image) for image in words], rig.table(40, exposure_us=230, dark_us=11))
    assert rig.dmd.status().images_loaded == 2
    rig.dmd.start(0)
    frames = list(rig.controller.shown_frames())
    assert len(frames) == 40
    for number, frame in enumerate(frames):
        image, plane = divmod(number, 24)
        assert (frame.levels == (words[image] >> plane & 1)).all()
        assert (frame.exposure_us, frame.dark_us) == (230, 11)
    assert rig.dmd.status() == type(rig.dmd.status())(True, False, 2, 40, "")


@pytest.mark.parametrize("bit_depth", [2, 3, 4, 5, 6, 7, 8])
def test_frames_of_more_bits(virtual_900, erle_block, f_words, bit_depth: int) -> None:
    stride, offset = {2: (2, 0), 3: (3, 0), 4: (4, 0), 5: (6, 1), 6: (6, 0), 7: (8, 1), 8: (8, 0)}[bit_depth]
    rig = virtual_900()
    words = f_words(rig.profile, bit_depth)
    rig.upload([erle_block(words)], [TableEntry(0, slot, bit_depth, not slot, 5000, 0) for slot in range(24 // stride)])
    rig.dmd.start(0)
    for slot, frame in enumerate(rig.controller.shown_frames()):
        assert (frame.levels == (words >> (slot * stride + offset) & (2**bit_depth - 1))).all()


def test_it_says_what_it_is(virtual_900) -> None:
    info = virtual_900().dmd.info()
    assert (info.profile_id, info.controller, info.firmware) == ("dlp6500", "dlpc900", (6, 1, 0))
    assert (info.columns, info.rows, info.image_upload) == (1920, 1080, True)
    assert info.min_exposure_us == {1: 105, 2: 304, 3: 394, 4: 823, 5: 1215, 6: 1487, 7: 1998, 8: 4046}


def test_old_firmware_that_cannot_be_asked(virtual_900) -> None:
    assert virtual_900(reports_exposures=False, firmware=(2, 0, 0)).dmd.info().min_exposure_us[1] == 120
    with pytest.raises(DeviceError, match=r"dlp9000: firmware 2\.0\.0 does not report its shortest exposures"):
        virtual_900("dlp9000", reports_exposures=False, firmware=(2, 0, 0)).dmd.info()


def test_another_device_is_refused(virtual_900) -> None:
    other = virtual_900("dlp670s")
    rig = virtual_900("dlp6500")
    rig.dmd._link._port = other.port
    with pytest.raises(DeviceError, match=r"answers as a DLP670S \(2716 x 1600\), the profile has 1920 x 1080"):
        rig.dmd.prepare()


def test_a_dead_second_controller_is_noticed(virtual_900) -> None:
    with pytest.raises(DeviceError, match="the secondary controller is missing"):
        virtual_900("dlp9000", secondary_missing=True).dmd.prepare()


def test_counted_display_needs_to_know_how_the_firmware_counts(virtual_900, erle_block) -> None:
    dark = erle_block(np.zeros((1080, 1920), dtype=np.uint32))
    rig = virtual_900()
    rig.upload([dark], rig.table(10))
    with pytest.raises(DeviceError, match=r"cannot show the sequence 3 times.*--count-means"):
        rig.dmd.start(3)
    for reading in ("repeats", "patterns"):
        rig = virtual_900(reading=reading, count_reading=reading)
        rig.upload([dark], rig.table(10, exposure_us=1000))
        rig.dmd.start(3)
        rig.clock.wait_us(29_000)
        assert rig.dmd.status().running
        rig.clock.wait_us(1_000)
        assert not rig.dmd.status().running
    wrong = virtual_900(reading="repeats", count_reading="patterns")
    wrong.upload([dark], wrong.table(10, exposure_us=1000))
    wrong.dmd.start(3)
    wrong.clock.wait_us(3_000)
    assert not wrong.dmd.status().running, "the two readings must differ, or the refusal is needless"


def test_calls_out_of_order_say_so(virtual_900, erle_block) -> None:
    rig = virtual_900()
    dark = erle_block(np.zeros((1080, 1920), dtype=np.uint32))
    with pytest.raises(DeviceError, match="load_sequence before prepare"):
        rig.dmd.load_sequence(rig.table(1))
    rig.dmd.prepare()
    with pytest.raises(DeviceError, match="load the sequence table first"):
        rig.dmd.load_image(0, Half.PRIMARY, dark)
    with pytest.raises(DeviceError, match="there is no sequence table"):
        rig.dmd.start(0)
    rig.dmd.load_sequence(rig.table(1))
    with pytest.raises(DeviceError, match="1 image parts are missing"):
        rig.dmd.start(0)
    with pytest.raises(DeviceError, match="must start with 'Spld'"):
        rig.dmd.load_image(0, Half.PRIMARY, b"\x89PNG" + bytes(100))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda block: block[:25] + b"\x03" + block[26:], "error 9"),
        (lambda block: block[:4] + struct.pack("<H", 1921) + block[6:], "error 6"),
        (lambda block: block[:12] + bytes(8) + block[20:], "error 6"),
        (lambda block: block[:-8], "error 6"),
        (lambda block: block[:48] + b"\x00\x01\x05" + block[51:], "error 9"),
    ],
)
def test_a_bad_image_is_an_error_and_leaves_the_device_idle(virtual_900, erle_block, change, code: str) -> None:
    rig = virtual_900()
    rig.dmd.prepare()
    rig.dmd.load_sequence(rig.table(1))
    block = erle_block(np.zeros((1080, 1920), dtype=np.uint32))
    with pytest.raises(DeviceError, match=rf"image 0: device {code} "):
        rig.dmd.load_image(0, Half.PRIMARY, change(block))
    assert rig.dmd.status().idle
    assert rig.dmd.status().images_loaded == 0


def test_full_pattern_memory(virtual_900, erle_block) -> None:
    rig = virtual_900(faults=DeviceFaults(full_memory=True))
    rig.dmd.prepare()
    rig.dmd.load_sequence(rig.table(1))
    with pytest.raises(DeviceError, match=r"error 8 \(out of resources\): pattern memory is full"):
        rig.dmd.load_image(0, Half.PRIMARY, erle_block(np.zeros((1080, 1920), dtype=np.uint32)))
    assert rig.dmd.status().idle


def test_a_power_cut_anywhere_is_an_error_and_the_next_upload_works(virtual_900, erle_block, f_words) -> None:
    rig = virtual_900()
    words = f_words(rig.profile, 5)
    block = erle_block(words)
    failed = 0
    for seed in range(12):
        rig.controller._faults.power_cut_rate = 0.002
        rig.controller._faults.source = random.Random(seed)
        try:
            rig.upload([block], rig.table(24))
            rig.dmd.start(0)
        except DeviceError:
            failed += 1
            rig.controller._faults.power_cut_rate = 0
            rig.upload([block], rig.table(24))
            rig.dmd.start(0)
        frames = list(rig.controller.shown_frames())
        assert all((frame.levels == (words >> plane & 1)).all() for plane, frame in enumerate(frames))
        rig.dmd.stop()
    assert failed >= 3


def test_a_controller_that_started_anew_holds_nothing(virtual_900, erle_block) -> None:
    rig = virtual_900()
    rig.upload([erle_block(np.zeros((1080, 1920), dtype=np.uint32))], rig.table(4))
    rig.dmd.start(0)
    assert (rig.dmd.status().images_loaded, rig.dmd.status().entries_loaded) == (1, 4)
    rig.controller._boot()
    assert (rig.dmd.status().images_loaded, rig.dmd.status().entries_loaded) == (0, 0)


def test_a_locked_up_controller_is_named(virtual_900) -> None:
    rig = virtual_900()
    rig.dmd.info()
    rig.controller.silent = True
    with pytest.raises(DeviceError, match=r"no answer.*could not be stopped either.*switch it off and on"):
        rig.dmd.prepare()


def test_an_interrupted_image_leaves_the_device_idle(virtual_900, erle_block) -> None:
    rig = virtual_900()
    asked = iter([False, False, True])
    rig.dmd._interrupted = lambda: next(asked)
    rig.dmd.prepare()
    rig.dmd.load_sequence(rig.table(1))
    with pytest.raises(DeviceError, match="given up, for the bridge is ending"):
        rig.dmd.load_image(0, Half.PRIMARY, erle_block(np.zeros((1080, 1920), dtype=np.uint32)))
    assert rig.dmd.status().idle


def test_closing_stops_first(virtual_900, erle_block) -> None:
    rig = virtual_900()
    rig.upload([erle_block(np.zeros((1080, 1920), dtype=np.uint32))], rig.table(1))
    rig.dmd.start(0)
    rig.dmd.close()
    assert rig.port.closed
    assert rig.controller.on_read(0x0201, b"") == b"\x01"


def test_standby_on_exit_and_waking_from_it(virtual_900) -> None:
    rig = virtual_900()
    on_exit = rig.profile.on_exit.model_copy(update={"value": "stop_then_standby"})
    rig.dmd._profile = rig.profile.model_copy(update={"on_exit": on_exit})
    rig.dmd.stop()
    assert rig.controller.on_read(0x0200, b"") == b"\x01"
    rig.dmd.prepare()
    assert rig.controller.on_read(0x0200, b"") == b"\x00"
