"""Draw the rooms of the source and who imports whom: docs/rooms.svg.

An arrow points from a room to one that it imports.  Arrows that follow from others (A to C, where A to B and B to C are
drawn) are left out, and imports for type checkers alone do not count.

    python docs/draw_rooms.py            # writes docs/rooms.svg
    python docs/draw_rooms.py --check    # leaves with 1 when the drawing is not that of the source
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
DRAWING = Path(__file__).parent / "rooms.svg"
SOURCES = ("cidesign", "export", "calibration", "hardware_profiles")
# Files that everything uses are one room; an arrow to each would be a drawing of nothing else.
COMMON = {
    "errors", "units", "files", "records", "checks", "text", "locks", "signals", "progress", "verbs", "entry_points",
}  # fmt: skip
# Packages whose folders are rooms of their own: modalities, device families.
OPENED = {"modalities", "calibration", "export"}
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 134, 30, 16, 58


def room_of(module: str, folders: set[str]) -> str | None:
    """The room of a module (dotted, without `cidesign.`); None where it is in none."""
    parts = module.split(".")
    if parts[0] in COMMON:
        return "common"
    if parts[0] in OPENED and len(parts) > 1 and f"{parts[0]}.{parts[1]}" in folders:
        return f"{parts[0]}.{parts[1]}"
    return parts[0] if parts[0] in folders else None


def modules() -> dict[str, Path]:
    """All product modules."""
    found = {}
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            parts = parts[1:] if parts[0] == "cidesign" else parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> set[str]:
    """The modules of ours that a module imports when it runs."""
    tree = ast.parse(path.read_text())
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("cidesign.") for name in names if name.startswith("cidesign.")}


def arrows() -> dict[str, set[str]]:
    """Room -> rooms that it imports."""
    found = modules()
    folders = {name for name in found if name and (found[name].name == "__init__.py" or "." not in name)}
    result: dict[str, set[str]] = defaultdict(set)
    for module, path in found.items():
        room = room_of(module, folders)
        if room is None:
            continue
        result[room] |= {target for name in imported(path) if (target := room_of(name, folders))} - {room}
    used = set(result) & {one for below in result.values() for one in below}
    return {room: below for room, below in result.items() if below or room in used}


def reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    """All rooms below one."""
    seen: set[str] = set()
    todo = list(graph.get(start, ()))
    while todo:
        room = todo.pop()
        if room not in seen:
            seen.add(room)
            todo += graph.get(room, ())
    return seen


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The graph without arrows that follow from others."""
    return {
        room: {one for one in below if not any(one in reachable(other, graph) for other in below - {one})}
        for room, below in graph.items()
    }


def levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """How many arrows a room stands above the ground; raises `SystemExit` for a circle."""
    result: dict[str, int] = {}

    def level(room: str, above: tuple[str, ...]) -> int:
        if room in above:
            raise SystemExit(f"a circle of imports: {' -> '.join((*above, room))}")
        if room not in result:
            result[room] = 1 + max((level(one, (*above, room)) for one in graph.get(room, ())), default=-1)
        return result[room]

    for room in graph:
        level(room, ())
    return result


def drawing(graph: dict[str, set[str]]) -> str:
    """The SVG."""
    kept, height = reduced(graph), levels(graph)
    rows: dict[int, list[str]] = defaultdict(list)
    for room in sorted(graph):
        rows[height[room]].append(room)
    top = max(rows)
    widest = max(len(row) for row in rows.values())
    width = widest * (BOX_WIDTH + GAP_X) + GAP_X
    place = {}
    for number, row in rows.items():
        left = (width - len(row) * (BOX_WIDTH + GAP_X) + GAP_X) / 2
        for index, room in enumerate(row):
            place[room] = (left + index * (BOX_WIDTH + GAP_X), 16 + (top - number) * (BOX_HEIGHT + GAP_Y))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {(top + 1) * (BOX_HEIGHT + GAP_Y)}" '
        'font-family="sans-serif" font-size="12" role="img" aria-label="Rooms of the source and who imports whom">',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#567"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for room, below in sorted(kept.items()):
        x, y = place[room]
        for one in sorted(below):
            to_x, to_y = place[one]
            start, end = (x + BOX_WIDTH / 2, y + BOX_HEIGHT), (to_x + BOX_WIDTH / 2, to_y)
            bend = (end[1] - start[1]) / 2
            lines.append(
                f'<path d="M{start[0]:g} {start[1]:g}C{start[0]:g} {start[1] + bend:g} {end[0]:g} {end[1] - bend:g} '
                f'{end[0]:g} {end[1]:g}" fill="none" stroke="#567" stroke-opacity=".55" marker-end="url(#a)"/>'
            )
    for room, (x, y) in sorted(place.items()):
        fill = "#dce9f5" if room.split(".")[0] in {"modalities"} else "#f3ead8" if "." in room else "#eef1f3"
        lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" fill="{fill}" stroke="#345"/>'
            f'<text x="{x + BOX_WIDTH / 2:g}" y="{y + 19:g}" text-anchor="middle">{room}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Write the drawing, or compare it."""
    made = drawing(arrows())
    if "--check" in sys.argv[1:]:
        if not DRAWING.is_file() or DRAWING.read_text() != made:
            raise SystemExit("docs/rooms.svg is not that of the source: run `python docs/draw_rooms.py`")
        return
    DRAWING.write_text(made)


if __name__ == "__main__":
    main()
