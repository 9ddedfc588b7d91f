"""Reads GDSII and OASIS layouts of any program with gdstk, flattened, in the bounded child process.

gdstk ends the whole program on about one damaged file in fifty, and a small file can stand for 10^18 shapes: all is
counted before anything is drawn.
"""

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from cidesign.export.aperture.gds.union import united
from cidesign.io.child import Arrays, Refused

if TYPE_CHECKING:
    import gdstk

MAX_POLYGONS, MAX_CORNERS, MAX_DEPTH = 2_000_000, 12_000_000, 200
# A coordinate as near to a whole nm as this is that one: all that the arithmetic of flattening leaves.
WHOLE_NM = 1e-3
FARTHEST_NM = 1e12
# How far the polygon of a circle or a round end may lie from it.
ARC_NM = 0.1
_SHOWN = 12


class _Shapes(NamedTuple):
    """The shapes of one cell without those of cells below: corners in nm, and each shape's size, layer and kind."""

    corners: Any
    sizes: Any
    layers: Any
    round: Any


class Request(TypedDict):
    """What of `path` is read; see `answer`."""

    path: str
    format: Literal["gds", "oasis"]
    cell: str | None


@dataclass(frozen=True)
class Drawing:
    """What goes with the corners: the cell, how many cells took part, the step of the file, and whether all edges lie
    along the axes between whole nm."""

    cell: str
    cells: int
    unit_m: float
    rectilinear: bool


@dataclass(frozen=True)
class LayoutHead:
    """The drawing, or the first names to `choose` from of `count` cells."""

    drawing: Drawing | None
    choose: tuple[str, ...] = ()
    count: int = 0


def answer(request: Request) -> tuple[LayoutHead, Arrays]:
    """Read `path` of `format` gds or oasis, and flatten `cell`, or the one cell that no other refers to (None).

    Corners are in nm, y up.  What a drawing that is not rectilinear on whole nm draws as a whole comes with it.
    """
    library = _library(request["path"], request["format"])
    nm_per_unit = library.unit / 1e-9
    if not (math.isfinite(nm_per_unit) and 0 < library.precision <= library.unit and nm_per_unit > 0):
        raise Refused(f"its unit is {library.unit:g} m in steps of {library.precision:g} m; save it with sound units")
    top = _chosen(library, request["cell"])
    if isinstance(top, list):
        return LayoutHead(None, tuple(top[:_SHOWN]), len(top)), {}
    order = _from_the_top(top)
    shapes = {name: _own_shapes(cell, library) for name, cell in order.items()}
    placed = _instances(top, order, shapes, nm_per_unit)
    parts = [_placed(shapes[name], instances) for name, instances in placed.items() if len(instances)]
    corners, sizes, layers, is_round = (np.concatenate(list(column)) for column in zip(*parts, strict=True))
    if not np.isfinite(corners).all() or np.abs(corners).max(initial=0) > FARTHEST_NM:
        raise Refused("places corners nowhere, or more than a kilometre away; it is damaged")
    whole = np.rint(corners)
    corners = np.where(np.abs(corners - whole) > WHOLE_NM, corners, whole)
    arrays = {"corners": corners, "sizes": sizes, "layers": layers, "round": is_round}
    rectilinear = bool(not is_round.any() and _is_rectilinear(corners, sizes))
    united_corners, united_sizes = (np.empty((0, 2)), sizes[:0]) if rectilinear else united(corners, sizes)
    head = LayoutHead(Drawing(top.name, len(order), library.precision, rectilinear))
    return head, {**arrays, "united": united_corners, "united_sizes": united_sizes}


def _is_rectilinear(corners: Any, sizes: Any) -> bool:
    """Whether all edges lie along the axes, and all corners on whole nm."""
    if (corners != np.rint(corners)).any():
        return False
    return not (following(corners, sizes) != corners).all(axis=1).any()


def following(corners: Any, sizes: Any) -> Any:
    """The next corner (N, 2) of the same shape for each corner."""
    index = np.arange(1, len(corners) + 1)
    ends, some = np.cumsum(sizes), sizes > 0
    index[ends[some] - 1] = (ends - sizes)[some]
    return corners[index]


