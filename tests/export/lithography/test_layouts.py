"""Layouts of other programs: flattened as KLayout does, read in a child that may die, bounded before they expand."""

import math
from pathlib import Path

import numpy as np
import pytest
from layout_bytes import (
    SQUARE,
    area_um2,
    boundary,
    cell,
    gds,
    library_of,
    on_layer,
    path_of,
    points,
    real,
    record,
    reference,
    write,
)

from cidesign.designs.checking import check_path
from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.export.aperture import foreign as lithography_foreign
from cidesign.export.aperture.drawing import first_difference
from cidesign.export.aperture.files import read_mask
from cidesign.export.aperture.foreign import open_mask
from cidesign.export.aperture.gds.layout import read_layout
from cidesign.export.aperture.gds.outlines import Outlines
from cidesign.export.aperture.verify import check_mask_file

gdstk = pytest.importorskip("gdstk", reason="gdstk is not installed")

pytestmark = pytest.mark.usefixtures("read_here")


def saved(folder: Path, library, ending: str) -> Path:
    path = folder / f"mask.{ending}"
    (library.write_gds if ending == "gds" else library.write_oas)(str(path))
    return path


@pytest.mark.parametrize("ending", ["gds", "oas"])
def test_an_array_of_a_cell_is_what_it_stands_for(tmp_path, chrome, ending) -> None:
    library = library_of()
    leaf, top = library.new_cell("LEAF"), library.new_cell("TOP")
    leaf.add(gdstk.rectangle((0, 0), (10, 10), layer=1))
    top.add(gdstk.Reference(leaf, (5, 5), columns=10, rows=4, spacing=(20, 25)))
    path = saved(tmp_path, library, ending)
    mask = open_mask(path).mask
    assert mask is not None
    assert (mask.cells.levels.sum(), mask.cells.levels.shape) == (40, (7, 19))
    assert list(mask.cells.x[:3]) == [5000, 15_000, 25_000]
    report = check_path(path, chrome)
    value, text = report.value, report.text
    assert text == f"{path}: all 4 checks passed"
    assert (
        "190 x 85 um, outlines; cell TOP with all below it (cells: 2, shapes: 40), in steps of 1 nm"
        in (value["checks"][0]["result"])
    )
    top.add(gdstk.Reference(leaf, (300, 0)), gdstk.Reference(leaf, (315, 0)))
    with pytest.raises(LimitError, match=r"at x = 310 um, y = 10 um: smallest gap is less at"):
        list(check_mask_file(saved(tmp_path, library, ending), chrome))


def random_library(generator: np.random.Generator, quarters: bool):
    """Three levels of references with every kind of placement."""
    library = library_of()
    below = library.new_cell("LEAF")
    x, y = generator.integers(-20, 20, 2).tolist()
    below.add(
        gdstk.Polygon([(x, y), (x + 30, y), (x + 30, y + 10), (x + 10, y + 10), (x + 10, y + 40), (x, y + 40)], layer=1)
    )
    below.add(gdstk.FlexPath([(0, 0), (40, 0), (40, 30)], 6, simple_path=True, layer=2, ends="extended"))
    for level in range(3):
        above = library.new_cell(f"LEVEL{level}")
        for _ in range(2):
            angle = generator.integers(0, 4) * math.pi / 2 if quarters else generator.uniform(0, 2 * math.pi)
            placed = {
                "rotation": angle,
                "magnification": float(generator.choice([0.5, 1, 2])),
                "x_reflection": bool(generator.integers(0, 2)),
            }
            if generator.integers(0, 2):
                placed.update(columns=2, rows=3, spacing=(150, 90))
            above.add(gdstk.Reference(below, generator.integers(-200, 200, 2).tolist(), **placed))
        below = above
    return library


@pytest.mark.parametrize("ending", ["gds", "oas"])
@pytest.mark.parametrize("seed", range(6))
def test_any_placement_gives_what_gdstk_flattens(tmp_path, ending, seed) -> None:
    library = random_library(np.random.default_rng(seed), quarters=seed % 2 == 0)
    path = saved(tmp_path, library, ending)
    layout = read_layout(path, "gds" if ending == "gds" else "oasis")
    assert (layout.cell, layout.cells) == ("LEVEL2", 4)
    read = (gdstk.read_gds if ending == "gds" else gdstk.read_oas)(str(path))
    flat = read.top_level()[0].get_polygons()
    assert sorted(len(polygon.points) for polygon in flat) == sorted(layout.sizes.tolist())
    ours = np.sort(layout.corners.sum(axis=1))
    np.testing.assert_allclose(ours, np.sort(1000 * np.concatenate([p.points for p in flat]).sum(axis=1)), atol=1e-3)
    if seed % 2 == 0:
        assert layout.rectilinear


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ending", ["gds", "oas"])
def test_any_placement_gives_what_klayout_draws(tmp_path, seed, ending) -> None:
    db = pytest.importorskip("klayout.db", reason="KLayout is a second opinion, not a dependency")
    path = saved(tmp_path, random_library(np.random.default_rng(seed), quarters=seed % 2 == 0), ending)
    drawn = db.Layout()
    drawn.read(str(path))
    region = db.Region()
    for index in drawn.layer_indexes():
        region += db.Region(drawn.top_cells()[0].begin_shapes_rec(index))
    # KLayout rounds turned corners to 1 nm.
    expected = region.merged().area() / 1e6
    assert area_um2(read_layout(path, "gds" if ending == "gds" else "oasis")) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("ending", ["gds", "oas"])
