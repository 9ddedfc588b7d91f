"""Frames for the HDMI input of a DLPC350: PNG images of exactly the mirrors, each with 24 planes."""

import json
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from cidesign.export.dmd.base import DmdOutput, Job
from cidesign.export.dmd.bitplanes import image_name, images_of

SEQUENCE_NAME = "sequence.json"
_NOTE = (
    "HDMI frames must reach the device pixel for pixel: a video mode of {columns} x {rows}, full range, without colour "
    "management, scaling, overscan and dithering"
)


def png_bytes(groups: NDArray[np.uint8]) -> bytes:
    """A 24-bit PNG of one image, (3, rows, columns) as from `pack_planes`: red carries planes 8-15, green 0-7,
    blue 16-23.  Each row is stored as its difference to the one above, which super-pixels leave almost empty."""
    pixels = np.ascontiguousarray(np.moveaxis(groups[[1, 0, 2]], 0, -1))
    rows, columns, _ = pixels.shape
    lines = pixels.reshape(rows, 3 * columns)
    filtered = np.full((rows, 3 * columns + 1), 2, dtype=np.uint8)  # filter type 2: "up"
    filtered[0, 1:] = lines[0]
    filtered[1:, 1:] = lines[1:] - lines[:-1]
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in parts)


def write_files(job: Job, out: DmdOutput) -> tuple[str, ...]:
    """Write the frames, and which pattern of which frame is shown when."""
    for image, groups in enumerate(images_of(job.pattern, job.plan)):
        content = png_bytes(np.stack([job.grid.spread(group) for group in groups]))
        out.add(f"{image_name(job.profile.id, image, job.plan.images)}.png", "hdmi-frame", [content], image)
    sequence = {
        "bit_depth": job.plan.bit_depth,
        "mode": job.plan.mode,
        "columns": "image, pattern number in the image, exposure in us, period in us",
        "entries": [[entry.image, entry.slot, entry.exposure_us, entry.period_us] for entry in job.plan.entries],
    }
    out.add(SEQUENCE_NAME, "sidecar", [json.dumps(sequence).encode(), b"\n"])
    return (hdmi_note(job),)


def hdmi_note(job: Job) -> str:
    """What the computer at the HDMI input must do."""
    mirrors = job.profile.mirrors
    return _NOTE.format(columns=mirrors.columns.value, rows=mirrors.rows.value)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
