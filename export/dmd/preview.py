"""A picture of what the mirrors show, drawn where the mirrors are, so that nothing is stretched."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cidesign.export.dmd.base import Job
from cidesign.export.dmd.sync_frames import sync_summary
from cidesign.hardware_profiles.dmd.lattice import Grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import BLINK_CODE, PatternStack

_COLUMNS = 3
_MAX_FRAMES = 6
_CELL_WIDTH = 420
_LABEL_HEIGHT = 18
_MARGIN = 8


def physical_picture(levels: NDArray[np.uint8], lattice: str) -> NDArray[np.uint8]:
    """Mirror levels (rows, columns) -> picture with square pixels in real space.

    Square lattice: one pixel a mirror.  Diamond lattice: rows lie half a column pitch apart, so each mirror is
    two pixels wide and odd rows start one pixel later: (rows, 2 columns + 1).
    """
    if lattice != "diamond_odd_right":
        return levels
    rows, columns = levels.shape
    picture = np.zeros((rows, 2 * columns + 1), dtype=np.uint8)
    wide = np.repeat(levels, 2, axis=1)
    picture[0::2, :-1] = wide[0::2]
    picture[1::2, 1:] = wide[1::2]
    return picture


def write_preview(job: Job, path: Path) -> None:
    """Write `preview_png` of a job."""
    path.write_bytes(preview_png(job.pattern, job.profile, job.grid))


def preview_png(pattern: PatternStack, profile: DmdProfile, grid: Grid) -> bytes:
    """A PNG of the first frames after the blink code, if there is one, with their numbers."""
    synced = pattern.sync_every is not None
    first = len(BLINK_CODE) if synced else 0
    frames = pattern.frames()[first : first + _MAX_FRAMES]
    mirrors = profile.mirrors
    scale = np.uint8(255 // pattern.max_level)
    cells = []
    for number, (frame, displayed) in enumerate(zip(frames, pattern.shown(frames), strict=True), start=first):
        levels = grid.spread(displayed) * scale
        picture = Image.fromarray(physical_picture(levels, mirrors.lattice.value))
        height = round(picture.height * _CELL_WIDTH / picture.width)
        label = f"all {frame.role}" if frame.pattern < 0 else f"pattern {frame.pattern} {frame.role}"
        cells.append((f"frame {number}: {label}", picture.resize((_CELL_WIDTH, height), Image.Resampling.BOX)))
    step_x = _CELL_WIDTH + _MARGIN
    step_y = cells[0][1].height + _LABEL_HEIGHT + _MARGIN
    lines = -(-len(cells) // _COLUMNS)
    top = _MARGIN + (_LABEL_HEIGHT if synced else 0)
    sheet = Image.new("L", (_MARGIN + min(len(cells), _COLUMNS) * step_x, top + lines * step_y), 48)
    draw = ImageDraw.Draw(sheet)
    if synced:
        draw.text((_MARGIN, _MARGIN), f"sync frames: {sync_summary(pattern)}", fill=255)
    for number, (text, cell) in enumerate(cells):
        x = _MARGIN + number % _COLUMNS * step_x
        y = top + number // _COLUMNS * step_y
        draw.text((x, y), text, fill=255)
        sheet.paste(cell, (x, y + _LABEL_HEIGHT))
    stream = BytesIO()
    sheet.save(stream, format="PNG")
    return stream.getvalue()
