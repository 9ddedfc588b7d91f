"""Numbers of the DLPC900: commands, I2C codes, error codes, status bits, boards, and the table entry.

Sources: TI DLPU018F and DLPU018J (tables of commands); TI DLPC900 API (command list, lengths of answers).
"""

import struct
from typing import NamedTuple

from cidesign.device.dmd import Half, TableEntry
from cidesign.device.i2c import I2cCode
from cidesign.export.dmd.bitplanes import planes_of

USB_PRODUCT_ID = 0xC900
PACKET_BYTES = 504

ERROR_CODE, ERROR_TEXT, POWER, IDLE, VERSION, HARDWARE = 0x0100, 0x0101, 0x0200, 0x0201, 0x0205, 0x0206
FLIP_LONG, FLIP_SHORT = 0x1008, 0x1009
STATUS_HARDWARE, STATUS_MAIN, MODE, START_STOP = 0x1A0A, 0x1A0C, 0x1A1B, 0x1A24
INVERT, LUT_CONFIG, LUT_ENTRY, MIN_EXPOSURE = 0x1A30, 0x1A31, 0x1A34, 0x1A42
IMAGE_INIT = {Half.PRIMARY: 0x1A2A, Half.SECONDARY: 0x1A2C}
IMAGE_DATA = {Half.PRIMARY: 0x1A2B, Half.SECONDARY: 0x1A2D}

# Sub-addresses and lengths of the answers: TI DLPU018F, command tables; TI DLPC900 API, command list.
I2C_CODES = {
    ERROR_CODE: I2cCode(0x32, 1),
    ERROR_TEXT: I2cCode(0x33, 128),
    POWER: I2cCode(0x07, 1),
    IDLE: I2cCode(0x0D, 1),
    VERSION: I2cCode(0x11, 16),
    HARDWARE: I2cCode(0x12, 33),
    FLIP_LONG: I2cCode(0x08, 1),
    FLIP_SHORT: I2cCode(0x09, 1),
    STATUS_HARDWARE: I2cCode(0x20, 1),
    STATUS_MAIN: I2cCode(0x22, 1),
    MODE: I2cCode(0x69, 1),
    START_STOP: I2cCode(0x65),
    INVERT: I2cCode(0x74, 1),
    LUT_CONFIG: I2cCode(0x75, 6),
    LUT_ENTRY: I2cCode(0x78),
    MIN_EXPOSURE: I2cCode(0x63, 16),
    0x1A2A: I2cCode(0x2A),
    0x1A2B: I2cCode(0x2B),
    0x1A2C: I2cCode(0x2C),
    0x1A2D: I2cCode(0x2D),
}

ERROR_MEANING = {
    1: "batch file checksum",
    2: "device failure",
    3: "unknown command",
    4: "controller and DMD do not fit each other",
    5: "command not allowed in this mode",
    6: "wrong parameter",
    7: "item not present",
    8: "out of resources",
    9: "image compression not understood",
    10: "bit plane out of range",
    11: "image not in flash",
    12: "dark time",
    13: "delay",
    14: "exposure",
    15: "number of patterns",
    16: "wrong pattern definition",
    17: "image address",
    255: "internal error",
}
HARDWARE_FAULTS = {
    1: "controller and DMD do not fit each other",
    2: "DMD reset controller",
    3: "forced swap",
    6: "sequence aborted",
    7: "sequence error",
}
INIT_OK, SECONDARY_PRESENT, RUNNING = 0x01, 0x10, 0x02
ON_THE_FLY = 3
STOP, START = 0, 2
_LEDS_WHITE = 0b111
MAX_24_BIT = 0xFFFFFF
IDLE_HOLD_US = 3_000_000  # TI DLPU018F, idle mode: stay at least 3 s
# What firmware that cannot be asked (0x1A42) needs on a DLP6500 for 1..8 bits: ALC SDK, lcr6500.
OLD_DLP6500_EXPOSURES_US = (120, 320, 420, 840, 1230, 1506, 2016, 4065)


class Board(NamedTuple):
    """What the hardware type of command 0x0206 says (TI DLPU018J): DMD, array, and the number of controllers."""

    name: str
    columns: int
    rows: int
    dual: bool


BOARDS = {
    1: Board("DLP6500", 1920, 1080, False),
    2: Board("DLP9000", 2560, 1600, True),
    3: Board("DLP670S", 2716, 1600, True),
    4: Board("DLP500YX", 2048, 1200, True),
    5: Board("DLP5500", 1024, 768, False),
}


def pack_lut_entry(index: int, entry: TableEntry, leds: int = _LEDS_WHITE) -> bytes:
    """One line of the sequence table, 12 bytes (TI DLPU018F Table 2-137), internal trigger, both trigger outputs on.

    index u16; exposure u24 and dark time u24 in microseconds; byte 5: bit depth - 1 in bits 3:1, LEDs in bits 6:4
    (red, green, blue); byte 9 bit 0 would switch TRIG_OUT2 *off*; image in bits 10:0, first plane in bits 15:11.
    """
    first_plane = planes_of(entry.bit_depth, entry.slot)[0]
    return b"".join(
        (
            index.to_bytes(2, "little"),
            entry.exposure_us.to_bytes(3, "little"),
            bytes([(entry.bit_depth - 1) << 1 | leds << 4]),
            entry.dark_us.to_bytes(3, "little"),
            b"\0",
            (entry.image | first_plane << 11).to_bytes(2, "little"),
        )
    )


def pack_lut_config(entries: int, count: int) -> bytes:
    """The number of entries and how often (DLPU018F) or how many (DLPU018J) to show, 0 without end; 6 bytes."""
    return struct.pack("<HI", entries, count)


def pack_image_init(index: int, size_bytes: int) -> bytes:
    """Which image follows and how many bytes it has, its 48-byte header included; 6 bytes (TI DLPU018J, 0x1A2A)."""
    return struct.pack("<HI", index, size_bytes)