@pytest.mark.parametrize(
    ("ends", "area"), [("flush", 54 * 8 + 46 * 8), ("extended", 58 * 8 + 50 * 8), ((3, 7), 57 * 8 + 53 * 8)]
)
def test_paths_are_the_areas_that_they_draw(tmp_path, chrome, ending, ends, area) -> None:
    library = library_of()
    library.new_cell("TOP").add(
        gdstk.FlexPath([(0, 0), (50, 0), (50, 50)], 8, simple_path=True, layer=1, ends=ends),
    )
    path = saved(tmp_path, library, ending)
    mask = open_mask(path).mask
    assert mask is not None
    assert np.diff(mask.cells.y) @ mask.cells.levels.astype(int) @ np.diff(mask.cells.x) == area * 10**6
    assert list(check_mask_file(path, chrome))[-1].name == "rules"


def test_round_ends_are_measured_and_their_grid_is_said_to_be_open(tmp_path, chrome) -> None:
    library = library_of()
    library.new_cell("TOP").add(gdstk.FlexPath([(0, 0), (50, 0)], 6, simple_path=True, layer=1, ends="round"))
    path = saved(tmp_path, library, "gds")
    layout = read_layout(path, "gds")
    assert area_um2(layout) == pytest.approx(300 + math.pi * 9, abs=0.01)
    report = check_path(path, chrome)
    value, text = report.value, report.text
    assert text == f"{path}: 4 passed, 1 not evaluated"
    assert value["checks"][-1]["check"] == "grid of round shapes"
    assert value["checks"][-1]["status"] == "not evaluated"
    library.cells[0].add(gdstk.FlexPath([(0, 20), (50, 20)], 5.75, simple_path=True, layer=1, ends="round"))
    with pytest.raises(LimitError, match=r"smallest feature is 5.7.* um at the narrowest place, the limit is 6 um"):
        list(check_mask_file(saved(tmp_path, library, "gds"), chrome))


@pytest.mark.parametrize("ending", ["gds", "oas"])
@pytest.mark.parametrize(
    ("unit", "precision"), [(1e-3, 1e-9), (1e-6, 5e-9), (1e-6, 5e-10), (1.0, 1e-8), (25.4e-6, 2.54e-8)]
)
def test_any_unit_is_read_with_its_true_size(tmp_path, ending, unit, precision) -> None:
    library = library_of(unit, precision)
    steps = round(12.7e-6 / precision)
    side = steps * precision / unit
    library.new_cell("TOP").add(gdstk.rectangle((0, 0), (side, 2 * side), layer=1))
    layout = read_layout(saved(tmp_path, library, ending), "gds" if ending == "gds" else "oasis")
    np.testing.assert_allclose(layout.corners.max(axis=0), [12_700, 25_400], atol=1e-3)


def test_corners_between_nm_are_off_the_grid_never_rounded(tmp_path, chrome) -> None:
    library = library_of(1e-6, 1e-10)
    library.new_cell("TOP").add(gdstk.rectangle((0, 0), (10.0001, 10), layer=1))
    with pytest.raises(LimitError, match=r"at x = 10.0001 um, y = 0 um: grid is off at 2 of 4 corners"):
        list(check_mask_file(saved(tmp_path, library, "gds"), chrome))
    turned = library_of()
    leaf, top = turned.new_cell("LEAF"), turned.new_cell("TOP")
    leaf.add(gdstk.rectangle((0, 0), (10, 10), layer=1))
    top.add(gdstk.Reference(leaf, (0, 0), rotation=math.radians(30)))
    with pytest.raises(LimitError, match=r"at x = 8.660254 um, y = 5 um: grid is off at 3 of 4 corners"):
        list(check_mask_file(saved(tmp_path, turned, "oas"), chrome))


