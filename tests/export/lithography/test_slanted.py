"""Widths, contacts and areas of slanted drawings: those of a drawing before it was turned, and of known shapes."""

import math
from pathlib import Path

import numpy as np
import pytest

from cidesign.constraints.aperture import AREA, CONTACTS, FEATURE, GAP, feature_rule
from cidesign.errors import FileError, LimitError
from cidesign.export.aperture import slanted_edges
from cidesign.export.aperture.drc import clear_cells
from cidesign.export.aperture.drc_slanted import check_slanted, picture_cells
from cidesign.export.aperture.gds.layout import Layout
from cidesign.export.aperture.gds.layout_child import ARC_NM
from cidesign.export.aperture.gds.outlines import Outlines
from cidesign.export.aperture.gds.union import united
from cidesign.export.aperture.verify import check_mask_file

gdstk = pytest.importorskip("gdstk", reason="gdstk is not installed")


def layout_of(*shapes_nm, is_round=False) -> Layout:
    corners = np.concatenate([np.asarray(shape, dtype=np.float64) for shape in shapes_nm])
    sizes = np.array([len(shape) for shape in shapes_nm])
    count = len(sizes)
    merged, merged_sizes = united(corners, sizes)
    layers = np.tile([1, 0], (count, 1))
    rounds = np.full(count, is_round)
    return Layout(Path("mask.gds"), "CODE", 1, 1e-9, corners, sizes, layers, rounds, False, merged, merged_sizes)


def rectangle(x, y, width, height) -> np.ndarray:
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], dtype=np.float64)


def turned(shape, angle) -> np.ndarray:
    """What lies within 0.001 nm of whole nm is there, as after reading."""
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = np.asarray(shape, dtype=np.float64) @ np.array([[cosine, sine], [-sine, cosine]])
    return np.where(np.abs(corners - np.rint(corners)) < 1e-3, np.rint(corners), corners)


def circle(radius, x=0.0, y=0.0) -> np.ndarray:
    return gdstk.ellipse((x, y), radius, tolerance=ARC_NM).points


def without(outer, *holes) -> list[np.ndarray]:
    cut = [gdstk.Polygon(hole) for hole in holes]
    return [polygon.points for polygon in gdstk.boolean(gdstk.Polygon(outer), cut, "not", precision=1e-3)]


def broken(layout: Layout, profile, tone="clear") -> dict[str, str]:
    """The rules of width, contact and area that a drawing breaks, and what is said of them."""
    found = {breach.violation.name: breach.violation.value for breach in check_slanted(layout, profile, tone).breaches}
    return {rule: value for rule, value in found.items() if rule in (FEATURE, GAP, CONTACTS, AREA)}


@pytest.mark.parametrize("tone", ["clear", "chrome"])
@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("angle", [math.atan2(3, 4), math.atan2(-7, 24)])  # what is a whole um stays one of nm
def test_a_turned_drawing_breaks_the_rules_that_it_broke_before(changed, tone, seed, angle) -> None:
    """The rule that training builds by, on cells, is the second opinion."""
    generator = np.random.default_rng(seed)
    profile = changed(lithography__min_feature_um=5.0, lithography__min_gap_um=4.0, lithography__min_area_um2=40.0)
    places = generator.integers(0, 30 + 4 * seed, (int(generator.integers(1, 9)), 2)) * 1000
    sizes = generator.integers(4, 14, places.shape) * 1000
    boxes = [rectangle(*place, *size) for place, size in zip(places, sizes, strict=True)]
    outlines = Outlines(Path("mask.gds"))
    for box in boxes:
        outlines.add((1, 0), np.rint(box).astype(np.int64)[None])
    cells = clear_cells(outlines.cells(), tone)
    expected = {found.rule for found in feature_rule(profile).check_plate(cells)}
    checked = check_slanted(layout_of(*(turned(box, angle) for box in boxes)), profile, tone)
    rules = {breach.violation.name for breach in checked.breaches}
    unsure = {what for what, _ in checked.open}
    assert rules & {FEATURE, GAP, CONTACTS} == expected & {FEATURE, GAP, CONTACTS}
    assert (AREA in rules) == (AREA in expected) or AREA in unsure
    assert checked.measured


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([circle(3000)], {}),
        ([circle(2990)], {FEATURE: "5.9"}),
        (without(circle(20_000), circle(14_000)), {}),
        (without(circle(20_000), circle(14_100)), {FEATURE: "5.9"}),
        (without(rectangle(0, 0, 60_000, 60_000), circle(3000, 30_000, 30_000)), {}),
        (without(rectangle(0, 0, 60_000, 60_000), circle(2900, 30_000, 30_000)), {GAP: "5.8 um"}),
        ([circle(9000), circle(9000, 24_010)], {}),
        ([circle(9000), circle(9000, 23_900)], {GAP: "5.9"}),
        ([gdstk.regular_polygon((0, 0), 9000, 8).points], {}),
        ([[(0, 0), (30_000, 0), (15_000, 20_000)]], {FEATURE: "0 um"}),
        # A corner on an edge: an area, and the wedges beside it.
        (
            [rectangle(0, 0, 40_000, 9000), [(20_000, 9000), (30_000, 19_000), (20_000, 29_000), (10_000, 19_000)]],
            {CONTACTS: "found at 1 place", GAP: "0 um"},
        ),
        # A wedge that narrows to 4 um.
        (
            [[(0, 0), (30_000, -3000), (60_000, 0), (60_000, 4000), (30_000, 7000), (0, 4000)]],
            {FEATURE: "4 um"},
        ),
        # A frame that was cut open is no width.
        (without(rectangle(0, 0, 60_000, 60_000), turned(rectangle(0, 0, 9000, 9000), 0.4) + 25_000), {}),
    ],
)
def test_known_shapes(chrome, shapes, expected) -> None:
    found = broken(layout_of(*shapes, is_round=True), chrome)
    assert set(found) == set(expected)
    for rule, value in expected.items():
        assert found[rule].startswith(value)
    # What is drawn and what is not change places with the tone.
    swapped = {FEATURE: GAP, GAP: FEATURE, CONTACTS: CONTACTS}
    assert set(broken(layout_of(*shapes, is_round=True), chrome, "chrome")) == {swapped[rule] for rule in expected}


