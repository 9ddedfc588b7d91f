"""Frames for an ALP board (DLPC410): the bytes that AlpSeqPut takes, and a sidecar with what AlpSeqAlloc needs."""

import json

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.export.dmd.base import DmdOutput, Job

PLANES_NAME = "alp_planes.bin"
SIDECAR_NAME = "alp_planes.json"
# Bytes of a binary row by columns; 1080p rows have 240 bytes and 16 of padding (ViALUX alp.h).
_ROW_BYTES = {1024: 128, 1920: 256}


def frame_bytes(levels: NDArray[np.uint8], bit_depth: int) -> bytes:
    """One frame of mirror levels (rows, columns), top row first.

    1 bit: 8 mirrors a byte, bit 7 the leftmost, rows padded (ALP_DATA_BINARY_TOPDOWN).  More bits: one byte a
    mirror, its significant bits on the left (ALP_DATA_MSB_ALIGN).  Source: ViALUX alp.h.
    """
    if bit_depth > 1:
        return (levels << np.uint8(8 - bit_depth)).tobytes()
    rows, columns = levels.shape
    out = np.zeros((rows, row_bytes(columns)), dtype=np.uint8)
    out[:, : (columns + 7) // 8] = np.packbits(levels, axis=1)
    return out.tobytes()


def row_bytes(columns: int) -> int:
    """Bytes of a binary row; raises `InputError` for a width whose rows no source describes."""
    if columns not in _ROW_BYTES:
        raise InputError(f"ALP rows of {columns} mirrors: known are {', '.join(map(str, _ROW_BYTES))}")
    return _ROW_BYTES[columns]


def write_files(job: Job, out: DmdOutput) -> tuple[str, ...]:
    """Write all frames into one file, and the sidecar."""
    mirrors, plan = job.profile.mirrors, job.plan
    columns = mirrors.columns.value
    frames = (frame_bytes(job.grid.spread(levels), plan.bit_depth) for levels in job.pattern.each_displayed())
    out.add(PLANES_NAME, "planes", frames)
    sidecar = {
        "columns": columns,
        "rows": mirrors.rows.value,
        "row_bytes": row_bytes(columns) if plan.bit_depth == 1 else columns,
        "bit_planes": plan.bit_depth,
        "data_format": "ALP_DATA_BINARY_TOPDOWN" if plan.bit_depth == 1 else "ALP_DATA_MSB_ALIGN",
        "pictures": len(plan.entries),
        "picture_time_us": plan.entries[0].period_us,
        "illuminate_time_us": plan.entries[0].exposure_us,
    }
    out.add(SIDECAR_NAME, "sidecar", [json.dumps(sidecar, indent=2).encode(), b"\n"])
    return ("ask the device for its times and free memory (AlpSeqInquire, AlpDevInquire) before AlpSeqPut",)