@pytest.mark.parametrize("ending", ["gds", "oas"])
def test_the_cell_is_asked_for_and_taken(tmp_path, chrome, ending) -> None:
    library = library_of()
    library.new_cell("SOUND").add(gdstk.rectangle((0, 0), (10, 10), layer=1))
    library.new_cell("NARROW").add(gdstk.rectangle((0, 0), (3, 10), layer=1))
    path = saved(tmp_path, library, ending)
    with pytest.raises(InputError, match=r"has 2 cells that no other refers to; say which .* one of SOUND, NARROW"):
        list(check_mask_file(path, chrome))
    assert list(check_mask_file(path, chrome, cell="SOUND"))[-1].name == "rules"
    with pytest.raises(LimitError, match="smallest feature"):
        list(check_mask_file(path, chrome, cell="NARROW"))
    with pytest.raises(InputError, match=r"has no cell 'OTHER'; say .* one of SOUND, NARROW"):
        list(check_mask_file(path, chrome, cell="OTHER"))


def nested(levels: int, copies: int):
    library = library_of()
    below = library.new_cell("LEAF")
    below.add(gdstk.rectangle((0, 0), (10, 10), layer=1))
    for level in range(levels):
        above = library.new_cell(f"LEVEL{level}")
        above.add(*(gdstk.Reference(below, (20 * number, 0)) for number in range(copies)))
        below = above
    return library, below


@pytest.mark.parametrize("ending", ["gds", "oas"])
def test_bombs_are_counted_not_expanded(tmp_path, ending) -> None:
    layout = "gds" if ending == "gds" else "oasis"
    library, _ = nested(60, 2)
    with pytest.raises(FileError, match=r"stands for at least 2305843009213693951 shapes .* at most 2000000"):
        read_layout(saved(tmp_path, library, ending), layout)
    library, top = nested(1, 1)
    top.add(gdstk.Reference(library.cells[0], (0, 0), columns=30_000, rows=30_000, spacing=(20, 20)))
    with pytest.raises(FileError, match="stands for at least 900000002 shapes"):
        read_layout(saved(tmp_path, library, ending), layout)
    library, _ = nested(250, 1)
    with pytest.raises(FileError, match="over more than 200 levels"):
        read_layout(saved(tmp_path, library, ending), layout)


def test_a_repetition_without_end_is_counted(tmp_path) -> None:
    library = library_of()
    shape = gdstk.rectangle((0, 0), (10, 10), layer=1)
    shape.repetition = gdstk.Repetition(40_000, 50_000, spacing=(20, 20))
    library.new_cell("TOP").add(shape)
    with pytest.raises(FileError, match="stands for at least 2000000000 shapes of 8000000000 corners"):
        read_layout(saved(tmp_path, library, "oas"), "oasis")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([cell("A", boundary(), reference("B"))], "cell 'A' refers to 'B', which is not in the file"),
        ([cell("T", reference("A")), cell("A", boundary()), cell("A", boundary())], "2 cells have the name 'A'"),
        ([cell("A", reference("B")), cell("B", reference("A"))], "refer to one another in a circle"),
        (
            [cell("T", reference("A")), cell("A", reference("B")), cell("B", boundary(), reference("A"))],
            "cell '[AB]' contains itself",
        ),
        ([cell("A", path_of([(0, 0), (50_000, 0)], 0))], "a path from x = 0 um, y = 0 um has no width"),
        ([cell("A", path_of([(0, 0)], 4000, 2))], "a path of one point"),
        (
            [cell("A", path_of([(0, 0), (50_000, 0), (0, 10_000)], 8000))],
            "a path turns by more than 90 degrees at x = 50 um, y = 0 um",
        ),
        ([cell("A", on_layer(0x2D00, points(*SQUARE)), reference("B"))], "holds a box element, which is no area"),
        ([cell("A", reference("A", 0, 0, record(0x1A01, b"\0\4")))], "turns or magnifies a cell absolutely"),
        ([cell("A", path_of([(0, 0), (50_000, 0)], 8000)), b"\0\0\0\0"], "it is damaged"),
        ([cell("A", path_of([(0, 0), (9000, 0)], 8000), boundary(*SQUARE[:-1]))], "is not a closed area"),
        (
            [cell("T", reference("A", 0, 0, record(0x1A01, b"\0\0") + record(0x1B05, real(2.0)))),
             cell("A", path_of([(0, 0), (9000, 0)], -8000))],
            "keeps its width when its cell is magnified",
        ),
    ],
)  # fmt: skip
def test_what_is_damaged_or_drawn_differently_is_refused(tmp_path, chrome, cells, message) -> None:
    with pytest.raises(FileError, match=message):
        list(check_mask_file(write(tmp_path, gds(*cells)), chrome))


@pytest.mark.parametrize("step_m", [0.0, -1e-9, 1e40])
def test_units_without_a_size_are_refused(tmp_path, chrome, step_m) -> None:
    path = write(
        tmp_path, gds(cell("A", boundary()), step_m=1e-9).replace(real(1e-9), real(step_m) if step_m else bytes(8))
    )
    with pytest.raises(FileError, match="save it with sound units"):
        list(check_mask_file(path, chrome))


