"""Files for the DLPC350 (DLP4500): 24-bit images, the two mailbox tables, and settings for TI's GUI.

The images are there twice: as BMP, which TI's tools put into flash, and as PNG for the HDMI input.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequenceEntry, SequencePlan
from cidesign.export.dmd.base import DmdOutput, Job
from cidesign.export.dmd.bitplanes import image_name, images_of
from cidesign.export.dmd.hdmi.write import hdmi_note, png_bytes

LUT_NAME = "lut.bin"
IMAGES_NAME = "images.bin"
SETTINGS_NAME = "sequence.ini"

_LED_WHITE = 0b111
_BLACK_AFTER = 1 << 17
_BUFFER_SWAP = 1 << 18
_FROM_FLASH = 3
_TRIGGER_INTERNAL, _TRIGGER_INTERNAL_VARIABLE = 1, 3


def bmp_bytes(groups: NDArray[np.uint8]) -> bytes:
    """A 24-bit BMP of one image, (3, rows, columns) as from `pack_planes`.

    54-byte header, rows bottom-up and padded to 4 bytes, pixels B,G,R; G carries planes 0-7, R 8-15, B 16-23
    (TI LightCrafter 4500 GUI source; TI LUT_Entry_Helper sheet).
    """
    _, rows, columns = groups.shape
    row_bytes = (3 * columns + 3) // 4 * 4
    pixels = np.zeros((rows, row_bytes), dtype=np.uint8)
    for position, group in enumerate((2, 0, 1)):
        pixels[::-1, position : 3 * columns : 3] = groups[group]
    header = struct.pack("<2sIHHI", b"BM", 54 + pixels.size, 0, 0, 54)
    information = struct.pack("<IiiHHIIiiII", 40, columns, rows, 1, 24, 0, pixels.size, 0, 0, 0, 0)
    return header + information + pixels.tobytes()


def lut_word(entry: SequenceEntry, bit_depth: int) -> int:
    """The 24-bit entry of the sequence table: internal trigger, white LEDs, pattern number = slot.

    Bits 1:0 trigger, 7:2 pattern number, 11:8 bit depth, 14:12 LEDs, 17 black after the exposure (where the period
    is longer: the exposure would else go on), 18 load the next image (TI LightCrafter 4500 GUI source; TI DLPU011E).
    """
    word = entry.slot << 2 | bit_depth << 8 | _LED_WHITE << 12
    if entry.period_us > entry.exposure_us:
        word |= _BLACK_AFTER
    return word | _BUFFER_SWAP if entry.loads_image else word


def lut_bytes(plan: SequencePlan) -> bytes:
    """The sequence table: 3-byte words (fixed exposure), or word, exposure and period, 4 bytes each (variable)."""
    parts = []
    for entry in plan.entries:
        word = lut_word(entry, plan.bit_depth)
        if plan.mode == "fixed_exposure":
            parts.append(word.to_bytes(3, "little"))
        else:
            parts.append(struct.pack("<III", word, entry.exposure_us, entry.period_us))
    return b"".join(parts)


def flash_numbers(plan: SequencePlan) -> list[int]:
    """The number of each image in flash, in display order."""
    return [entry.image for entry in plan.entries if entry.loads_image]


def image_table_bytes(numbers: list[int]) -> bytes:
    """Mailbox 1: one flash index per image in display order, except that exactly two are sent swapped.

    TI's own tools (LightCrafter 4500 GUI, LCR_SendSplashLut; ALC SDK) swap two entries on the way to the device.
    """
    return bytes(numbers[::-1] if len(numbers) == 2 else numbers)


def settings_text(plan: SequencePlan) -> str:
    """Settings that TI's GUI loads ("Apply Solution"): hexadecimal values, counts as n - 1.

    SPLASHLUT is in display order here even for two images: the GUI swaps two entries itself when it sends them.
    """
    words: list[int] = []
    for entry in plan.entries:
        words.append(lut_word(entry, plan.bit_depth))
        if plan.mode == "variable_exposure":
            words += [entry.exposure_us, entry.period_us]
    first = plan.entries[0]
    trigger_mode = _TRIGGER_INTERNAL_VARIABLE if plan.mode == "variable_exposure" else _TRIGGER_INTERNAL
    # The GUI checks the lengths of both tables against the trigger mode, which must therefore come before them.
    lines = [
        ("DEFAULT.DISPMODE", [1], "pattern sequence mode"),
        ("DEFAULT.SHORT_FLIP", [0], "the files are written for no flip"),
        ("DEFAULT.LONG_FLIP", [0], "the files are written for no flip"),
        ("DEFAULT.INVERTDATA", [0], "1 is on"),
        ("DEFAULT.PATTERNCONFIG.PAT_EXPOSURE", [first.exposure_us], f"{first.exposure_us} us"),
        ("DEFAULT.PATTERNCONFIG.PAT_PERIOD", [first.period_us], f"{first.period_us} us"),
        ("DEFAULT.PATTERNCONFIG.PAT_MODE", [_FROM_FLASH], "images come from flash"),
        ("DEFAULT.PATTERNCONFIG.TRIG_MODE", [trigger_mode], "internal trigger"),
        ("DEFAULT.PATTERNCONFIG.PAT_REPEAT", [0], "once"),
        ("DEFAULT.PATTERNCONFIG.NUM_LUT_ENTRIES", [len(plan.entries) - 1], f"{len(plan.entries)} entries"),
        ("DEFAULT.PATTERNCONFIG.NUM_PATTERNS", [len(plan.entries) - 1], f"{len(plan.entries)} patterns"),
        ("DEFAULT.PATTERNCONFIG.NUM_SPLASH", [plan.images - 1], f"{plan.images} images"),
        ("DEFAULT.SPLASHLUT", flash_numbers(plan), "image indices in flash, in display order"),
        ("DEFAULT.SEQPATLUT", words, "sequence table"),
    ]
    return "".join(f"{name:<60} {_hexadecimal(values)} ; {text}\n" for name, values, text in lines)


def _hexadecimal(values: list[int]) -> str:
    return " ".join(f"0x{value:X}" for value in values)


def write_files(job: Job, out: DmdOutput) -> tuple[str, ...]:
    """Write the images, both tables and the settings."""
    numbers = flash_numbers(job.plan)
    for image, packed in zip(numbers, images_of(job.pattern, job.plan), strict=True):
        groups = np.stack([job.grid.spread(group) for group in packed])
        name = image_name(job.profile.id, image, numbers[-1] + 1)
        out.add(f"{name}.bmp", "image", [bmp_bytes(groups)], image)
        out.add(f"{name}.png", "hdmi-frame", [png_bytes(groups)], image)
    out.add(LUT_NAME, "sequence-table", [lut_bytes(job.plan)])
    out.add(IMAGES_NAME, "image-table", [image_table_bytes(numbers)])
    out.add(SETTINGS_NAME, "gui-settings", [settings_text(job.plan).encode("ascii")])
    return (hdmi_note(job),)
