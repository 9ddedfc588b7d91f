"""The rules of a mask in NumPy: against a slow statement of each, and against the masks that training draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from cidesign.constraints.aperture import (
    Cells,
    MinimumFeature,
    corner_contacts,
    diagonal_necks,
    feature_rule,
    require_freedom,
    runs,
    short_runs,
    small_areas,
)
from cidesign.errors import LimitError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import ApertureMask

MASKS = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9), elements=st.integers(0, 1)
)


def cells_of(levels, y=None, x=None) -> Cells:
    height, width = levels.shape
    y = np.arange(height + 1) if y is None else np.asarray(y)
    x = np.arange(width + 1) if x is None else np.asarray(x)
    return Cells(levels, y.astype(np.int64), x.astype(np.int64))


def slow_short_runs(levels, value, least) -> set[tuple[int, int, int, int]]:
    found = set()
    for turned in (False, True):
        lines = levels.T if turned else levels
        for row, line in enumerate(lines):
            text = "".join(map(str, line)) + "x"
            start = None
            for column, letter in enumerate(text):
                if letter == str(value) and start is None:
                    start = column
                elif letter != str(value) and start is not None:
                    if column - start < least:
                        box = (row, row + 1, start, column)
                        found.add((box[2], box[3], box[0], box[1]) if turned else box)
                    start = None
    return found


def slow_necks(levels, value, least) -> set[tuple[int, int, int, int]]:
    """Pairs of corners of the other level that face each other, looked for one by one."""
    padded = levels
    found = set()
    height, width = padded.shape

    def quadrant(row, column):
        return [int(padded[r, c] != value) for r in (row - 1, row) for c in (column - 1, column)]

    for row in range(1, height):
        for column in range(1, width):
            for facing, sign in (([1, 0, 0, 0], 1), ([0, 1, 0, 0], -1)):
                if quadrant(row, column) != facing:
                    continue
                for other_row in range(row + 1, height):
                    for other in range(1, width):
                        dy, dx = other_row - row, sign * (other - column)
                        if dx > 0 and dy * dy + dx * dx < least * least and quadrant(other_row, other) == facing[::-1]:
                            found.add((row, other_row, min(column, other), max(column, other)))
    return found


@given(MASKS, st.integers(0, 1), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_runs_and_necks_are_those_of_a_slow_search(levels, value, least) -> None:
    cells = cells_of(levels)
    assert {tuple(box) for box in short_runs(cells, value, least).tolist()} == slow_short_runs(levels, value, least)
    assert {tuple(box) for box in diagonal_necks(cells, value, least).tolist()} == slow_necks(levels, value, least)


@given(MASKS)
@settings(max_examples=60, deadline=None)
def test_corner_contacts_are_the_points_that_two_diagonal_pixels_share(levels) -> None:
    found = {tuple(box) for box in corner_contacts(cells_of(levels)).tolist()}
    expected = set()
    for row in range(1, levels.shape[0]):
        for column in range(1, levels.shape[1]):
            block = levels[row - 1 : row + 1, column - 1 : column + 1]
            if block[0, 0] == block[1, 1] != block[0, 1] == block[1, 0]:
                expected.add((row, row, column, column))
    assert found == expected


@given(MASKS, st.integers(1, 7), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_cells_of_unequal_size_measure_like_the_same_picture_in_equal_pixels(levels, least, tall, wide) -> None:
    """Rows repeated and joined again give the same breaches in the same places."""
    generator = np.random.default_rng(levels.sum() + tall)
    heights = generator.integers(1, tall + 1, levels.shape[0])
    widths = generator.integers(1, wide + 1, levels.shape[1])
    fine = np.repeat(np.repeat(levels, heights, axis=0), widths, axis=1)
    coarse = cells_of(levels, np.append(0, np.cumsum(heights)), np.append(0, np.cumsum(widths)))
    for value in (0, 1):
        covered = []
        for cells in (coarse, cells_of(fine)):
            area = np.zeros(fine.shape, dtype=bool)
            for y0, y1, x0, x1 in short_runs(cells, value, least):
                area[y0:y1, x0:x1] = True
            covered.append(area)
        np.testing.assert_array_equal(*covered)
        boxes = (diagonal_necks(cells, value, least).tolist() for cells in (coarse, cells_of(fine)))
        assert len({str(sorted(found)) for found in boxes}) == 1
    assert corner_contacts(coarse).tolist() == corner_contacts(cells_of(fine)).tolist()


@given(MASKS, st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_small_areas_are_those_that_labelling_finds(levels, least) -> None:
    found = len(small_areas(cells_of(levels), least))
    expected = 0
    for value in (0, 1):
        labels, count = ndimage.label(levels == value)
        expected += sum(int((labels == number).sum() < least) for number in range(1, count + 1))
    assert found == expected


def test_runs_come_in_order_with_their_ends() -> None:
    rows, starts, ends = runs(np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]], dtype=bool))
    assert [rows.tolist(), starts.tolist(), ends.tolist()] == [[0, 0, 2], [0, 3, 1], [2, 4, 4]]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**16 - 1))
@settings(max_examples=50, deadline=None)
def test_a_mask_of_cells_keeps_every_rule_but_the_corners(feature, gap, bits) -> None:
    """Training draws in squares of `cell_px`: any such mask has the widths and areas that the rule asks for."""
    rule = MinimumFeature(feature, gap, True, 10.0, "test", area_um2=100.0 * (feature + gap))
    drawn = np.array([int(bit) for bit in f"{bits:016b}"], dtype=np.uint8).reshape(4, 4)
    levels = np.kron(drawn, np.ones((rule.cell_px, rule.cell_px), dtype=np.uint8))
    assert rule.check(ApertureMask(levels, 10.0, "test", "0" * 64)) == []


@pytest.mark.parametrize(
    ("rows", "rule_name", "where"),
    [
        (["00000", "00000", "00010", "00000"], "smallest feature", "x = 30 um, y = 20 um (row 2, column 3)"),
        (["1100", "1100", "1100", "1101"], "smallest gap", "x = 20 um, y = 30 um (row 3, column 2)"),
        (["1100", "1100", "0011", "0011"], "corner contacts", "x = 20 um, y = 20 um (row 2, column 2)"),
    ],
)
def test_a_violation_names_the_rule_the_place_and_the_limit(rows, rule_name, where) -> None:
    rule = MinimumFeature(2, 2, False, 10.0, "chrome")
    levels = np.array([[int(letter) for letter in row] for row in rows], dtype=np.uint8)
    found = next(v for v in rule.check(ApertureMask(levels, 10.0, "test", "0" * 64)) if v.name == rule_name)
    assert found.text.startswith(f"mask at {where}: {rule_name} is ")
    assert found.limit == ("none on chrome" if "corner" in rule_name else "20 um on chrome")
    assert str(found).endswith("export a run made for it")


def test_a_neck_from_corner_to_corner_is_a_feature_that_no_run_shows() -> None:
    """Every run is 5 long at least, but between two opaque corners the light passes sqrt(8) wide."""
    levels = np.ones((12, 12), dtype=np.uint8)
    levels[:5, :5] = 0
    levels[7:, 7:] = 0
    assert not len(short_runs(cells_of(levels), 1, 3))
    rule = MinimumFeature(3, 3, True, 1.0, "test", feature_um=3.0, gap_um=3.0)
    (broken,) = rule.check_plate(Cells(levels, np.arange(13) * 1000, np.arange(13) * 1000))
    assert broken.rule == "smallest feature"
    assert [5000, 7000, 5000, 7000] in broken.boxes.tolist()


def test_on_the_plate_the_limit_is_that_of_the_process_not_of_whole_pixels() -> None:
    profile = load_profile("chrome-laser-10um")
    rule = feature_rule(profile)
    assert (rule.feature_px, rule.feature_um) == (1, 6.0)
    levels = np.array([[0, 1, 0]], dtype=np.uint8)
    far = 10**6
    for width_nm, passes in ((6000, True), (5999, False)):
        cells = Cells(levels, np.array([0, far]), np.array([-far, 0, width_nm, far + width_nm]))
        assert (rule.check_plate(cells) == []) is passes


def test_an_island_rule_makes_larger_cells() -> None:
    assert MinimumFeature(1, 1, False, 10.0, "test", area_um2=401.0).cell_px == 3
    assert MinimumFeature(1, 1, False, 10.0, "test", area_um2=400.0).cell_px == 2


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [
        (1, 64, "at least 2 a side are needed"),
        (10_001, 64, "the plate of chrome-laser-10um is 100 x 100 mm"),
    ],
)
def test_a_code_without_freedom_or_room_is_refused(height, width, message) -> None:
    with pytest.raises(LimitError, match=message):
        require_freedom(load_profile("chrome-laser-10um"), height, width)
