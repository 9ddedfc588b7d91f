"""Outlines that cross, touch or cover themselves: drawn where they wind round either way, as mask shops fill them."""

from pathlib import Path

import numpy as np
import pytest

from cidesign.errors import FileError, LimitError
from cidesign.export.aperture.files import read_mask
from cidesign.export.aperture.gds import winding as gds_winding
from cidesign.export.aperture.gds.outlines import Outlines
from cidesign.export.aperture.verify import check_mask_file

gdstk = pytest.importorskip("gdstk", reason="gdstk is not installed")

pytestmark = pytest.mark.usefixtures("read_here")
CASES = Path(__file__).parents[4] / "shared" / "cases"


def area(*outlines) -> int:
    """What the outlines draw together, in units squared."""
    found = Outlines(Path("mask.gds"))
    for outline in outlines:
        found.add((1, 0), np.array(outline, dtype=np.int64)[None])
    cells = found.cells()
    return int(np.diff(cells.y) @ cells.levels.astype(int) @ np.diff(cells.x))


EIGHT = [(0, 0), (10, 0), (10, 30), (30, 30), (30, 10), (0, 10)]  # 10 x 10 and 20 x 20, of opposite turns
SHAPES = {
    "lobes of opposite turns": (EIGHT, 500),
    "equal lobes of opposite turns": ([(0, 0), (10, 0), (10, 20), (20, 20), (20, 10), (0, 10)], 200),
    "lobes of one turn": ([(0, 0), (10, 0), (10, 10), (30, 10), (30, 30), (10, 30), (10, 10), (0, 10)], 500),
    "three lobes": (
        [(0, 0), (10, 0), (10, 20), (20, 20), (20, 40), (40, 40), (40, 20), (20, 20), (20, 10), (0, 10)],
        600,
    ),
    "walked twice": ([(0, 0), (9, 0), (9, 4), (0, 4)] * 2, 36),
    "walked there and back": ([(0, 0), (9, 0), (9, 4), (9, 0), (0, 0), (0, 0)], 0),
    "a spiral over itself": ([(0, 0), (30, 0), (30, 30), (5, 30), (5, 5), (40, 5), (40, 20), (0, 20)], 1000),
    "a keyhole": (
        [(0, 0), (30, 0), (30, 30), (0, 30), (0, 10), (10, 10), (10, 20), (20, 20), (20, 10), (0, 10)],
        800,
    ),
    "a spike without a width": ([(0, 0), (10, 0), (10, 5), (50, 5), (10, 5), (10, 10), (0, 10)], 100),
    "an inlet without a width": ([(0, 0), (10, 0), (10, 5), (3, 5), (10, 5), (10, 10), (0, 10)], 100),
    "touching itself along an edge": (
        [(0, 0), (30, 0), (30, 10), (20, 10), (20, 20), (20, 10), (10, 10), (10, 30), (0, 30)],
        500,
    ),
}


