"""The rules of masks, checked in NumPy on their cells; `cidesign.models.mask_relax` trains against them."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check, Limit, exceeds
from cidesign.errors import LimitError
from cidesign.hardware_profiles.mask import MaskProfile
from cidesign.pattern import ApertureMask

Levels = NDArray[np.uint8]
Edges = NDArray[np.int64]
Boxes = NDArray[np.int64]


class Cells(NamedTuple):
    """Rectangular cells of 0 and 1: `levels` (R, C) between the rising edges `y` (R + 1,) and `x` (C + 1,), y down.

    The unit of the edges is the caller's: code pixels for a design, nm for a drawing.
    """

    levels: Levels
    y: Edges
    x: Edges


class Broken(NamedTuple):
    """One rule that some places break: `boxes` (n, 4) are their y0, y1, x0, x1, in reading order."""

    rule: str
    boxes: Boxes
    limit: str


FEATURE, GAP, CONTACTS, AREA = "smallest feature", "smallest gap", "corner contacts", "smallest connected area"


@dataclass(frozen=True)
class MinimumFeature:
    """Smallest transparent feature, opaque gap and connected area, and whether corners alone may touch.

    In code pixels, a feature is at least `feature_px` wide and a gap `gap_px`, which is what training builds masks
    by; on the plate the limits of the process itself hold, `feature_um` and `gap_um` (None: as many whole pixels).
    Width is measured along rows, along columns, and from corner to corner where two corners face each other.  Every
    area that is connected through edges has at least `area_um2`.
    """

    feature_px: int
    gap_px: int
    corner_contacts: bool
    pitch_um: float
    profile_id: str
    feature_um: float | None = None
    gap_um: float | None = None
    area_um2: float = 0.0

    @property
    def cell_px(self) -> int:
        """The side of the square cells that training draws the mask in: any such mask keeps widths and areas."""
        side_of_area_px = math.ceil(math.sqrt(self.area_um2) / self.pitch_um * (1 - 1e-9))
        return max(self.feature_px, self.gap_px, side_of_area_px)

    def check(self, pattern: ApertureMask) -> list[Check]:
        """At most one violation of each rule, with the count and the first place.

        Runs that end at the border of the code are measured like the others, since the frame around the code is
        opaque for some orders and transparent for others.
        """
        height, width = pattern.levels.shape
        cells = Cells(pattern.plate_levels, np.arange(height + 1), np.arange(width + 1))
        area_px = self.area_um2 / self.pitch_um**2
        limits = self._limits(self.feature_px * self.pitch_um, self.gap_px * self.pitch_um)
        return [
            self._violation(broken) for broken in self._broken(cells, self.feature_px, self.gap_px, area_px, limits)
        ]

    def check_plate(self, cells_nm: Cells) -> list[Broken]:
        """The rules that the cells of a drawing break, edges in nm."""
        feature_um = self.feature_px * self.pitch_um if self.feature_um is None else self.feature_um
        gap_um = self.gap_px * self.pitch_um if self.gap_um is None else self.gap_um
        feature_nm, gap_nm = (math.ceil(length_um * 1000 - 1e-6) for length_um in (feature_um, gap_um))
        limits = self._limits(feature_um, gap_um)
        return self._broken(cells_nm, feature_nm, gap_nm, self.area_um2 * 1e6, limits)

    def _broken(self, cells: Cells, feature: int, gap: int, area: float, limits: dict[str, str]) -> list[Broken]:
        """Limits in the unit of the edges (area: its square), and what to call them."""
        places = {
            FEATURE: np.concatenate([short_runs(cells, 1, feature), diagonal_necks(cells, 1, feature)]),
            GAP: np.concatenate([short_runs(cells, 0, gap), diagonal_necks(cells, 0, gap)]),
            CONTACTS: _no_boxes() if self.corner_contacts else corner_contacts(cells),
            AREA: small_areas(cells, area) if area > 0 else _no_boxes(),
        }
        return [Broken(rule, _in_reading_order(boxes), limits[rule]) for rule, boxes in places.items() if len(boxes)]

    def _limits(self, feature_um: float, gap_um: float) -> dict[str, str]:
        limits = {
            FEATURE: f"{feature_um:g} um",
            GAP: f"{gap_um:g} um",
            CONTACTS: "none",
            AREA: f"{self.area_um2:g} um2",
        }
        return {rule: f"{limit} on {self.profile_id}" for rule, limit in limits.items()}

    def _violation(self, broken: Broken) -> Check:
        row, _, column, _ = broken.boxes[0]
        x_um, y_um = column * self.pitch_um, row * self.pitch_um
        where = f"mask at x = {x_um:g} um, y = {y_um:g} um (row {row}, column {column})"
        return exceeds(broken.rule, where, count_text(broken), broken.limit, "export a run made for it")


def count_text(broken: Broken) -> str:
    """How often a rule is broken: `less at 3 places`."""
    count = len(broken.boxes)
    return f"{'found' if broken.rule == CONTACTS else 'less'} at {count} place{'s' if count > 1 else ''}"


def short_runs(cells: Cells, value: int, least: int) -> Boxes:
    """(n, 4) boxes y0, y1, x0, x1 of every run of `value` that is shorter than `least`, along rows or columns."""
    if min(_smallest_step(cells.y), _smallest_step(cells.x)) >= least:
        return _no_boxes()
    wanted = cells.levels == value
    rows, starts, ends = runs(wanted)
    short = cells.x[ends] - cells.x[starts] < least
    row = rows[short]
    along_rows = np.column_stack([cells.y[row], cells.y[row + 1], cells.x[starts[short]], cells.x[ends[short]]])
    columns, starts, ends = runs(np.ascontiguousarray(wanted.T))
    short = cells.y[ends] - cells.y[starts] < least
    column = columns[short]
    along_columns = np.column_stack(
        [cells.y[starts[short]], cells.y[ends[short]], cells.x[column], cells.x[column + 1]]
    )
    return np.concatenate([along_rows, along_columns])


def runs(wanted: NDArray[np.bool_]) -> tuple[Edges, Edges, Edges]:
    """Row, first column and one past the last column of every run of True along the rows of (R, C), in order."""
    framed = np.zeros((wanted.shape[0], wanted.shape[1] + 2), dtype=bool)
    framed[:, 1:-1] = wanted
    changes = np.flatnonzero(framed[:, 1:] != framed[:, :-1])
    width = wanted.shape[1] + 1
    return changes[0::2] // width, changes[0::2] % width, changes[1::2] % width


def corner_contacts(cells: Cells) -> Boxes:
    """(n, 4) boxes of no size: every point where two equal cells touch at a corner alone."""
    a, b, c, d = _quadrants(cells.levels)
    row, column = np.nonzero((a == d) & (b == c) & (a != b))
    y, x = cells.y[row + 1], cells.x[column + 1]
    return np.column_stack([y, y, x, x])


def diagonal_necks(cells: Cells, value: int, least: int) -> Boxes:
    """(n, 4) boxes between two corners of the other level that face each other across less than `least` of `value`.

    Runs along rows and columns do not see these: the distance counts in both directions, dx^2 + dy^2 < least^2.
    """
    smallest = math.hypot(_smallest_step(cells.y), _smallest_step(cells.x))
    if smallest >= least:
        return _no_boxes()
    from scipy.spatial import cKDTree

    a, b, c, d = (quadrant != value for quadrant in _quadrants(cells.levels))
    alone = {
        "upper left": a & ~b & ~c & ~d,
        "lower right": d & ~a & ~b & ~c,
        "upper right": b & ~a & ~c & ~d,
        "lower left": c & ~a & ~b & ~d,
    }
    found = [_no_boxes()]
    for above, below, sign in (("upper left", "lower right", 1), ("upper right", "lower left", -1)):
        ends = []
        for name in (above, below):
            row, column = np.nonzero(alone[name])
            ends.append(np.column_stack([cells.y[row + 1], cells.x[column + 1]]))
        if not (len(ends[0]) and len(ends[1])):
            continue
        near = cKDTree(ends[0]).sparse_distance_matrix(cKDTree(ends[1]), float(least), output_type="ndarray")
        first, second = ends[0][near["i"]], ends[1][near["j"]]
        dy, dx = second[:, 0] - first[:, 0], sign * (second[:, 1] - first[:, 1])
        facing = (dy > 0) & (dx > 0) & (dy * dy + dx * dx < least * least)
        y0, x_above, x_below = first[facing, 0], first[facing, 1], second[facing, 1]
        left, right = np.minimum(x_above, x_below), np.maximum(x_above, x_below)
        found.append(np.column_stack([y0, second[facing, 0], left, right]))
    return np.concatenate(found)


def small_areas(cells: Cells, least: float) -> Boxes:
    """(n, 4) bounding boxes of the areas of one level, connected through edges, that are smaller than `least`."""
    from scipy import ndimage

    sizes = np.outer(np.diff(cells.y), np.diff(cells.x)).astype(np.float64)
    found = [_no_boxes()]
    for value in (0, 1):
        labels, count = ndimage.label(cells.levels == value)
        areas = np.bincount(labels.ravel(), weights=sizes.ravel(), minlength=count + 1)
        places = ndimage.find_objects(labels)
        small = np.flatnonzero(areas[1:] < least * (1 - 1e-9))
        boxes = [
            (cells.y[rows.start], cells.y[rows.stop], cells.x[columns.start], cells.x[columns.stop])
            for rows, columns in (places[index] for index in small)
        ]
        found.append(np.array(boxes, dtype=np.int64).reshape(-1, 4))
    return np.concatenate(found)


def _quadrants(levels: Levels) -> tuple[Levels, Levels, Levels, Levels]:
    """The four cells around every inner corner, (R - 1, C - 1): upper left, upper right, lower left, lower right."""
    return levels[:-1, :-1], levels[:-1, 1:], levels[1:, :-1], levels[1:, 1:]


def _smallest_step(edges: Edges) -> int:
    return int(np.diff(edges).min())


def _no_boxes() -> Boxes:
    return np.empty((0, 4), dtype=np.int64)


def _in_reading_order(boxes: Boxes) -> Boxes:
    # The same box can be short both ways; np.unique would sort rows ten times as long.
    ordered = boxes[np.lexsort((boxes[:, 3], boxes[:, 1], boxes[:, 2], boxes[:, 0]))]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return ordered[new]


def narrowest_px(levels: Levels) -> dict[int, int]:
    """The shortest run along rows and columns of open (1) and of opaque (0) code pixels, of those that there are."""
    lengths = {
        value: np.concatenate([ends - starts for _, starts, ends in (runs(levels == value), runs((levels == value).T))])
        for value in (0, 1)
    }
    return {value: int(found.min()) for value, found in lengths.items() if len(found)}


def process_limits(design: ApertureMask, profile: MaskProfile) -> list[Limit]:
    """How near a mask comes to the process: its smallest feature and gap, and the plate; none for a grey mask."""
    lithography = profile.lithography
    if not design.is_binary:
        return []
    widths = narrowest_px(design.plate_levels)
    smallest = ((1, FEATURE, lithography.min_feature_um), (0, GAP, lithography.min_gap_um))
    found = [
        Limit(
            name=name, value=widths[value] * design.pitch_um, sense="at least", limit=least.value, unit="um",
            source=least.source,
        )
        for value, name, least in smallest
        if value in widths
    ]  # fmt: skip
    plate = (("height", lithography.plate_height_mm), ("width", lithography.plate_width_mm))
    return found + [
        Limit(
            name=f"{side} of the code", value=count * design.pitch_um / 1000, sense="at most", limit=most.value,
            unit="mm", source=most.source,
        )
        for count, (side, most) in zip(design.levels.shape, plate, strict=True)
    ]  # fmt: skip


def feature_rule(profile: MaskProfile) -> MinimumFeature:
    """The rule of a profile: what training builds masks by, and what the written file is checked against."""
    pitch_um, lithography = profile.pixel_pitch_um.value, profile.lithography
    area = lithography.min_area_um2
    return MinimumFeature(
        feature_px=_pixels(lithography.min_feature_um.value, pitch_um),
        gap_px=_pixels(lithography.min_gap_um.value, pitch_um),
        corner_contacts=lithography.corner_contacts.value,
        pitch_um=pitch_um,
        profile_id=profile.id,
        feature_um=lithography.min_feature_um.value,
        gap_um=lithography.min_gap_um.value,
        area_um2=0.0 if area is None else area.value,
    )


def _pixels(length_um: float, pitch_um: float) -> int:
    # 6.0 um at a pitch of 2.0 um is 3 pixels; the tolerance keeps 6.000000001 / 2 from becoming 4.
    return max(1, math.ceil(length_um / pitch_um * (1 - 1e-9)))


def require_freedom(profile: MaskProfile, height: int, width: int) -> None:
    """Raise `LimitError` when a code of height x width pixels leaves nothing to design, or does not fit."""
    rule, lithography = feature_rule(profile), profile.lithography
    if min(height, width) < 2 * rule.cell_px:
        raise LimitError(
            f"mask of {height} x {width} code pixels: the smallest feature of {profile.id} is {rule.cell_px} code "
            f"pixels, so at least {2 * rule.cell_px} a side are needed; use a larger code or a finer process"
        )
    pitch_um = profile.pixel_pitch_um.value
    plate_mm = lithography.plate_width_mm.value, lithography.plate_height_mm.value
    code_mm = width * pitch_um / 1000, height * pitch_um / 1000
    if code_mm[0] > plate_mm[0] or code_mm[1] > plate_mm[1]:
        raise LimitError(
            f"mask of {code_mm[0]:g} x {code_mm[1]:g} mm: the plate of {profile.id} is {plate_mm[0]:g} x "
            f"{plate_mm[1]:g} mm; use fewer code pixels or a smaller pitch"
        )
