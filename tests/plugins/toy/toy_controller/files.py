"""Its files: `toy_00.bits` ... with 24 bit planes each, and `times.json`."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequenceEntry, SequencePlan
from cidesign.errors import FileError
from cidesign.export.dmd.base import Exporter, Job, Output, ReadBack
from cidesign.export.dmd.bitplanes import pack_images

HEADER = b"TOY1"


def write_files(job: Job, out: Output) -> tuple[str, ...]:
    """Planes of bytes (3, rows, columns) behind the size, big-endian."""
    for image, packed in enumerate(pack_images(job.pattern.displayed(), job.plan)):
        groups = np.stack([job.grid.spread(group) for group in packed])
        size = np.array(groups.shape[1:], dtype=">u2").tobytes()
        out.add(f"toy_{image:02d}.bits", "toy-image", [HEADER, size, groups.tobytes()], image, compression="plain")
    entries = [[entry.image, entry.slot, entry.exposure_us, entry.period_us] for entry in job.plan.entries]
    times = {"bits": job.plan.bit_depth, "mode": job.plan.mode, "entries": entries}
    out.add("times.json", "toy-times", [json.dumps(times).encode()])
    return ()


def planes(content: bytes) -> NDArray[np.uint32]:
    """The 24-bit words (rows, columns) of an image file; raises `ValueError` for a damaged one."""
    rows, columns = np.frombuffer(content[4:8], dtype=">u2").astype(int)
    if content[:4] != HEADER or len(content) != 8 + 3 * rows * columns:
        raise ValueError(f"{len(content)} bytes are no image of a toy")
    low, middle, high = np.frombuffer(content[8:], dtype=np.uint8).reshape(3, rows, columns).astype(np.uint32)
    return low | middle << 8 | high << 16


def read(folder: Path) -> ReadBack:
    """Read the files back; five and seven bits leave a plane unused."""
    times = json.loads((folder / "times.json").read_text())
    bits = times["bits"]
    entries, last = [], -1
    for number, (image, slot, exposure_us, period_us) in enumerate(times["entries"]):
        entries.append(SequenceEntry(number, image, slot, image != last, exposure_us, period_us))
        last = image
    plan = SequencePlan(bits, tuple(entries), last + 1, times["mode"], None, None, entries[0].exposure_us, ())

    def frames() -> Iterator[NDArray[np.uint8]]:
        for entry in entries:
            path = folder / f"toy_{entry.image:02d}.bits"
            try:
                words = planes(path.read_bytes())
            except (OSError, ValueError) as error:
                raise FileError(f"{path}: {error}") from error
            yield (words >> first_plane(bits, entry.slot) & (2**bits - 1)).astype(np.uint8)

    return ReadBack(plan, frames())


def first_plane(bits: int, slot: int) -> int:
    """The plane of the lowest bit of a frame."""
    return slot * (bits + bits % 2 if bits > 4 else bits) + (bits > 4 and bits % 2)


EXPORTER = Exporter(
    name="toy",
    controllers=("toy",),
    plane_order="bytes (3, rows, columns): planes 0-7, 8-15, 16-23",
    roles=("toy-image", "toy-times"),
    write=write_files,
    read=read,
    compressions=("plain",),
)