def test_lobes_of_any_direction_are_drawn_and_their_contact_found(chrome) -> None:
    eight = np.array([(0, 0), (10, 0), (10, 30), (30, 30), (30, 10), (0, 10)]) * 1000
    layout = layout_of(turned(eight, math.atan2(3, 4)))
    areas = slanted_edges.boundary_of(layout.united, layout.united_sizes, 1e-3)
    signed, _ = slanted_edges.enclosed(areas, slanted_edges.corners_of(areas))
    assert sorted(np.round(signed / 1e6, 3)) == [100, 400]
    assert broken(layout, chrome) == {CONTACTS: "found at 1 place"}
    star = [
        (40_000 * math.cos(turn), 40_000 * math.sin(turn))
        for turn in (math.pi / 2 + 0.8 * math.pi * i for i in range(5))
    ]
    layout = layout_of(np.rint(star))
    # Ten outer corners: the middle of the star, which it winds round twice, is drawn.
    boundary = slanted_edges.boundary_of(layout.united, layout.united_sizes, 1e-3)
    assert len(boundary.start) == 10
    assert FEATURE in broken(layout, chrome)


def test_a_lobe_of_the_other_turn_takes_nothing_from_what_it_lies_on() -> None:
    eight = turned(np.array([(0, 0), (10, 0), (10, 30), (30, 30), (30, 10), (0, 10)]), 0.3) * 1000
    plate = rectangle(-50_000, -50_000, 100_000, 100_000)
    for shapes in ([eight, plate], [plate, eight], [eight, eight[::-1], plate[::-1]]):
        corners, sizes = united(np.concatenate(shapes), np.array([len(shape) for shape in shapes]))
        assert (len(sizes), gdstk.Polygon(corners).area()) == (1, pytest.approx(1e10))


