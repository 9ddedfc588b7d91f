"""Design rules of a mask file: what was re-read from disk against the limits of the process.

The widths are checked by the very rule that training builds masks by, exactly, on the cells of the drawing.
"""

from typing import NamedTuple

import numpy as np

from cidesign.checks import Check, exceeds
from cidesign.constraints.aperture import Boxes, Cells, count_text, feature_rule, runs
from cidesign.errors import FileError
from cidesign.export.aperture.files import MaskFile
from cidesign.export.aperture.gds.outlines import Outlines
from cidesign.export.aperture.layout import Tone, illegal_name, whole_nm
from cidesign.hardware_profiles.mask import MaskProfile

# Farther than any plate: nothing that reaches the edge of a drawing ends there.
_FAR_NM = 10**10
_FIX = "mend the design and export again"


class Breach(NamedTuple):
    """A violation, and where it is: boxes (n, 4) y0, y1, x0, x1 in nm, y down, in the file's coordinates."""

    violation: Check
    boxes: Boxes


class Widths(NamedTuple):
    """The smallest transparent feature and opaque gap along rows and columns, in nm (None: there is none)."""

    feature_nm: int | None
    gap_nm: int | None


def clear_cells(drawn: Cells, tone: Tone) -> Cells:
    """Where light passes, with what is not drawn around the drawing, far in every direction."""
    around = 0 if tone == "clear" else 1
    y, x = (np.concatenate([[edges[0] - _FAR_NM], edges, [edges[-1] + _FAR_NM]]) for edges in (drawn.y, drawn.x))
    return Cells(np.pad(with_tone(drawn, tone).levels, 1, constant_values=around), y, x)


def with_tone(drawn: Cells, tone: Tone) -> Cells:
    """The cells of a drawing, 1 where light passes."""
    return drawn if tone == "clear" else drawn._replace(levels=np.uint8(1) - drawn.levels)


def measured_widths(clear: Cells) -> Widths:
    """The smallest widths of a drawing that `clear_cells` gave."""
    found: list[int | None] = []
    for value in (1, 0):
        smallest = []
        for levels, edges in ((clear.levels, clear.x), (clear.levels.T, clear.y)):
            _, starts, ends = runs(np.ascontiguousarray(levels) == value)
            smallest.append(int((edges[ends] - edges[starts]).min(initial=_FAR_NM)))
        found.append(min(smallest) if min(smallest) < _FAR_NM else None)
    return Widths(*found)


def check_drawing(mask: MaskFile, profile: MaskProfile, tone: Tone) -> list[Breach]:
    """Every rule of the process that a file breaks, at most one breach of each; empty when it passes."""
    if not mask.cells.levels.size or not mask.cells.levels.any():
        raise FileError(f"{mask.path}: nothing is drawn in it; a coded aperture has at least one opening")
    found = [*_grid(mask, profile), *_extents(mask, profile)]
    if mask.outlines:
        found += [*_names(mask.outlines), *_vertices(mask, mask.outlines, profile)]
    for broken in feature_rule(profile).check_plate(clear_cells(mask.cells, tone)):
        y, _, x, _ = broken.boxes[0]
        where = f"{mask.name} at {mask.place(x, y)}"
        violation = exceeds(broken.rule, where, count_text(broken), broken.limit, _FIX)
        found.append(Breach(violation, broken.boxes))
    return found


def _grid(mask: MaskFile, profile: MaskProfile) -> list[Breach]:
    """Every corner of the file, also where an area covers it."""
    grid_nm = whole_nm(profile.lithography.writer_grid_um.value, "writer grid")
    limit = f"a multiple of the writer grid {grid_nm / 1000:g} um of {profile.id}"
    if mask.tiff:
        pixel_nm = round(mask.tiff.pixel_nm)
        if pixel_nm % grid_nm == 0:
            return []
        violation = exceeds("TIFF pixel", mask.name, f"{pixel_nm / 1000:g} um", limit, _FIX)
        return [Breach(violation, np.empty((0, 4), dtype=np.int64))]
    all_x, all_y = mask.cells.x, mask.cells.y
    if mask.outlines:
        all_x, upwards = mask.outlines.coordinates()
        all_y = -upwards[::-1]
    off_x, off_y = (edges[edges % grid_nm != 0] for edges in (all_x, all_y))
    if not len(off_x) and not len(off_y):
        return []
    x = int(off_x[0]) if len(off_x) else int(mask.cells.x[0])
    y = int(off_y[0]) if len(off_y) else int(mask.cells.y[0])
    value = f"off at {len(off_x) + len(off_y)} of {len(all_x) + len(all_y)} coordinates"
    violation = exceeds("grid", f"{mask.name} at {mask.place(x, y)}", value, limit, _FIX)
    lines = [(mask.cells.y[0], mask.cells.y[-1], edge, edge) for edge in off_x]
    lines += [(edge, edge, mask.cells.x[0], mask.cells.x[-1]) for edge in off_y]
    return [Breach(violation, np.array(lines, dtype=np.int64))]


def _extents(mask: MaskFile, profile: MaskProfile) -> list[Breach]:
    size_mm = tuple(float(edges[-1] - edges[0]) / 1e6 for edges in (mask.cells.x, mask.cells.y))
    lithography = profile.lithography
    plate_mm = lithography.plate_width_mm.value, lithography.plate_height_mm.value
    if size_mm[0] <= plate_mm[0] and size_mm[1] <= plate_mm[1]:
        return []
    limit = f"the plate of {profile.id}, {plate_mm[0]:g} x {plate_mm[1]:g} mm"
    violation = exceeds("extents", mask.name, f"{size_mm[0]:g} x {size_mm[1]:g} mm", limit, _FIX)
    edges = mask.cells.y[0], mask.cells.y[-1], mask.cells.x[0], mask.cells.x[-1]
    return [Breach(violation, np.array([edges], dtype=np.int64))]


def _names(outlines: Outlines) -> list[Breach]:
    nowhere = np.empty((0, 4), dtype=np.int64)
    file_name, names = outlines.path.name, outlines.cell_names
    if len(names) != 1:
        shown = ", ".join(names[:5]) or "none"
        return [
            Breach(exceeds("cells", file_name, f"{len(names)} ({shown})", "one cell that holds all", _FIX), nowhere)
        ]
    problem = illegal_name(names[0])
    if not problem:
        return []
    limit = "1 to 32 letters, digits and _, a letter first, without 'main'"
    return [Breach(exceeds("cell name", file_name, f"{names[0]!r}, which {problem}", limit, _FIX), nowhere)]


def _vertices(mask: MaskFile, outlines: Outlines, profile: MaskProfile) -> list[Breach]:
    found = []
    most = profile.lithography.max_vertices.value
    corners, (x, y) = outlines.largest()
    if corners > most:
        value, limit = f"{corners} in one polygon", f"{most} on {profile.id}"
        where = f"{mask.name} at {mask.place(x, -y)}"
        found.append(
            Breach(exceeds("vertices", where, value, limit, "save it as rectangles"), np.array([[-y, -y, x, x]]))
        )
    doubled = outlines.doubled()
    if len(doubled):
        x, y = doubled[0]
        where = f"{mask.name} at {mask.place(x, -y)}"
        violation = exceeds(
            "doubled vertices", where, f"found at {len(doubled)} places", "none", "save it as rectangles"
        )
        found.append(Breach(violation, np.column_stack([-doubled[:, 1], -doubled[:, 1], doubled[:, 0], doubled[:, 0]])))
    return found
