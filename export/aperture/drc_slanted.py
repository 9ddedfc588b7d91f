"""Design rules of a drawing with edges of any direction: what `drc` checks on cells, checked on its outline."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from cidesign.checks import exceeds
from cidesign.constraints.aperture import AREA, CONTACTS, FEATURE, GAP, Boxes, Cells
from cidesign.errors import FileError
from cidesign.export.aperture.drc import Breach
from cidesign.export.aperture.gds.layout import Layout
from cidesign.export.aperture.gds.layout_child import ARC_NM, WHOLE_NM
from cidesign.export.aperture.gds.union import UNION_NM
from cidesign.export.aperture.layout import Tone, illegal_name, whole_nm
from cidesign.export.aperture.slanted_edges import (
    Boundary,
    Corners,
    Floats,
    TooManyError,
    boundary_of,
    contacts,
    corners_of,
    enclosed,
    narrow_places,
    near_pairs,
)
from cidesign.hardware_profiles.mask import MaskProfile

_FIX = "mend the drawing"
_TINY_NM2 = 1.0
_PICTURE_SIDE = 1500


class Checked(NamedTuple):
    """The rules that are broken; by name what could not be evaluated, with the reason; and whether widths were."""

    breaches: list[Breach]
    open: list[tuple[str, str]]
    measured: bool


def check_slanted(layout: Layout, profile: MaskProfile, tone: Tone) -> Checked:
    """Every rule of the process that a slanted drawing breaks; raises `FileError` when nothing is drawn."""
    if not len(layout.united):
        raise FileError(f"{layout.path}: nothing is drawn in it; a coded aperture has at least one opening")
    breaches = [*_grid(layout, profile), *_extents(layout, profile), *_name(layout), *_corners(layout, profile)]
    left: list[tuple[str, str]] = []
    measured = True
    if layout.round.any():
        left.append(("grid of round shapes", f"circles or round ends, shapes: {int(layout.round.sum())}"))
    own = layout.corners[~np.repeat(layout.round, layout.sizes)]
    if (own != np.rint(own)).any():
        # Shapes that abut would part or overlap by what arithmetic leaves; the grid is broken in any case.
        left.append(("widths, contacts and areas", "corners lie between whole nm"))
        return Checked(breaches, left, False)
    drawn = boundary_of(layout.united, layout.united_sizes, UNION_NM)
    lithography = profile.lithography
    feature_nm, gap_nm = lithography.min_feature_um.value * 1000, lithography.min_gap_um.value * 1000
    clear, opaque = (drawn, drawn.reversed()) if tone == "clear" else (drawn.reversed(), drawn)
    try:
        # The corners that stand for a round shape lie on it, so what is measured between edges is a little less.
        slack_nm = 10 * ARC_NM if layout.round.any() else 0.0
        pairs = near_pairs(drawn, max(feature_nm, gap_nm))
        for rule, boundary, least_nm in ((FEATURE, clear, feature_nm), (GAP, opaque, gap_nm)):
            places = narrow_places(boundary, corners_of(boundary), pairs, least_nm - slack_nm)
            breaches += _narrow(layout, profile, rule, places, least_nm)
        if not lithography.corner_contacts.value:
            breaches += _contacts(layout, profile, contacts(drawn, corners_of(drawn), pairs))
    except TooManyError as error:
        measured = False
        left.append(("widths and corner contacts", str(error)))
    if lithography.min_area_um2 is not None:
        found, unsure = _small_areas(layout, profile, drawn, lithography.min_area_um2.value)
        breaches += found
        left += unsure
    return Checked(breaches, left, measured)


def picture_cells(layout: Layout, tone: Tone) -> Cells:
    """The drawing as small squares, 1 where light passes, for a picture of it."""
    low, high = layout.united.min(axis=0), layout.united.max(axis=0)
    step = max(1.0, float((high - low).max()) / _PICTURE_SIDE)
    width, height = (int(side) for side in np.maximum(np.ceil((high - low) / step), 1))
    image = Image.new("1", (width, height), 0)
    draw = ImageDraw.Draw(image)
    for end, size in zip(np.cumsum(layout.united_sizes).tolist(), layout.united_sizes.tolist(), strict=True):
        corners = layout.united[end - size : end]
        draw.polygon([tuple(place) for place in ((corners - [low[0], high[1]]) * [1, -1] / step).tolist()], fill=1)
    levels = np.asarray(image, dtype=np.uint8)
    y, x = (
        np.round(first + step * np.arange(count + 1)).astype(np.int64)
        for first, count in ((-high[1], height), (low[0], width))
    )
    return Cells(levels if tone == "clear" else np.uint8(1) - levels, y, x)


def _where(layout: Layout, x_nm: float, y_nm: float) -> str:
    # Adding 0 turns -0 into 0.
    x_um, y_um = round(x_nm / 1000, 6) + 0, round(y_nm / 1000, 6) + 0
    return f"{layout.path.name} at x = {x_um:.10g} um, y = {y_um:.10g} um"


def _boxes(ends: Floats) -> Boxes:
    """Boxes y0, y1, x0, x1 in nm, y down, around pairs of points x, y, x, y."""
    x, y = ends[:, 0::2], -ends[:, 1::2]
    sides = [y.min(axis=1), y.max(axis=1), x.min(axis=1), x.max(axis=1)]
    boxes: Boxes = np.rint(np.column_stack(sides)).astype(np.int64).reshape(-1, 4)
    return boxes


def _grid(layout: Layout, profile: MaskProfile) -> list[Breach]:
    grid_nm = whole_nm(profile.lithography.writer_grid_um.value, "writer grid")
    corners = layout.corners[~np.repeat(layout.round, layout.sizes)]
    off = corners[(np.abs(corners - grid_nm * np.rint(corners / grid_nm)) > WHOLE_NM).any(axis=1)]
    if not len(off):
        return []
    limit = f"a multiple of the writer grid {grid_nm / 1000:g} um of {profile.id}"
    between = (off != np.rint(off)).any()
    fix = f"{_FIX}; its widths are not evaluated before all corners lie on whole nm" if between else _FIX
    value = f"off at {len(off)} of {len(corners)} corners"
    return [Breach(exceeds("grid", _where(layout, *off[0]), value, limit, fix), _boxes(np.tile(off, 2)))]


def _extents(layout: Layout, profile: MaskProfile) -> list[Breach]:
    low, high = layout.united.min(axis=0), layout.united.max(axis=0)
    size_mm = (high - low) / 1e6
    lithography = profile.lithography
    plate_mm = lithography.plate_width_mm.value, lithography.plate_height_mm.value
    if (size_mm <= plate_mm).all():
        return []
    limit = f"the plate of {profile.id}, {plate_mm[0]:g} x {plate_mm[1]:g} mm"
    violation = exceeds("extents", layout.path.name, f"{size_mm[0]:g} x {size_mm[1]:g} mm", limit, _FIX)
    return [Breach(violation, _boxes(np.concatenate([low, high])[None]))]


def _name(layout: Layout) -> list[Breach]:
    problem = illegal_name(layout.cell)
    if not problem:
        return []
    limit = "1 to 32 letters, digits and _, a letter first, without 'main'"
    violation = exceeds("cell name", layout.path.name, f"{layout.cell!r}, which {problem}", limit, _FIX)
    return [Breach(violation, np.empty((0, 4), dtype=np.int64))]


def _corners(layout: Layout, profile: MaskProfile) -> list[Breach]:
    breaches = []
    most = profile.lithography.max_vertices.value
    own = np.flatnonzero(~layout.round)
    largest = int(own[np.argmax(layout.sizes[own])]) if len(own) else 0
    starts = np.cumsum(layout.sizes) - layout.sizes
    if len(own) and layout.sizes[largest] > most:
        place = layout.corners[starts[largest]]
        value, limit = f"{layout.sizes[largest]} in one polygon", f"{most} on {profile.id}"
        violation = exceeds("vertices", _where(layout, *place), value, limit, "split it")
        breaches.append(Breach(violation, _boxes(np.tile(place, 2)[None])))
    same = (layout.following() == layout.corners).all(axis=1) & ~np.repeat(layout.round, layout.sizes)
    if same.any():
        places = layout.corners[same]
        value = f"found at {len(places)} places"
        violation = exceeds("doubled vertices", _where(layout, *places[0]), value, "none", "save it without them")
        breaches.append(Breach(violation, _boxes(np.tile(places, 2))))
    return breaches


def _narrow(layout: Layout, profile: MaskProfile, rule: str, places: Floats, least_nm: float) -> list[Breach]:
    if not len(places):
        return []
    width = np.hypot(places[:, 2] - places[:, 0], places[:, 3] - places[:, 1])
    places = places[np.argsort(width, kind="stable")]
    value = f"{width.min() / 1000:.4g} um at the narrowest place"
    limit = f"{least_nm / 1000:g} um on {profile.id}"
    return [Breach(exceeds(rule, _where(layout, *places[0, :2]), value, limit, _FIX), _boxes(places))]


def _contacts(layout: Layout, profile: MaskProfile, places: Floats) -> list[Breach]:
    if not len(places):
        return []
    value = f"found at {len(places)} place{'s' if len(places) > 1 else ''}"
    violation = exceeds(CONTACTS, _where(layout, *places[0]), value, f"none on {profile.id}", _FIX)
    return [Breach(violation, _boxes(np.tile(places, 2)))]


def _small_areas(
    layout: Layout, profile: MaskProfile, drawn: Boundary, least_um2: float
) -> tuple[list[Breach], list[tuple[str, str]]]:
    """Islands and holes below the smallest area; those that hold others are only bounded from below."""
    found, unsure = [np.empty((0, 4))], 0
    for boundary in (drawn, drawn.reversed()):
        turns: Corners = corners_of(boundary)
        areas, boxes = enclosed(boundary, turns)
        outer, inner = areas > _TINY_NM2, areas < -_TINY_NM2
        for area, box in zip(areas[outer].tolist(), boxes[outer], strict=True):
            within = (boxes[inner, :2] >= box[:2]).all(axis=1) & (boxes[inner, 2:] <= box[2:]).all(axis=1)
            if area < least_um2 * 1e6 * (1 - 1e-9):
                found.append(box[None])
            elif area + areas[inner][within].sum() < least_um2 * 1e6 * (1 - 1e-9):
                unsure += 1
    places = np.concatenate(found)
    left = [(AREA, f"of {unsure} areas that hold others")] if unsure else []
    if not len(places):
        return [], left
    value = f"less at {len(places)} place{'s' if len(places) > 1 else ''}"
    limit = f"{least_um2:g} um2 on {profile.id}"
    return [Breach(exceeds(AREA, _where(layout, *places[0, [0, 3]]), value, limit, _FIX), _boxes(places))], left
