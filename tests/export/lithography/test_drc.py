"""Every design rule, broken in a file on purpose, is found there: with its first place, and in a picture."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cidesign.constraints.aperture import Cells
from cidesign.errors import FileError, InputError, LimitError
from cidesign.export.aperture.drc import check_drawing, clear_cells, measured_widths
from cidesign.export.aperture.files import read_mask
from cidesign.export.aperture.gds.write import build_library, write_gds, write_oasis
from cidesign.export.aperture.layout import OrderOptions, plan_plate
from cidesign.export.aperture.tiff.write import write_tiff
from cidesign.export.aperture.verify import check_mask_file

gdstk = pytest.importorskip("gdstk", reason="gdstk is not installed")

pytestmark = pytest.mark.usefixtures("read_here")
RED = (220, 30, 30)


def drawing(path: Path, boxes_um, name="CODE", extra=()) -> Path:
    """A file of rectangles (x0, y0, x1, y1) in um, y up."""
    library = gdstk.Library("L", unit=1e-6, precision=1e-9)
    cell = library.new_cell(name)
    cell.add(*(gdstk.rectangle((x0, y0), (x1, y1), layer=1) for x0, y0, x1, y1 in boxes_um), *extra)
    (library.write_gds if path.suffix == ".gds" else library.write_oas)(str(path))
    return path


def bitmap(path: Path, levels, pixel_um=1.0, description="") -> Path:
    tifffile.imwrite(
        path,
        levels.astype(bool),
        photometric="minisblack",
        resolution=(10_000 / pixel_um,) * 2,
        resolutionunit="CENTIMETER",
        description=description,
        metadata=None,
    )
    return path


def refusal(path: Path, profile, tone=None) -> str:
    with pytest.raises(LimitError) as caught:
        list(check_mask_file(path, profile, tone))
    return str(caught.value)


SOUND = [(0, 0, 50, 50), (60, 0, 110, 50), (0, 60, 50, 110)]


@pytest.mark.parametrize("ending", ["gds", "oas"])
@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ((200, 10, 205, 40), "at x = 200 um, y = 40 um: smallest feature is less at 1 place, the limit is 6 um"),
        ((200, 10, 240, 15.75), "at x = 200 um, y = 15.75 um: smallest feature is less at 1 place"),
        ((115, 0, 200, 50), "at x = 110 um, y = 50 um: smallest gap is less at 1 place, the limit is 6 um"),
        ((0, 115.75, 50, 200), "at x = 0 um, y = 115.75 um: smallest gap is less at 1 place"),
        # 4 um each way: no row or column is short, from corner to corner it is 5.7 um.
        ((114, 54, 150, 150), "at x = 110 um, y = 54 um: smallest gap is less at 1 place"),
        ((110, 50, 150, 150), "at x = 110 um, y = 50 um: corner contacts is found at 1 place, the limit is none"),
        (
            (200.1, 0, 250, 50),
            "at x = 200.1 um, y = 110 um: grid is off at 1 of 10 coordinates, the limit is a multiple",
        ),
        ((200, 0.1, 250, 50), "at x = 0 um, y = 0.1 um: grid is off at 1 of 11 coordinates"),
        (
            (99_990, 0, 100_001, 50),
            "extents is 100.001 x 0.11 mm, the limit is the plate of chrome-laser-10um, 100 x 100 mm",
        ),
    ],
)
def test_a_planted_violation_is_found_in_the_drawing_file(tmp_path, chrome, ending, planted, message) -> None:
    path = drawing(tmp_path / f"mask.{ending}", [*SOUND, planted])
    text = refusal(path, chrome)
    assert message in text
    assert text.startswith(f"mask.{ending}")
    picture = tmp_path / f"mask.{ending}.violations.png"
    assert f"{picture} shows where" in text
    with Image.open(picture) as image:
        assert (np.asarray(image) == RED).all(axis=2).any()


def test_the_sound_part_of_these_drawings_passes(tmp_path, chrome) -> None:
    for ending in ("gds", "oas"):
        findings = list(check_mask_file(drawing(tmp_path / f"mask.{ending}", SOUND), chrome))
        assert [finding.name for finding in findings] == ["file", "tone", "widths", "rules"]
        assert findings[2].text == "smallest feature 50 um, gap 10 um"
    assert not list(tmp_path.glob("*.png"))


def tiff_levels() -> np.ndarray:
    levels = np.zeros((120, 200), dtype=np.uint8)
    levels[10:60, 10:60] = 1
    return levels


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        (
            np.s_[70:100, 20:25],
            "at x = 20 um, y = 70 um from the upper left corner: smallest feature is less at 1 place",
        ),
        (np.s_[10:60, 65:100], "at x = 60 um, y = 10 um from the upper left corner: smallest gap is less at 1 place"),
        (
            np.s_[60:90, 60:90],
            "at x = 60 um, y = 60 um from the upper left corner: corner contacts is found at 1 place",
        ),
        (np.s_[64:90, 64:90], "at x = 60 um, y = 60 um from the upper left corner: smallest gap is less at 1 place"),
    ],
)
def test_a_planted_violation_is_found_in_the_tiff(tmp_path, chrome, planted, message) -> None:
    levels = tiff_levels()
    list(check_mask_file(bitmap(tmp_path / "sound.tif", levels), chrome))
    levels[planted] = 1
    assert message in refusal(bitmap(tmp_path / "mask.tif", levels), chrome)
    # The same plate, digitised the other way round, breaks the same rule.
    inverse = bitmap(tmp_path / "inverse.tif", 1 - levels)
    assert message.split(": ")[1] in refusal(inverse, chrome, "chrome")


def test_a_tiff_off_the_grid_or_larger_than_the_plate_is_refused(tmp_path, chrome) -> None:
    text = refusal(bitmap(tmp_path / "grid.tif", tiff_levels(), pixel_um=0.4), chrome)
    assert "grid.tif: TIFF pixel is 0.4 um, the limit is a multiple of the writer grid 0.25 um" in text
    text = refusal(bitmap(tmp_path / "large.tif", tiff_levels(), pixel_um=1000.0), chrome)
    assert "extents is 200 x 120 mm, the limit is the plate of chrome-laser-10um, 100 x 100 mm" in text


def test_an_island_smaller_than_the_process_keeps_is_found(tmp_path, changed) -> None:
    profile = changed(lithography__min_area_um2=200.0)
    path = drawing(tmp_path / "mask.gds", [*SOUND, (200, 0, 210, 19)])
    assert "at x = 200 um, y = 19 um: smallest connected area is less at 1 place, the limit is 200 um2" in refusal(
        path, profile
    )
    list(check_mask_file(drawing(tmp_path / "mask.oas", [*SOUND, (200, 0, 210, 20)]), profile))
    hole = [(0, 0, 50, 50), (50, 0, 64, 18), (50, 32, 64, 50), (64, 0, 100, 50)]  # chrome of 14 x 14 um within light
    assert "at x = 50 um, y = 32 um: smallest connected area" in refusal(drawing(tmp_path / "hole.gds", hole), profile)


def comb(teeth: int):
    points = [(0, 0)]
    for tooth in range(teeth):
        points += [(20 * tooth, 50), (20 * tooth + 10, 50), (20 * tooth + 10, 10), (20 * tooth + 20, 10)]
    return gdstk.Polygon([*points, (20 * teeth, 0)], layer=1)


@pytest.mark.parametrize("ending", ["gds", "oas"])
def test_too_many_vertices_are_found(tmp_path, changed, ending) -> None:
    profile = changed(lithography__max_vertices=100)
    path = drawing(tmp_path / f"mask.{ending}", [], extra=[comb(25)])
    assert "vertices is 102 in one polygon, the limit is 100 on chrome-laser-10um" in refusal(path, profile)
    list(check_mask_file(drawing(tmp_path / f"few.{ending}", [], extra=[comb(24)]), profile))


def test_the_limit_of_real_writers_is_found_in_an_oasis_file(tmp_path, changed) -> None:
    profile = changed(lithography__plate_width_mm=1000.0)
    path = drawing(tmp_path / "mask.oas", [], extra=[comb(32_001)])
    assert "vertices is 128006 in one polygon, the limit is 128000 on chrome-laser-10um" in refusal(path, profile)


def test_doubled_vertices_are_found(tmp_path, chrome) -> None:
    doubled = gdstk.Polygon([(200, 0), (250, 0), (250, 0), (250, 50), (200, 50)], layer=1)
    path = drawing(tmp_path / "mask.gds", SOUND, extra=[doubled])
    assert "at x = 250 um, y = 0 um: doubled vertices is found at 1 places, the limit is none" in refusal(path, chrome)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("main_mask", "cell name is 'main_mask', which contains 'main'"),
        ("my mask", "cell name is 'my mask', which holds ' '"),
        ("A" * 33, "has 33 characters"),
    ],
)
def test_names_that_writers_refuse_are_found(tmp_path, chrome, name, message) -> None:
    text = refusal(drawing(tmp_path / "mask.gds", SOUND, name=name), chrome)
    assert message in text
    assert "the limit is 1 to 32 letters, digits and _" in text
    assert not list(tmp_path.glob("*.png"))  # a name has no place


def test_one_of_two_cells_is_asked_for(tmp_path, chrome) -> None:
    library = gdstk.Library("L", unit=1e-6, precision=1e-9)
    for name in ("ONE", "TWO"):
        library.new_cell(name).add(gdstk.rectangle((0, 0), (50, 50), layer=1))
    for path, write in ((tmp_path / "a.gds", library.write_gds), (tmp_path / "a.oas", library.write_oas)):
        write(str(path))
        with pytest.raises(InputError, match=r"has 2 cells .* with --set cell=NAME, one of ONE, TWO"):
            list(check_mask_file(path, chrome))
        assert list(check_mask_file(path, chrome, cell="ONE"))[-1].name == "rules"
        assert [broken.violation.name for broken in check_drawing(read_mask(path), chrome, "clear")] == ["cells"]


def test_all_violations_are_counted_and_drawn(tmp_path, chrome) -> None:
    path = drawing(tmp_path / "mask.gds", [*SOUND, (200, 10, 205, 40), (110, 50, 150, 150)])
    assert refusal(path, chrome).endswith("(and 1 more)")
    with Image.open(tmp_path / "mask.gds.violations.png") as image:
        assert image.width > 1000  # the whole beside the first places


def test_a_plan_that_obeys_is_passed_in_milliseconds_worth_of_work(tmp_path, code, chrome) -> None:
    """The measured widths of a written plate are those of its code."""
    for tone in ("clear", "chrome"):
        plate = plan_plate(code, chrome, OrderOptions(tone=tone))
        library = build_library(plate, "CODE", True)
        for name, write in (("a.gds", write_gds), ("a.oas", write_oasis)):
            write(library, tmp_path / name)
            assert [finding.name for finding in check_mask_file(tmp_path / name, chrome, tone)][-1] == "rules"
        write_tiff(tmp_path / "a.tif", plate.drawn, plate.pixel_nm, "packbits", "", "")
        assert [finding.name for finding in check_mask_file(tmp_path / "a.tif", chrome, tone)][-1] == "rules"
        assert measured_widths(clear_cells(plate.drawn, tone)) == (10_000, 10_000)


def test_widths_of_a_plate_without_a_gap_are_none() -> None:
    cells = Cells(np.ones((1, 1), np.uint8), np.array([0, 5000]), np.array([0, 7000]))
    assert measured_widths(clear_cells(cells, "clear")) == (5000, None)
    assert measured_widths(clear_cells(cells, "chrome")) == (None, 5000)


def test_the_tone_is_asked_for_where_it_matters_and_nothing_tells(tmp_path, changed) -> None:
    profile = changed(lithography__min_gap_um=8.0)
    path = bitmap(tmp_path / "mask.tif", tiff_levels())
    with pytest.raises(InputError, match=r"does not say what its 1-pixels or polygons become.*say --tone clear or"):
        list(check_mask_file(path, profile))
    list(check_mask_file(path, profile, "clear"))
    says = "1-pixels and polygons become chrome: light is blocked there."
    assert (
        list(check_mask_file(bitmap(path, 1 - tiff_levels(), description=says), profile))[1].text == "1 becomes chrome"
    )


def test_an_empty_file_is_refused(tmp_path, chrome) -> None:
    with pytest.raises(FileError, match="nothing is drawn in it"):
        list(check_mask_file(bitmap(tmp_path / "mask.tif", np.zeros((9, 9))), chrome))