@pytest.mark.parametrize(("outline", "expected"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("turned", [False, True])
def test_every_lobe_is_drawn_once(outline, expected, turned) -> None:
    outline = outline[::-1] if turned else outline
    assert area(outline) == expected
    # Over, beside and under other areas nothing is taken away.
    assert area(outline, [(-5, -5), (60, -5), (60, 60), (-5, 60)]) == 65 * 65
    assert area(outline, [(100, 0), (101, 0), (101, 1), (100, 1)], outline) == expected + 1


def random_walk(generator: np.random.Generator, steps: int, span: int) -> list[tuple[int, int]]:
    x, y = generator.integers(0, span, (2, steps)).tolist()
    return [corner for i in range(steps) for corner in ((x[i], y[i]), (x[(i + 1) % steps], y[i]))]


@pytest.mark.parametrize("few_corners", [64, 4])
def test_random_outlines_have_the_area_of_other_programs(monkeypatch, few_corners) -> None:
    monkeypatch.setattr(gds_winding, "_FEW_CORNERS", few_corners)
    generator = np.random.default_rng(13)
    for _ in range(150):
        outline = random_walk(generator, int(generator.integers(2, 20)), int(generator.integers(3, 30)))
        united = gdstk.boolean([gdstk.Polygon(outline)], [], "or", precision=1e-3)
        assert area(outline) == pytest.approx(sum(polygon.area() for polygon in united), abs=0.5)


def test_random_outlines_have_the_area_of_klayout() -> None:
    db = pytest.importorskip("klayout.db", reason="KLayout is a second opinion, not a dependency")
    generator = np.random.default_rng(14)
    for _ in range(400):
        outline = random_walk(generator, int(generator.integers(2, 40)), int(generator.integers(3, 30)))
        region = db.Region(db.Polygon([db.Point(x, y) for x, y in outline], True))
        assert area(outline) == region.merged(False, 0).area()


@pytest.mark.parametrize("ending", ["gds", "oas"])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_the_contact_between_two_lobes_is_found_in_both_formats(tmp_path, chrome, ending, scale) -> None:
    path = tmp_path / f"mask.{ending}"
    library = gdstk.Library("L", unit=1e-6, precision=1e-9)
    library.new_cell("CELL").add(gdstk.Polygon(np.array(EIGHT) * scale, layer=1))
    (library.write_gds if ending == "gds" else library.write_oas)(str(path))
    cells = read_mask(path).cells
    assert int(np.diff(cells.y) @ cells.levels.astype(int) @ np.diff(cells.x)) == round(500e6 * scale**2)
    with pytest.raises(LimitError, match="corner contacts is found at 1 place" if scale == 1 else "smallest feature"):
        list(check_mask_file(path, chrome, "clear"))


def test_the_case_of_two_unequal_lobes(tmp_path, chrome) -> None:
    path = CASES / "12_gds_self_crossing" / "fig8_unequal.gds"
    if not path.is_file():
        pytest.skip("shared/cases is not here")
    with pytest.raises(LimitError, match=r"at x = 10 um, y = 10 um: corner contacts is found at 1 place"):
        list(check_mask_file(path, chrome, "clear", tmp_path / "picture.png"))


def test_a_corner_that_an_area_covers_is_on_the_grid_too(tmp_path, chrome) -> None:
    """A corner within another area still has to be written."""
    path = tmp_path / "mask.gds"
    library = gdstk.Library("L", unit=1e-6, precision=1e-9)
    cell = library.new_cell("CELL")
    cell.add(gdstk.rectangle((0, 0), (50, 50), layer=1), gdstk.rectangle((10.1, 10), (40, 40), layer=1))
    library.write_gds(str(path))
    with pytest.raises(LimitError, match=r"at x = 10.1 um, y = 50 um: grid is off at 1 of 8 coordinates"):
        list(check_mask_file(path, chrome))


def test_a_file_without_an_area_draws_nothing(tmp_path, chrome) -> None:
    path = tmp_path / "mask.gds"
    library = gdstk.Library("L", unit=1e-6, precision=1e-9)
    library.new_cell("CELL").add(gdstk.Polygon([(0, 0), (9, 0), (9, 4), (9, 0)], layer=1))
    library.write_gds(str(path))
    with pytest.raises(FileError, match="nothing is drawn in it"):
        list(check_mask_file(path, chrome))


def test_outlines_that_would_take_for_ever_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(gds_winding, "MAX_FILLED_CELLS", 500)
    with pytest.raises(FileError, match=r"^mask.gds: 16 outlines of 6 corners; save it as rectangles"):
        gds_winding.drawn_edges(np.repeat(np.array([EIGHT]), 16, axis=0), "mask.gds")
    with pytest.raises(FileError, match=r"^mask.gds: outlines of 80 corners are too large; save it as rectangles"):
        gds_winding.drawn_edges(np.array([random_walk(np.random.default_rng(0), 40, 900)]), "mask.gds")
