"""GDSII and OASIS: rectangles that gdstk writes, read by our readers, by gdstk and by KLayout, also when re-saved."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError, InputError
from cidesign.export.aperture.drawing import first_difference
from cidesign.export.aperture.files import read_code, read_mask
from cidesign.export.aperture.gds.outlines import Outlines
from cidesign.export.aperture.gds.read_gds import read_gds
from cidesign.export.aperture.gds.read_oasis import read_oasis
from cidesign.export.aperture.gds.write import build_library, plate_rectangles, write_gds, write_oasis
from cidesign.export.aperture.layout import OrderOptions, plan_plate

gdstk = pytest.importorskip("gdstk", reason="gdstk is not installed")

ORDERS = [
    {"tone": tone, "reading": reading, "fiducials": fiducials}
    for tone in ("clear", "chrome")
    for reading in ("chrome_up", "chrome_down")
    for fiducials in (True, False)
]


def write_both(folder: Path, plate, name="CODE", join_rows=True) -> list[Path]:
    library = build_library(plate, name, join_rows)
    paths = [folder / "mask.gds", folder / "mask.oas"]
    write_gds(library, paths[0])
    write_oasis(library, paths[1])
    return paths


def light(path: Path, plate) -> np.ndarray:
    """Which code pixels gdstk finds covered, as a picture in the file's orientation: a reading of its own."""
    library = (gdstk.read_gds if path.suffix == ".gds" else gdstk.read_oas)(str(path))
    polygons = [polygon for cell in library.cells for polygon in cell.get_polygons()]
    placement = plate.placement
    centres = [
        ((column + 0.5) * 10 - placement.origin_x_nm / 1000, placement.origin_y_nm / 1000 - (row + 0.5) * 10)
        for row in range(placement.rows)
        for column in range(placement.columns)
    ]
    covered = np.array(gdstk.inside(centres, polygons))
    return covered.reshape(placement.rows, placement.columns).astype(np.uint8)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("join_rows", [True, False])
def test_the_letter_comes_back_through_both_formats_and_two_readers(tmp_path, letter, chrome, order, join_rows) -> None:
    plate = plan_plate(letter, chrome, OrderOptions(**order))
    seen = letter.levels if order["reading"] == "chrome_up" else letter.levels[:, ::-1]
    expected = seen if order["tone"] == "clear" else 1 - seen
    for path in write_both(tmp_path, plate, join_rows=join_rows):
        mask = read_mask(path)
        assert first_difference(mask.from_code(plate.placement), plate.drawn) is None
        assert mask.outlines.cell_names == ["CODE"]
        assert mask.outlines.largest()[0] == 4
        np.testing.assert_array_equal(read_code(path, plate.placement), letter.levels)
        np.testing.assert_array_equal(light(path, plate), expected)


@pytest.mark.parametrize("order", ORDERS[::3])
@pytest.mark.parametrize("bias_um", [0.5, -0.25])
def test_edge_bias_goes_through_both_formats(tmp_path, letter, changed, mask_of, order, bias_um) -> None:
    profile = changed(lithography__edge_bias_um=bias_um)
    plate = plan_plate(mask_of(profile, letter.levels), profile, OrderOptions(**order))
    for path in write_both(tmp_path, plate):
        assert first_difference(read_mask(path).from_code(plate.placement), plate.drawn) is None
        np.testing.assert_array_equal(read_code(path, plate.placement), letter.levels)


def test_rectangles_overlap_nowhere_and_those_of_the_code_stay_inside_it(code, chrome) -> None:
    plate = plan_plate(code, chrome, OrderOptions(tone="chrome"))
    for join_rows in (True, False):
        (layer, boxes), (other, around) = plate_rectangles(plate, join_rows)
        assert (layer, other) == ((1, 0), (2, 0))
        assert boxes.min() >= 0
        assert boxes[:, 2].max() <= 500_000
        assert boxes[:, 3].max() <= 370_000
        sizes = [(box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) for box in (boxes, around)]
        drawn = plate.drawn
        assert sum(size.sum() for size in sizes) == np.diff(drawn.y) @ drawn.levels.astype(int) @ np.diff(drawn.x)
    assert len(plate_rectangles(plate, True)[0].boxes) < len(plate_rectangles(plate, False)[0].boxes)


def test_the_same_design_gives_the_same_bytes(tmp_path, letter, chrome) -> None:
    plate = plan_plate(letter, chrome, OrderOptions())
    first = [path.read_bytes() for path in write_both(tmp_path, plate)]
    assert first == [path.read_bytes() for path in write_both(tmp_path, plate)]


