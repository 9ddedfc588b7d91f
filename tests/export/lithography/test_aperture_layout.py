"""Frame, marks, edge bias, mirror and tone: what is drawn, before any file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from cidesign.constraints.aperture import Cells, feature_rule
from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.export.aperture.drawing import code_levels, first_difference, moved, simplified
from cidesign.export.aperture.fiducial_font import _GLYPHS, text_cells
from cidesign.export.aperture.fiducials import place_marks
from cidesign.export.aperture.layout import OrderOptions, illegal_name, move_edges, plan_plate
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import ApertureMask

LEVELS = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7), elements=st.integers(0, 1)
)


def clear_picture(plate) -> np.ndarray:
    """A plate as a picture of one pixel per code pixel, 1 where light passes."""
    drawn, placement = plate.drawn, plate.placement
    steps = (np.diff(drawn.y) // placement.pitch_nm, np.diff(drawn.x) // placement.pitch_nm)
    levels = np.repeat(np.repeat(drawn.levels, steps[0], axis=0), steps[1], axis=1)
    return levels if placement.tone == "clear" else 1 - levels


@pytest.mark.parametrize("tone", ["clear", "chrome"])
def test_chrome_up_is_what_the_scene_sees_and_chrome_down_is_its_mirror_image(letter, chrome, tone) -> None:
    up = plan_plate(letter, chrome, OrderOptions(tone=tone))
    down = plan_plate(letter, chrome, OrderOptions(tone=tone, reading="chrome_down"))
    top, left = -up.placement.top_nm // 10_000, -up.placement.left_nm // 10_000
    seen = clear_picture(up)
    np.testing.assert_array_equal(seen[top : top + 11, left : left + 9], letter.levels)
    np.testing.assert_array_equal(clear_picture(down), seen[:, ::-1])
    # The same plate either way: only what the 1-pixels mean differs.
    other = plan_plate(letter, chrome, OrderOptions(tone="clear" if tone == "chrome" else "chrome"))
    np.testing.assert_array_equal(other.drawn.levels, 1 - up.drawn.levels)


def test_marks_lie_outside_the_rows_of_the_code_and_say_where_they_are(code, chrome) -> None:
    plate = plan_plate(code, chrome, OrderOptions(name="CODE_1"))
    roles = [mark.role for mark in plate.marks]
    assert roles == ["fiducial"] * 3 + ["cross", "scale_bar"] + ["text"] * 3
    picture = clear_picture(plate)
    top, left = -plate.placement.top_nm // 10_000, -plate.placement.left_nm // 10_000
    around = picture.copy()
    around[top : top + 37, left : left + 50] = 0
    for mark in plate.marks:
        assert mark.bottom <= -4 or mark.top >= 37 + 4
        box = np.s_[top + mark.top : top + mark.bottom, left + mark.left : left + mark.right]
        assert around[box].any()
        around[box] = 0
    assert not around.any()
    assert [mark.note for mark in plate.marks if mark.role == "text"] == [
        "reads CODE_1",
        "reads CD 10UM",
        "reads BAR 100UM",
    ]


def test_light_of_the_marks_never_reaches_the_rows_that_the_code_is_dispersed_along(changed, mask_of, letter) -> None:
    shifts = [0.0, 5.0, 12.0]
    profile = changed(
        spectrograph__axis="rows",
        spectrograph__shift_px=shifts,
        spectrograph__wavelengths_nm=[450.0, 500.0, 600.0],
    )
    marks = place_marks(letter.levels, profile, "A").marks
    assert all(mark.bottom + 12 <= -4 or mark.top - 12 >= 11 + 4 or mark.right <= 0 or mark.left >= 9 for mark in marks)


def test_the_three_fiducials_map_onto_themselves_under_no_flip_or_turn(code, chrome) -> None:
    plate = plan_plate(code, chrome, OrderOptions())
    boxes = [mark for mark in plate.marks if mark.role == "fiducial"]
    canvas = np.zeros((200, 200), dtype=np.uint8)
    picture = clear_picture(plate)
    top, left = -plate.placement.top_nm // 10_000, -plate.placement.left_nm // 10_000
    for mark in boxes:
        part = picture[top + mark.top : top + mark.bottom, left + mark.left : left + mark.right]
        canvas[60 + mark.top : 60 + mark.bottom, 60 + mark.left : 60 + mark.right] = part
        corner = int(mark.row) - 1, int(mark.column)
        assert picture[top + corner[0], left + corner[1]] == 1
    shown = canvas[canvas.any(axis=1)][:, canvas.any(axis=0)]
    turned = [np.rot90(array, turns) for array in (shown, shown[:, ::-1]) for turns in range(4)]
    assert sum(np.array_equal(shown, array) for array in turned) == 1


def test_a_mirrored_order_moves_the_marks_with_the_drawing(code, chrome) -> None:
    up = plan_plate(code, chrome, OrderOptions())
    down = plan_plate(code, chrome, OrderOptions(reading="chrome_down"))
    assert [mark.column for mark in down.marks] == [50 - mark.column for mark in up.marks]
    assert all(mark.left < mark.right for mark in down.marks)


@pytest.mark.parametrize("letter_name", sorted(_GLYPHS))
def test_no_letter_touches_itself_at_a_corner_alone(letter_name) -> None:
    cells = np.pad(text_cells(letter_name), 1)
    a, b, c, d = cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]
    assert not ((a == d) & (b == c) & (a != b)).any()
    assert sum(np.array_equal(text_cells(letter_name), text_cells(other)) for other in _GLYPHS) == 1


@pytest.mark.parametrize("name", ["chrome-laser-10um", "chrome-ebeam-2um", "film-20000dpi"])
@pytest.mark.parametrize("side", [8, 65, 200])
def test_marks_obey_the_rules_that_the_code_obeys(name, side, mask_of) -> None:
    profile = load_profile(name)
    levels = np.zeros((side, side), dtype=np.uint8)
    levels[1:-1, 2:-2] = 1
    plate = plan_plate(mask_of(profile, levels), profile, OrderOptions(name="ABCDEFGHIJKLMNOPQRSTUVWXYZ_01234"))
    assert feature_rule(profile).check_plate(plate.drawn) == []


@given(LEVELS, st.integers(-3, 3))
@settings(max_examples=100, deadline=None)
def test_moving_edges_is_erosion_or_dilation_of_the_fine_picture(levels, by) -> None:
    """Independent statement: on a picture of 10 pixels to the cell, morphology with a square of 2 |by| + 1."""
    edges = [np.arange(count + 1, dtype=np.int64) * 10 for count in levels.shape]
    found = move_edges(Cells(levels, edges[0], edges[1]), by)
    fine = np.repeat(np.repeat(levels, 10, axis=0), 10, axis=1)
    square = np.ones((2 * abs(by) + 1,) * 2)
    inside = slice(10, -10)  # at the border of the cells, nothing moves
    expected = fine
    if by > 0:
        expected = ndimage.binary_dilation(fine, square)
    elif by < 0:
        expected = ndimage.binary_erosion(fine, square, border_value=1)
    shown = np.repeat(np.repeat(found.levels, np.diff(found.y), axis=0), np.diff(found.x), axis=1)
    np.testing.assert_array_equal(shown[inside, inside], expected[inside, inside])


def test_edge_bias_is_drawn_the_other_way_and_can_be_left_out(changed, mask_of, letter) -> None:
    profile = changed(lithography__edge_bias_um=0.5)
    mask = mask_of(profile, letter.levels)
    plate = plan_plate(mask, profile, OrderOptions(fiducials=False))
    alone = simplified(plate.drawn)
    # The first opening starts 0.5 um late, the last ends 0.5 um early: the process widens it to its size.
    assert (alone.x[0], alone.x[-1]) == (500, 79_500)
    assert plate.pixel_nm == 500
    back = move_edges(alone, 0)
    assert code_levels(moved(back, 0, 0), plate.placement, "x").tolist() == letter.levels.tolist()
    as_drawn = plan_plate(mask, profile, OrderOptions(compensate_edge_bias=False))
    assert as_drawn.placement.edge_bias_nm == 0
    wider = changed(lithography__edge_bias_um=-0.5)
    drawn = simplified(plan_plate(mask_of(wider, letter.levels), wider, OrderOptions(fiducials=False)).drawn)
    assert (drawn.x[0], drawn.x[-1]) == (-500, 80_500)


@given(LEVELS, LEVELS)
@settings(max_examples=60, deadline=None)
def test_drawings_are_equal_exactly_when_their_pictures_are(first, second) -> None:
    def cells(levels):
        return Cells(levels, np.arange(levels.shape[0] + 1), np.arange(levels.shape[1] + 1))

    side = 8
    pictures = []
    for levels in (first, second):
        picture = np.zeros((side, side), dtype=np.uint8)
        picture[: levels.shape[0], : levels.shape[1]] = levels
        pictures.append(picture)
    difference = first_difference(cells(first), cells(second))
    places = np.argwhere(pictures[0] != pictures[1])
    if difference is None:
        assert not len(places)
    else:
        assert (difference.y_nm, difference.x_nm) == tuple(places[0])
        assert difference.area_um2 == pytest.approx(len(places) / 1e6)


def test_a_code_that_was_drawn_half_a_pixel_off_is_refused(letter, chrome) -> None:
    plate = plan_plate(letter, chrome, OrderOptions())
    with pytest.raises(FileError, match=r"not made of code pixels of 10 um.*first at x = 10 um, y = 10 um"):
        code_levels(moved(plate.drawn, 1, 0), plate.placement, "mask.gds")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tone": "dark"}, "mask order: tone 'dark' is not known; choose clear or chrome"),
        ({"reading": "up"}, "mask order: reading side 'up' is not known; choose chrome_up or chrome_down"),
        ({"compression": "lzw"}, "mask order: TIFF compression 'lzw' is not known; choose packbits or deflate"),
        ({"name": "my mask"}, r"the name 'my mask' holds ' '; use 1 to 32 letters, digits and _"),
        ({"name": "MAIN_1"}, "contains 'main'"),
        ({"name": ""}, "has 0 characters"),
        ({"name": "A" * 33}, "has 33 characters"),
        ({"name": "1A"}, "does not begin with a letter"),
        ({"name": "CODE_é"}, "holds 'é'"),
        ({"tiff_pixel_um": float("nan")}, "a TIFF pixel of nan um is not a length"),
        ({"tiff_pixel_um": -1.0}, "a TIFF pixel of -1.0 um is not a length"),
    ],
)
def test_options_that_nobody_can_build_are_refused(options, message) -> None:
    with pytest.raises(InputError, match=message):
        OrderOptions(**options)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({"lithography__edge_bias_um": 0.3}, {}, r"edge bias of 0.3 um: is 1.2 steps of the writer grid 0.25 um"),
        ({"lithography__edge_bias_um": 5.0}, {}, r"edge bias of 5 um: on both sides it eats a code pixel of 10 um"),
        ({}, {"tiff_pixel_um": 0.3}, r"TIFF pixel of 0.3 um: is 1.2 steps of the writer grid 0.25 um"),
        (
            {},
            {"tiff_pixel_um": 3.0},
            r"TIFF pixel of 3 um: does not divide the code pixel of 10 um; use 10 um or a whole",
        ),
        (
            {"lithography__edge_bias_um": 0.5},
            {"tiff_pixel_um": 2.0},
            "and the edge bias of 0.5 um; use 0.5 um or a whole fraction",
        ),
        (
            {"lithography__plate_width_mm": 1.0, "pixel_pitch_um": 50.0},
            {},
            r"the plate of chrome-laser-10um is 1 x 100 mm",
        ),
        (
            {"lithography__writer_grid_um": 0.0125, "pixel_pitch_um": 10.0},
            {},
            "writer grid of 0.0125 um: files are drawn in whole nm, this is 12.5",
        ),
    ],
)
def test_lengths_that_cannot_be_drawn_are_refused(changed, mask_of, letter, values, options, message) -> None:
    profile = changed(**values)
    with pytest.raises(LimitError, match=message):
        plan_plate(mask_of(profile, letter.levels), profile, OrderOptions(**options))


@pytest.mark.parametrize(("value", "word"), [(0, "blocked"), (1, "open")])
def test_a_mask_without_a_code_is_refused(chrome, mask_of, value, word) -> None:
    with pytest.raises(InputError, match=f"all 16 code pixels are {word}"):
        plan_plate(mask_of(chrome, np.full((4, 4), value, dtype=np.uint8)), chrome, OrderOptions())


def test_a_mask_of_another_pitch_is_refused(chrome, letter) -> None:
    with pytest.raises(InputError, match="its pitch is 12 um, chrome-laser-10um says 10 um"):
        plan_plate(ApertureMask(letter.levels, 12.0, chrome.id, chrome.digest), chrome, OrderOptions())


def test_grey_values_cannot_even_be_a_mask(chrome) -> None:
    with pytest.raises(InputError, match="value 128 is neither 0"):
        ApertureMask(np.full((4, 4), 128, dtype=np.uint8), 10.0, chrome.id, chrome.digest)


def test_a_pitch_off_the_writer_grid_is_refused_with_the_profile(changed) -> None:
    with pytest.raises(CidesignError, match=r"10.1 is 40.4 steps of the writer grid 0.25 um"):
        changed(pixel_pitch_um=10.1)


def test_names_that_every_writer_takes() -> None:
    assert [illegal_name(name) for name in ("A", "Code_7", "A" * 32)] == [None] * 3
