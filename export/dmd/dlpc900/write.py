"""Files for the DLPC900: compressed 24-plane images, the sequence table, and a batch file for TI's GUI."""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequencePlan
from cidesign.export.dmd.base import DmdOutput, Job
from cidesign.export.dmd.bitplanes import images_of, planes_of
from cidesign.export.dmd.dlpc900.compression import Compression, smallest
from cidesign.export.dmd.manifest import Half

LUT_NAME = "lut.bin"
BATCH_NAME = "sequence.batch.txt"
HEADER_BYTES = 48

_CODES: dict[Compression, int] = {"none": 0, "rle": 1, "erle": 2}
_HALVES: tuple[tuple[Half | None, str], ...] = ((0, "_primary"), (1, "_secondary"))
_WHOLE: tuple[tuple[Half | None, str], ...] = ((None, ""),)
_LED_WHITE = 0b111
# TI's buffer of 512 bytes less header, command, length and the two bytes that a boot-loader error costs.
_CHUNK_BYTES = 504
_MODE_CHANGE_MS = 3000
# Text takes five characters a byte; above this the batch file is no longer something that a person replays.
_MAX_BATCH_BYTES = 100_000_000


def image_block(words: NDArray[np.uint32]) -> tuple[Compression, bytes]:
    """One image file, 48-byte header and the shortest coding, from wire words (rows, columns) as `wire_words` gives.

    Header (TI DLPU018F Table 2-106): 'Spld', width u16, height u16, bytes of data u32, 8 x FF, background colour
    u32, reserved 0, compression, 1, 21 x 0.
    """
    compression, content = smallest(words)
    rows, columns = words.shape
    header = struct.pack(
        "<4sHHI8sIBBB", b"Spld", columns, rows, len(content), b"\xff" * 8, 0, 0, _CODES[compression], 1
    )
    return compression, header.ljust(HEADER_BYTES, b"\0") + content


def wire_words(groups: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Bytes (3, ...) as from `pack_planes` as words in wire order: first planes 16-23, then 8-15, then 0-7."""
    low, middle, high = groups.astype(np.uint32)
    words: NDArray[np.uint32] = high | middle << np.uint32(8) | low << np.uint32(16)
    return words


def lut_bytes(plan: SequencePlan) -> bytes:
    """The sequence table, 12 bytes an entry (TI DLPU018F Table 2-137).

    Index u16, exposure u24, flags (bits 3:1 bit depth - 1, 6:4 LEDs), dark time u24, byte 9 (bit 0 would switch
    TRIG_OUT2 off), image in bits 10:0 and first plane in bits 15:11 of a u16.  Times in microseconds.
    """
    parts = []
    for index, entry in enumerate(plan.entries):
        flags = plan.bit_depth - 1 << 1 | _LED_WHITE << 4
        place = entry.image | planes_of(plan.bit_depth, entry.slot)[0] << 11
        parts += [
            index.to_bytes(2, "little"),
            entry.exposure_us.to_bytes(3, "little"),
            bytes([flags]),
            (entry.period_us - entry.exposure_us).to_bytes(3, "little"),
            b"\0",
            place.to_bytes(2, "little"),
        ]
    return b"".join(parts)


def batch_lines(plan: SequencePlan, blocks: list[list[bytes]]) -> Iterator[str]:
    """The whole upload as TI's GUI replays it: `DESCRIPTOR: 0x.. 0x..`, one command a line (TI DLPU018F appendix B).

    `blocks[image]` holds the block of each controller.  Stop, pattern-on-the-fly mode, table, configuration,
    images from the highest index down, configuration again; starting is left to the user.
    """
    # The second field is "times to repeat" in DLPU018F and "patterns to display" in DLPU018J; 0 is without end.
    configuration = _line("PAT_CONFIG", struct.pack("<HI", len(plan.entries), 0))
    yield _line("PAT_START_STOP", b"\0")
    yield _line("DISP_MODE", b"\3")
    yield _line("DELAY", struct.pack("<I", _MODE_CHANGE_MS))
    table = lut_bytes(plan)
    for start in range(0, len(table), 12):
        yield _line("MBOX_DATA", table[start : start + 12])
    yield configuration
    for image in reversed(range(len(blocks))):
        for controller, block in zip(("MASTER", "SLAVE"), blocks[image], strict=False):
            yield _line(f"PATMEM_LOAD_INIT_{controller}", struct.pack("<HI", image, len(block)))
            for start in range(0, len(block), _CHUNK_BYTES):
                chunk = block[start : start + _CHUNK_BYTES]
                yield _line(f"PATMEM_LOAD_DATA_{controller}", struct.pack("<H", len(chunk)) + chunk)
    yield configuration


def write_files(job: Job, out: DmdOutput) -> tuple[str, ...]:
    """Write the images (one for each controller), the sequence table and the batch file."""
    blocks: list[list[bytes]] = []
    halves = _HALVES if job.profile.dual_controller.value else _WHOLE
    for image, groups in enumerate(images_of(job.pattern, job.plan)):
        blocks.append([])
        parts = np.hsplit(job.grid.spread(wire_words(groups)), len(halves))
        for (half, ending), words in zip(halves, parts, strict=True):
            compression, block = image_block(words)
            out.add(f"{job.profile.id}_{image:02d}{ending}.spld", "image", [block], image, half, compression)
            blocks[-1].append(block)
    out.add(LUT_NAME, "sequence-table", [lut_bytes(job.plan)])
    notes = ["images are sent from the highest index to the lowest, after the table, and again whenever it changes"]
    if 5 * sum(len(block) for image in blocks for block in image) <= _MAX_BATCH_BYTES:
        out.add(BATCH_NAME, "batch", (line.encode("ascii") for line in batch_lines(job.plan, blocks)))
    else:
        notes.append(f"{BATCH_NAME} is left out: as text the images would take more than {_MAX_BATCH_BYTES} bytes")
    return tuple(notes)


def _line(descriptor: str, data: bytes) -> str:
    return f"{descriptor}: 0x{data.hex(' ').replace(' ', ' 0x')}\n"
