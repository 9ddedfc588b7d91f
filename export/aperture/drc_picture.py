"""A picture that shows where a drawing breaks its rules: the whole of it, and the first place of each rule enlarged."""

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cidesign.constraints.aperture import Boxes, Cells, Edges, Levels
from cidesign.export.aperture.drc import Breach
from cidesign.files import replacing_file

_OVERVIEW, _DETAIL, _MARGIN, _CAPTION = 720, 340, 12, 34
_MAX_BOXES = 2000
_GREY, _RED, _INK = (60, 190), (220, 30, 30), (20, 20, 20)


def draw_breaches(clear: Cells, breaches: list[Breach], path: Path) -> None:
    """Write a PNG: dark grey is chrome, light grey is clear, red is where a rule is broken; y down as in the file.

    `clear` has no surroundings; breaches without a place (a name) appear as a caption alone.
    """
    details = [breach for breach in breaches if len(breach.boxes)]
    columns = 1 + bool(details)
    height = max(_OVERVIEW, len(details) * (_DETAIL + _CAPTION + _MARGIN)) + 2 * _MARGIN + _CAPTION * len(breaches)
    sheet = Image.new("RGB", (_OVERVIEW + 2 * _MARGIN + (columns - 1) * (_DETAIL + _MARGIN), height), "white")
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for breach in breaches:
        draw.text((_MARGIN, top), _wrapped(str(breach.violation), sheet.width - 2 * _MARGIN), fill=_INK)
        top += _CAPTION
    span = max(float(clear.x[-1] - clear.x[0]), float(clear.y[-1] - clear.y[0]))
    boxes = np.concatenate([breach.boxes[:_MAX_BOXES] for breach in breaches])
    middle = (float(clear.y[0] + clear.y[-1]) / 2, float(clear.x[0] + clear.x[-1]) / 2)
    sheet.paste(_view(clear, middle, span, _OVERVIEW, boxes), (_MARGIN, top))
    for breach in details:
        y0, y1, x0, x1 = (float(edge) for edge in breach.boxes[0])
        cell = float(np.median(np.concatenate([np.diff(clear.x), np.diff(clear.y)])))
        near = min(span, 12 * cell + 2 * min(max(y1 - y0, x1 - x0), 20 * cell))
        middle = _kept_inside((y0 + y1) / 2, clear.y, near), _kept_inside((x0 + x1) / 2, clear.x, near)
        picture = _view(clear, middle, near, _DETAIL, breach.boxes)
        left = _OVERVIEW + 2 * _MARGIN
        draw.text((left, top), f"{breach.violation.name}: first place, {near / 1000:.4g} um wide", fill=_INK)
        sheet.paste(picture, (left, top + _CAPTION // 2))
        top += _DETAIL + _CAPTION
    with replacing_file(path) as temporary:
        sheet.save(temporary, format="PNG")


def _kept_inside(middle: float, edges: Edges, span: float) -> float:
    """The middle of a view of `span` that shows as much of the drawing as it can."""
    first, last = float(edges[0]) + span / 2, float(edges[-1]) - span / 2
    return min(max(middle, first), last) if first <= last else (first + last) / 2


def _view(clear: Cells, middle: tuple[float, float], span: float, side: int, boxes: Boxes) -> "Image.Image":
    """A square of `span` nm around `middle` (y, x) as `side` pixels, with its boxes outlined."""
    first = middle[0] - span / 2, middle[1] - span / 2
    steps = (np.arange(side) + 0.5) * span / side
    levels = _sample(clear, first[0] + steps, first[1] + steps)
    picture = Image.fromarray(np.array([255, *_GREY], dtype=np.uint8)[levels]).convert("RGB")
    draw = ImageDraw.Draw(picture)
    pixels = (boxes - np.repeat(first, 2)) * side / span
    for y0, y1, x0, x1 in pixels.tolist():
        if y1 < 0 or x1 < 0 or y0 > side or x0 > side:
            continue
        # A place without an extent is drawn as a small square around it.
        grow_y, grow_x = max(0.0, 3 - (y1 - y0) / 2), max(0.0, 3 - (x1 - x0) / 2)
        frame = (max(x0 - grow_x, -9), max(y0 - grow_y, -9), min(x1 + grow_x, side + 9), min(y1 + grow_y, side + 9))
        draw.rectangle(frame, outline=_RED, width=2)
    return picture


def _sample(clear: Cells, y: np.ndarray, x: np.ndarray) -> Levels:
    """0 outside the drawing, 1 chrome, 2 clear."""
    framed = np.pad(clear.levels + np.uint8(1), 1)
    rows, columns = (np.searchsorted(edges, at, side="right") for edges, at in ((clear.y, y), (clear.x, x)))
    return framed[np.ix_(rows, columns)]


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width // 6)[:2])
