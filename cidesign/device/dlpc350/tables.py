"""Numbers of the DLPC350: commands, validation and status bits, and the words of the sequence table.

Sources: TI DLPU010; TI DLPU011E; ALC SDK, dlpc350_api; TI LightCrafter 4500 GUI.
"""

import struct
from enum import IntEnum

from cidesign.device.dmd import TableEntry

USB_PRODUCT_ID = 0x6401

POWER, VERSION, VIDEO_STATUS, FLIP_LONG, FLIP_SHORT = 0x0200, 0x0205, 0x071C, 0x1008, 0x1009
STATUS_HARDWARE, STATUS_MAIN, VALIDATE, MODE = 0x1A0A, 0x1A0C, 0x1A1A, 0x1A1B
SOURCE, TRIGGER_MODE, START_STOP, EXPOSURE_PERIOD, INVERT = 0x1A22, 0x1A23, 0x1A24, 0x1A29, 0x1A30
CONFIG, MAILBOX_ADDRESS, MAILBOX, MAILBOX_DATA = 0x1A31, 0x1A32, 0x1A33, 0x1A34
VARIABLE_DATA, VARIABLE_ADDRESS, VARIABLE_CONFIG, FLASH_IMAGES = 0x1A3E, 0x1A3F, 0x1A40, 0x1A42

VALIDATION = (
    "exposure or period out of range",
    "wrong pattern number",
    "a continued trigger output overlaps a black frame",
    "a black frame is missing",
    "period and exposure differ by less than 230 us",
)
HARDWARE_FAULTS = {
    1: "controller and DMD do not fit each other",
    2: "DMD reset controller",
    3: "forced swap",
    6: "sequence aborted",
    7: "sequence error",
}
INIT_OK, RUNNING = 0x01, 0x02
PATTERN_MODE, STOP, START = 1, 0, 2
MAILBOX_CLOSE, MAILBOX_IMAGES, MAILBOX_FIXED, MAILBOX_VARIABLE = 0, 1, 2, 3
_TRIGGER_INTERNAL, _TRIGGER_EXTERNAL, _TRIGGER_CONTINUE = 0, 1, 3
_LEDS_WHITE = 0b111
MAX_TIME_US = 2**32 - 1
_BLACK_AFTER, _BUFFER_SWAP = 1 << 17, 1 << 18
VALIDATION_BUSY = 0x80


class Source(IntEnum):
    """Where the 24-plane images come from (command 0x1A22)."""

    VIDEO = 0
    FLASH = 3


def lut_words(entries: list[TableEntry], source: Source) -> list[int]:
    """The 24-bit words of a table (TI LightCrafter 4500 GUI): trigger 1:0, pattern number 7:2, bit depth 11:8, LEDs
    14:12, bit 17 black afterwards, bit 18 next image.

    From flash every entry has the internal trigger.  From video the first waits for the frame (external trigger)
    and the others follow; the last must end black, or nothing marks the next frame.
    """
    words = []
    for number, entry in enumerate(entries):
        black, swap, trigger = entry.dark_us > 0, entry.loads_image, _TRIGGER_INTERNAL
        if source is Source.VIDEO:
            black = black or number == len(entries) - 1
            swap = number == 0
            trigger = _TRIGGER_EXTERNAL if number == 0 else _TRIGGER_CONTINUE
        words.append(
            trigger
            | entry.slot << 2
            | entry.bit_depth << 8
            | _LEDS_WHITE << 12
            | (_BLACK_AFTER if black else 0)
            | (_BUFFER_SWAP if swap else 0)
        )
    return words


# Trigger mode (command 0x1A23) by source and by whether all exposures are the same.
TRIGGER_MODES = {
    (Source.VIDEO, True): 0,
    (Source.FLASH, True): 1,
    (Source.FLASH, False): 3,
    (Source.VIDEO, False): 4,
}


def image_table(images: list[int]) -> bytes:
    """The image indices in display order, except that exactly two are sent swapped: TI's GUI and SDK both do it."""
    return bytes(images[::-1] if len(images) == 2 else images)


def pack_config(entries: int, images: int, fixed: bool, repeat: bool) -> tuple[int, bytes]:
    """Command and data of the table's configuration: every count minus one, TRIG_OUT2 once a pass, repeat flag.

    Fixed exposure: entries u8, repeat u8, patterns u8, images u8; variable: u16, u16, images u8, repeat u8.
    """
    last = entries - 1
    if fixed:
        return CONFIG, bytes([last, repeat, last, images - 1])
    return VARIABLE_CONFIG, struct.pack("<HHBB", last, last, images - 1, repeat)


def pack_times(entry: TableEntry) -> bytes:
    """Exposure and period in microseconds, u32 each."""
    return struct.pack("<II", entry.exposure_us, entry.exposure_us + entry.dark_us)