def random_shapes(generator: np.random.Generator) -> list[np.ndarray]:
    count = int(generator.integers(1, 8))
    return [generator.integers(0, 20_000, (int(generator.integers(3, 10)), 2)).astype(float) for _ in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_the_union_of_crossing_shapes_is_that_of_klayout(seed) -> None:
    db = pytest.importorskip("klayout.db", reason="KLayout is a second opinion, not a dependency")
    shapes = random_shapes(np.random.default_rng(seed))
    corners, sizes = united(np.concatenate(shapes), np.array([len(shape) for shape in shapes]))
    ends = np.cumsum(sizes)
    area = sum(gdstk.Polygon(corners[end - size : end]).area() for end, size in zip(ends, sizes, strict=True))
    region = db.Region()
    for shape in shapes:
        alone = db.Region(db.Polygon([db.Point(int(x) * 100, int(y) * 100) for x, y in shape], True))
        region += alone.merged(False, 0)
    assert area == pytest.approx(region.merged().area() / 1e4, abs=200)
    boundary = slanted_edges.boundary_of(corners, sizes, 1e-3)
    signed, _ = slanted_edges.enclosed(boundary, slanted_edges.corners_of(boundary))
    assert signed.sum() == pytest.approx(area, abs=1)


def test_an_area_too_small_is_found_and_one_around_others_is_said_to_be_open(changed) -> None:
    profile = changed(lithography__min_area_um2=100.0)
    island = turned(rectangle(0, 0, 9000, 11_000), math.atan2(3, 4))
    assert broken(layout_of(island), profile) == {AREA: "less at 1 place"}
    hole = without(
        turned(rectangle(0, 0, 50_000, 50_000), math.atan2(3, 4)),
        turned(rectangle(20_000, 20_000, 9000, 11_000), math.atan2(3, 4)),
    )
    assert broken(layout_of(*hole), profile) == {AREA: "less at 1 place"}
    profile = changed(lithography__min_area_um2=600.0)
    ring = without(
        turned(rectangle(0, 0, 40_000, 40_000), math.atan2(3, 4)),
        turned(rectangle(6000, 6000, 28_000, 28_000), math.atan2(3, 4)),
    )
    checked = check_slanted(layout_of(*ring), profile, "clear")
    assert AREA not in {breach.violation.name for breach in checked.breaches}  # 816 um2
    profile = changed(lithography__min_area_um2=820.0)
    checked = check_slanted(layout_of(*ring), profile, "clear")
    assert {what for what, _ in checked.open} | {found.violation.name for found in checked.breaches} >= {AREA}


def test_what_is_too_much_to_compare_is_said_to_be_open(chrome, monkeypatch) -> None:
    layout = layout_of(turned(rectangle(0, 0, 9000, 9000), math.atan2(3, 4)))
    monkeypatch.setattr(slanted_edges, "MAX_PIECES", 3)
    checked = check_slanted(layout, chrome, "clear")
    assert (checked.measured, checked.open) == (
        False,
        [("widths and corner contacts", "4 edges are 0.036 mm long together")],
    )
    monkeypatch.setattr(slanted_edges, "MAX_PIECES", 100)
    monkeypatch.setattr(slanted_edges, "MAX_PAIRS", 3)
    assert not check_slanted(layout, chrome, "clear").measured


def test_the_other_rules_hold_for_slanted_drawings_too(changed) -> None:
    profile = changed(lithography__max_vertices=5)
    shape = np.array([(0, 0), (20, 0), (20, 0), (30, 10), (30, 30), (20, 40), (0, 40)]) * 1000
    layout = layout_of(shape, np.array([(0, 10**8 + 2_000_000), (30_000, 10**8 + 2_000_000), (0, 10**8 + 2_090_000)]))
    found = {
        breach.violation.name: str(breach.violation) for breach in check_slanted(layout, profile, "clear").breaches
    }
    assert "at x = 0 um, y = 0 um: vertices is 7 in one polygon, the limit is 5" in found["vertices"]
    assert "at x = 20 um, y = 0 um: doubled vertices is found at 1 places" in found["doubled vertices"]
    assert "extents is 0.03 x 102.09 mm, the limit is the plate" in found["extents"]
    assert "cell name" not in found
    named = check_slanted(layout._replace(cell="main"), profile, "clear").breaches
    assert "cell name" in {breach.violation.name for breach in named}
    with pytest.raises(FileError, match="nothing is drawn in it"):
        check_slanted(layout_of([(0, 0), (10, 10), (5, 5)]), profile, "clear")


def test_the_picture_shows_what_is_drawn() -> None:
    layout = layout_of(turned(rectangle(0, 0, 40_000, 20_000), 0.5))
    cells = picture_cells(layout, "clear")
    drawn = float(np.diff(cells.y).astype(float) @ cells.levels @ np.diff(cells.x))
    assert drawn == pytest.approx(8e8, rel=0.01)
    assert picture_cells(layout, "chrome").levels.sum() == (1 - cells.levels).sum()


@pytest.mark.parametrize("ending", ["gds", "oas"])
def test_a_slanted_file_is_checked_as_a_whole(tmp_path, chrome, ending, read_here) -> None:
    path = tmp_path / f"mask.{ending}"
    library = gdstk.Library("L", unit=1e-6, precision=1e-9)
    top = library.new_cell("TOP")
    top.add(gdstk.Polygon([(0, 0), (20, 0), (30, 10), (30, 30), (20, 40), (0, 40)], layer=1))
    write = library.write_gds if ending == "gds" else library.write_oas
    write(str(path))
    findings = list(check_mask_file(path, chrome))
    assert [finding.name for finding in findings] == ["file", "tone", "widths", "rules"]
    assert findings[2].text == "no feature below 6 um, no gap below 6 um"
    top.add(gdstk.rectangle((34, 10), (44, 30), layer=2))
    write(str(path))
    with pytest.raises(LimitError, match=r"at x = .*: smallest gap is 4 um at the narrowest place, the limit is 6 um"):
        list(check_mask_file(path, chrome))
    assert (tmp_path / f"{path.name}.violations.png").is_file()