def test_a_path_that_keeps_its_width_is_read_where_nothing_is_magnified(tmp_path, chrome) -> None:
    path = write(tmp_path, gds(cell("T", reference("A", 7000)), cell("A", path_of([(0, 0), (9000, 0)], -8000))))
    mask = open_mask(path).mask
    assert mask is not None
    assert (mask.cells.x.tolist(), mask.cells.y.tolist()) == ([7000, 16_000], [-4000, 4000])


def test_what_both_readers_read_must_be_alike(tmp_path, chrome, monkeypatch) -> None:
    path = write(tmp_path, gds(cell("A", boundary())))
    layout = read_layout(path, "gds")
    for changed in (
        layout._replace(corners=layout.corners * 2),
        layout._replace(layers=layout.layers[:, ::-1]),
        layout._replace(rectilinear=False),
    ):
        monkeypatch.setattr(lithography_foreign, "read_layout", lambda *_, changed=changed: changed)
        with pytest.raises(FileError, match="our reader and gdstk read different drawings in it"):
            list(check_mask_file(path, chrome))


def test_a_file_of_many_shapes_is_read_once_and_that_is_said(tmp_path, chrome, monkeypatch) -> None:
    monkeypatch.setattr(lithography_foreign, "_MOST_READ_TWICE", 0)
    path = write(tmp_path, gds(cell("A", boundary())))
    text = check_path(path, chrome).text
    assert text == f"{path}: 4 passed, 1 not evaluated"


def test_without_gdstk_our_own_files_are_checked_and_others_name_the_extra(tmp_path, chrome, monkeypatch) -> None:
    monkeypatch.setattr(lithography_foreign, "gdstk_is_installed", lambda: False)
    path = write(tmp_path, gds(cell("A", boundary())))
    assert list(check_mask_file(path, chrome))[-1].name == "rules"
    with pytest.raises(InputError, match=r"gdstk reads one cell of several: pip install gdstk"):
        list(check_mask_file(path, chrome, cell="A"))
    write(tmp_path, gds(cell("A", boundary()), cell("B", reference("A"))))
    with pytest.raises(InputError, match=r"holds a reference to another cell.*pip install gdstk"):
        list(check_mask_file(path, chrome))


def flat(path: Path) -> Outlines:
    outlines = read_mask(path).outlines
    assert outlines is not None
    return outlines


@pytest.mark.parametrize("ending", ["gds", "oas"])
def test_a_flat_file_and_its_hierarchy_are_the_same_drawing(tmp_path, ending) -> None:
    library = random_library(np.random.default_rng(2), quarters=True)
    path = saved(tmp_path, library, ending)
    layout = read_layout(path, "gds" if ending == "gds" else "oasis")
    top = library.top_level()[0].flatten()
    alone = library_of()
    alone.add(top)
    again = tmp_path / f"flat.{ending}"
    polygons = top.get_polygons()
    top.remove(*top.paths, *top.polygons)
    top.add(*polygons)
    (alone.write_gds if ending == "gds" else alone.write_oas)(str(again))
    assert first_difference(layout.outlines().cells(), flat(again).cells()) is None


class TestInTheChild:
    """With the process as it is started by the command."""

    @pytest.fixture
    def read_here(self) -> None:
        """Not here."""

    @pytest.mark.parametrize("ending", ["gds", "oas"])
    def test_damage_is_one_line_whatever_becomes_of_the_child(self, tmp_path, chrome, ending) -> None:
        library = random_library(np.random.default_rng(1), quarters=True)
        path = tmp_path / f"mask.{ending}"
        if ending == "gds":
            library.write_gds(str(path))
        else:
            library.write_oas(str(path), compression_level=0)
        sound = path.read_bytes()
        generator = np.random.default_rng(3)
        for _ in range(4):
            content = bytearray(sound)
            for place in generator.integers(0, len(content), 4):
                content[place] = generator.integers(0, 256)
            path.write_bytes(content)
            try:
                list(check_mask_file(path, chrome))
            except CidesignError as error:
                said = str(error)
            else:
                continue
            assert "\n" not in said
            assert path.name in said

    def test_a_child_that_dies_is_one_line(self, tmp_path, chrome, monkeypatch) -> None:
        (tmp_path / "dying").mkdir()
        (tmp_path / "dying" / "gdstk.py").write_text("import os\ndef read_gds(*_, **__): os.abort()\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "dying"))
        path = write(tmp_path, gds(cell("A", boundary()), cell("B", reference("A"))))
        with pytest.raises(FileError, match=r"not a sound GDSII file \(its reader crashed: signal 6\)"):
            list(check_mask_file(path, chrome))