@pytest.mark.parametrize("order", ORDERS[::2])
@pytest.mark.parametrize("how", ["as it is", "merged", "merged through corners"])
def test_klayout_reads_the_same_area_and_its_files_are_read_back(tmp_path, letter, chrome, order, how) -> None:
    db = pytest.importorskip("klayout.db", reason="KLayout is a second opinion, not a dependency")
    plate = plan_plate(letter, chrome, OrderOptions(**order))
    expected = plan_area(plate)
    for path in write_both(tmp_path, plate):
        layout = db.Layout()
        layout.read(str(path))
        (top,) = layout.top_cells()
        region = db.Region()
        again = db.Layout()
        again.dbu = 0.001
        cell = again.create_cell("AGAIN")
        for index in layout.layer_indexes():
            part = db.Region(top.begin_shapes_rec(index))
            region += part
            if how != "as it is":
                part.min_coherence = how == "merged"
                part.merge()
            cell.shapes(again.layer(layout.get_info(index))).insert(part)
        assert region.merged().area() == expected
        for ending in (".gds", ".oas"):
            resaved = tmp_path / f"again{ending}"
            again.write(str(resaved))
            mask = read_mask(resaved)
            assert first_difference(mask.from_code(plate.placement), plate.drawn) is None
            np.testing.assert_array_equal(read_code(resaved, plate.placement), letter.levels)


def plan_area(plate) -> int:
    drawn = plate.drawn
    return int(np.diff(drawn.y) @ drawn.levels.astype(int) @ np.diff(drawn.x))


@pytest.mark.parametrize("level", [0, 2, 10])
def test_every_way_that_klayout_packs_repetitions_is_read(tmp_path, code, chrome, level) -> None:
    db = pytest.importorskip("klayout.db", reason="KLayout is a second opinion, not a dependency")
    plate = plan_plate(code, chrome, OrderOptions())
    path = write_both(tmp_path, plate)[0]
    layout = db.Layout()
    layout.read(str(path))
    options = db.SaveLayoutOptions()
    options.format = "OASIS"
    options.oasis_compression_level = level
    options.oasis_write_cblocks = level > 0
    layout.write(str(tmp_path / "again.oas"), options)
    np.testing.assert_array_equal(read_code(tmp_path / "again.oas", plate.placement), code.levels)


def test_gdstk_repetitions_and_labels_are_read(tmp_path) -> None:
    library = gdstk.Library("L", unit=1e-6, precision=1e-9)
    cell = library.new_cell("CELL")
    for number, repetition in enumerate(
        (
            gdstk.Repetition(3, 2, (20, 30)),
            gdstk.Repetition(2, 3, v1=(20, 5), v2=(0, 40)),
            gdstk.Repetition(offsets=[(20, 3), (50, 7), (5, 30)]),
            gdstk.Repetition(x_offsets=[20, 55, 90]),
            gdstk.Repetition(y_offsets=[20, 55, 90]),
        )
    ):
        polygon = gdstk.rectangle((200 * number, 0), (200 * number + 10, 5), layer=1)
        polygon.repetition = repetition
        ell = gdstk.Polygon([(0, 400), (9, 400), (9, 403), (3, 403), (3, 410), (0, 410)], layer=1)
        ell.translate(200 * number, 0)
        ell.repetition = repetition
        cell.add(polygon, ell)
    cell.add(gdstk.Label("a note", (5, 5)))
    path = tmp_path / "mask.oas"
    library.write_oas(str(path))
    found = read_oasis(path).cells()
    flat = Outlines(path)
    for polygon in gdstk.read_oas(str(path)).cells[0].get_polygons():
        flat.add((1, 0), np.round(polygon.points * 1000).astype(np.int64)[None])
    assert first_difference(found, flat.cells()) is None


def library_of(*shapes, unit=1e-6, precision=1e-9):
    library = gdstk.Library("L", unit=unit, precision=precision)
    library.new_cell("CELL").add(*shapes)
    return library


BOX = ((0, 0), (10, 10))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: library_of(gdstk.rectangle(*BOX, layer=7)), r"layer 1/0, the code, is missing; found: 7/0"),
        (
            lambda: library_of(gdstk.rectangle(*BOX, layer=1), gdstk.rectangle(*BOX, layer=9, datatype=3)),
            r"layers 1/0, 9/3; the layer map is 1/0 \(the code\), 2/0",
        ),
        (lambda: library_of(gdstk.Polygon([(0, 0), (10, 0), (5, 9)], layer=1)), r"an edge at x = .* is slanted"),
        (lambda: library_of(gdstk.FlexPath([(0, 0), (50, 0)], 5, simple_path=True, layer=1)), "holds a path"),
    ],
)
@pytest.mark.parametrize("ending", ["gds", "oas"])
def test_what_is_no_coded_aperture_is_refused(tmp_path, build, message, ending) -> None:
    path = tmp_path / f"mask.{ending}"
    library = build()
    (library.write_gds if ending == "gds" else library.write_oas)(str(path))
    with pytest.raises(FileError, match=message):
        read_mask(path)