def _library(path: str, layout: str) -> Any:
    import gdstk

    library: Any
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if layout == "oasis":
            sound, _ = gdstk.oas_validate(path)
            if sound is False:
                raise Refused("its bytes do not fit the checksum at its end; it was damaged or edited")
            library = gdstk.read_oas(path, unit=1e-6, tolerance=ARC_NM / 1000)
        else:
            library = gdstk.read_gds(path, unit=1e-6, tolerance=ARC_NM / 1000)
    name, count = max(Counter(cell.name for cell in library.cells).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise Refused(f"{count} cells have the name {name!r}; which of them is meant would be a guess")
    for cell in library.cells:
        for reference in cell.references:
            if isinstance(reference.cell, str):
                raise Refused(f"cell {cell.name!r} refers to {reference.cell!r}, which is not in the file")
    if said:
        raise Refused(f"gdstk reads it with a warning ({said[0].message}), so something of it would be left out")
    return library


def _chosen(library: Any, name: str | None) -> Any:
    """The cell to flatten, or the names to choose from."""
    known = {cell.name: cell for cell in library.cells}
    if name is not None:
        return known.get(name, list(known))
    if not known:
        raise Refused("holds no cell, so nothing is drawn in it")
    tops = library.top_level()
    if not tops:
        raise Refused("its cells refer to one another in a circle; it is damaged")
    return tops[0] if len(tops) == 1 else [cell.name for cell in tops]


def _from_the_top(top: "gdstk.Cell") -> "dict[str, gdstk.Cell]":
    """All cells that `top` needs, each before those that it refers to."""
    finished: dict[str, gdstk.Cell] = {}
    open_names = {top.name}
    way: list[tuple[Any, Any]] = [(top, iter(top.dependencies(False)))]
    while way:
        cell, below = way[-1]
        following = next(below, None)
        if following is None:
            finished[cell.name] = cell
            open_names.discard(cell.name)
            way.pop()
        elif following.name in open_names:
            raise Refused(f"cell {following.name!r} contains itself; the file is damaged")
        elif following.name not in finished:
            if len(way) >= MAX_DEPTH:
                raise Refused(f"cells refer to one another over more than {MAX_DEPTH} levels; flatten them")
            open_names.add(following.name)
            way.append((following, iter(following.dependencies(False))))
    return dict(reversed(finished.items()))


def _copies(item: Any) -> int:
    return max(1, item.repetition.size or 1)


def _offsets(item: Any) -> Any:
    """(m, 2) places of all copies relative to the first."""
    return np.asarray(item.repetition.get_offsets(), dtype=np.float64) if _copies(item) > 1 else np.zeros((1, 2))


def _own_shapes(cell: Any, library: Any) -> _Shapes:
    nm_per_unit = library.unit / 1e-9
    steps = library.unit / library.precision
    found: list[tuple[Any, int, tuple[int, int], bool]] = []
    count = total = 0
    for polygon in cell.polygons:
        copies = _copies(polygon)
        count, total = count + copies, total + copies * polygon.size
        _require_bearable(count, total)
        points = polygon.points
        # A file holds whole steps: only what gdstk drew of a circle lies between them.
        is_round = bool((np.abs(points * steps - np.rint(points * steps)) > 1e-3).any())
        if copies > 1:
            points = (points[None] + _offsets(polygon)[:, None]).reshape(-1, 2)
        found.append((points, copies, (polygon.layer, polygon.datatype), is_round))
    for path in cell.paths:
        _require_one_shape(path, cell.name)
        is_round = any(end == "round" or callable(end) for end in path.ends)
        for polygon in path.to_polygons():
            copies = _copies(path)
            count, total = count + copies, total + copies * polygon.size
            _require_bearable(count, total)
            points = (polygon.points[None] + _offsets(path)[:, None]).reshape(-1, 2)
            found.append((points, copies, (polygon.layer, polygon.datatype), is_round))
    if not found:
        none = np.empty((0, 2))
        return _Shapes(none, none[:, 0].astype(np.int64), none.astype(np.int64), none[:, 0].astype(bool))
    copies_of = np.array([copies for _, copies, _, _ in found])
    sizes = np.array([len(points) // copies for points, copies, _, _ in found])
    layers = np.array([layer for _, _, layer, _ in found], dtype=np.int64).reshape(-1, 2)
    flags = np.array([is_round for *_, is_round in found])
    return _Shapes(
        np.concatenate([points for points, *_ in found]) * nm_per_unit,
        np.repeat(sizes, copies_of),
        np.repeat(layers, copies_of, axis=0),
        np.repeat(flags, copies_of),
    )


def _require_one_shape(path: Any, cell: str) -> None:
    """Refuse what programs draw differently: sharp bends, single points, widths that vary or are nothing."""
    spine = np.asarray(path.spine())
    if len(spine) < 2:
        raise Refused(f"cell {cell!r}: a path of one point, which some programs draw and others do not")
    widths = np.asarray(path.widths())
    x_um, y_um = spine[0]
    if not (widths > 0).all():
        raise Refused(f"cell {cell!r}: a path from x = {x_um:g} um, y = {y_um:g} um has no width, so it draws nothing")
    steps = np.diff(spine, axis=0)
    steps = steps[(steps != 0).any(axis=1)]
    lengths = np.hypot(*steps.T)
    turns = (steps[1:] * steps[:-1]).sum(axis=1) / (lengths[1:] * lengths[:-1])
    sharp = np.flatnonzero(turns < -1e-9)
    if len(sharp):
        x_um, y_um = spine[0] + steps[: sharp[0] + 1].sum(axis=0)
        raise Refused(
            f"cell {cell!r}: a path turns by more than 90 degrees at x = {x_um:g} um, y = {y_um:g} um; programs draw "
            "such corners differently, so save it as a polygon"
        )


def _require_bearable(polygons: int, corners: int) -> None:
    if polygons > MAX_POLYGONS or corners > MAX_CORNERS:
        raise Refused(
            f"stands for at least {polygons} shapes of {corners} corners; at most {MAX_POLYGONS} of {MAX_CORNERS} are "
            "flattened"
        )


def _instances(
    top: "gdstk.Cell", order: "dict[str, gdstk.Cell]", shapes: dict[str, _Shapes], nm_per_unit: float
) -> dict[str, NDArray[np.float64]]:
    """(n, 2, 3) for each cell: how its corners become those of the mask, once for each place that it has."""
    counts = dict.fromkeys(order, 0)
    counts[top.name] = 1
    for name, cell in order.items():
        for reference in cell.references:
            counts[reference.cell.name] += counts[name] * _copies(reference)
    _require_bearable(
        sum(count * max(1, len(shapes[name].sizes)) for name, count in counts.items()),
        sum(count * len(shapes[name].corners) for name, count in counts.items()),
    )
    parts: dict[str, list[Any]] = {name: [] for name in order}
    parts[top.name] = [np.array([[[1.0, 0, 0], [0, 1, 0]]])]
    placed = {}
    for name, cell in order.items():
        here = np.concatenate(parts[name])
        placed[name] = here
        if any(not path.scale_width for path in cell.paths) and not np.allclose(
            np.abs(np.linalg.det(here[..., :2])), 1
        ):
            raise Refused(f"cell {name!r}: a path keeps its width when its cell is magnified; save it as a polygon")
        for reference in cell.references:
            turned = here[:, :, :2] @ _turn(reference)
            places = (np.asarray(reference.origin) + _offsets(reference)) * nm_per_unit
            moved = np.einsum("nij,mj->nmi", here[:, :, :2], places) + here[:, None, :, 2]
            shape = (len(here), len(places), 2, 2)
            combined = np.concatenate([np.broadcast_to(turned[:, None], shape), moved[..., None]], axis=3)
            parts[reference.cell.name].append(combined.reshape(-1, 2, 3))
    return placed


def _turn(reference: Any) -> Any:
    """Reflection about x, then magnification and rotation; exact for quarter turns."""
    quarters = reference.rotation / (math.pi / 2)
    if abs(quarters - round(quarters)) < 1e-12:
        cosine, sine = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[round(quarters) % 4]
    else:
        cosine, sine = math.cos(reference.rotation), math.sin(reference.rotation)
    sign = -1 if reference.x_reflection else 1
    return reference.magnification * np.array([[cosine, -sign * sine], [sine, sign * cosine]], dtype=np.float64)


def _placed(shapes: _Shapes, instances: Any) -> _Shapes:
    corners = np.einsum("nij,pj->npi", instances[:, :, :2], shapes.corners) + instances[:, None, :, 2]
    # A reflected outline runs the other way round; what it draws is the same.
    count = len(instances)
    return _Shapes(
        corners.reshape(-1, 2),
        np.tile(shapes.sizes, count),
        np.tile(shapes.layers, (count, 1)),
        np.tile(shapes.round, count),
    )