@pytest.mark.parametrize("ending", ["gds", "oas"])
def test_references_are_refused_with_what_to_do(tmp_path, ending) -> None:
    library = library_of(gdstk.rectangle(*BOX, layer=1))
    library.new_cell("TOP").add(gdstk.Reference(library.cells[0], (5, 5)))
    path = tmp_path / f"mask.{ending}"
    (library.write_gds if ending == "gds" else library.write_oas)(str(path))
    with pytest.raises(FileError, match="holds a reference to another cell; flatten the cell"):
        read_mask(path)


def test_another_unit_is_refused(tmp_path) -> None:
    box = gdstk.rectangle(*BOX, layer=1)
    for number, (unit, precision) in enumerate([(1e-3, 1e-9), (1e-6, 1e-10), (1e-6, 5e-9)]):
        path = tmp_path / f"{number}.gds"
        library_of(box, unit=unit, precision=precision).write_gds(str(path))
        with pytest.raises(FileError, match=r"its database unit is .* the order is in um with a database unit of 1 nm"):
            read_gds(path)
    path = tmp_path / "mask.oas"
    library_of(box, precision=5e-9).write_oas(str(path))
    with pytest.raises(FileError, match=r"its grid has 200 steps per um .* the order has a grid of 1 nm"):
        read_oasis(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gds", b"", "not a GDSII file"),
        ("a.gds", b"%SEMI-OASIS\r\n", "not a GDSII file"),
        ("a.gds", struct.pack(">HHH", 6, 2, 600), "cut short"),
        ("a.gds", struct.pack(">HHHHH", 6, 2, 600, 4, 0x0400), "states no unit"),
        ("a.gds", struct.pack(">HHHHH", 6, 2, 600, 2, 0x0400), "is 2 bytes long; it is damaged"),
        ("a.oas", b"II*\0", "not an OASIS file"),
        ("a.oas", b"%SEMI-OASIS\r\n", "cut short"),
        ("a.oas", b"%SEMI-OASIS\r\n\x05", "start record is missing"),
        ("a.txt", b"", "a mask file ends with .tif, .tiff, .gds"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, message) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CidesignError, match=message):
        read_mask(path)


def test_a_missing_file_is_said(tmp_path) -> None:
    for name in ("a.gds", "a.oas"):
        with pytest.raises(FileError, match="cannot be read"):
            read_mask(tmp_path / name)


@pytest.mark.parametrize("ending", ["gds", "oas", "raw.oas"])
def test_damage_is_a_file_error_never_a_traceback(tmp_path_factory, ending) -> None:
    """gdstk itself crashes the process on such files, which is why they are not read by it."""
    path = tmp_path_factory.mktemp("mask") / f"mask.{ending}"
    ell = gdstk.Polygon([(0, 40), (9, 40), (9, 43), (3, 43), (3, 50), (0, 50)], layer=1)
    ell.repetition = gdstk.Repetition(3, 2, (20, 30))
    library = library_of(*(gdstk.rectangle((x, 0), (x + 5, 9), layer=1) for x in range(0, 100, 10)), ell)
    if ending == "gds":
        library.write_gds(str(path))
    else:  # uncompressed, so that damage reaches the records
        library.write_oas(str(path), compression_level=0 if "raw" in ending else 6)
    sound = path.read_bytes()
    assert read_mask(path).cells.levels.any()

    @given(st.data())
    @settings(max_examples=300, deadline=None)
    def damage(data) -> None:
        content = bytearray(sound)
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            content = content[: data.draw(st.integers(0, len(content)))]
        path.write_bytes(content)
        try:
            read_mask(path)
        except CidesignError as error:
            said = str(error)
        else:
            return
        assert said.startswith(str(path))

    damage()


def test_without_gdstk_the_extra_is_named(monkeypatch, letter, chrome) -> None:
    monkeypatch.setitem(sys.modules, "gdstk", None)
    with pytest.raises(InputError, match=r"pip install gdstk"):
        build_library(plan_plate(letter, chrome, OrderOptions()), "CODE", True)
