"""The curves of a sweep: means and errors by hand, and panels of few lines."""

import pytest

from cidesign.sweep.curves import MOST_LINES, curve_of, drawn, panels_of
from cidesign.sweep.finished import Finished
from cidesign.sweep.table import E2E, STUDENT, Entry, Row, Value, table_of


def entry(system: str, seed: int, epochs: tuple[int, int] = (2, 2), **values: Value) -> Entry:
    found = Finished({"psnr_db": 20.0}, "images", "profile", *epochs, 1.0, on_processor=True)
    name = f"{system} {values} {seed}"
    return Entry(name, system, "reconstruct", "single-pixel", values, seed, "done", found)


def rows(*entries: Entry) -> tuple[Row, ...]:
    return table_of(entries).rows


def test_a_curve_is_the_mean_over_seeds_after_the_epochs_of_the_teacher() -> None:
    (row,) = rows(entry(STUDENT, 1), entry(STUDENT, 2))
    scores = dict(zip((one.name for one in row.entries), ([20.0, 22.0], [21.0, 26.0]), strict=True))
    curve = curve_of(row, scores)
    assert curve is not None
    assert curve.epochs == (3, 4)
    assert curve.means == (20.5, 24.0)
    # Of two values half their distance.
    assert curve.errors == pytest.approx((0.5, 2.0))
    assert curve.seeds == 2
    assert curve_of(row, {row.entries[0].name: [20.0, 22.0]}) is None


def test_points_that_were_trained_for_other_lengths_have_no_curve_together() -> None:
    (row,) = rows(entry(STUDENT, 1), entry(STUDENT, 2, (2, 3)))
    assert curve_of(row, {one.name: [20.0, 21.0] for one in row.entries}) is None


def test_panels_hold_few_lines_and_what_belongs_to_them() -> None:
    entries = [entry(STUDENT, 1, ladder=ladder, light=light) for ladder in "abcd" for light in (1.0, 2.0)]
    entries += [entry(E2E, 1, (0, 4), light=light) for light in (1.0, 2.0)]
    table = table_of(entries)
    curves = [curve_of(row, {one.name: [1.0] * 4 for one in row.entries if row.system == E2E} | {
        one.name: [1.0] * 2 for one in row.entries if row.system == STUDENT}) for row in table.rows]  # fmt: skip
    known = [one for one in curves if one is not None]
    assert len(known) == 10
    panels = panels_of(known, table.by)
    # By light two panels hold all ladders and E2E each; by ladder there would be four.
    assert [(panel.title, len(panel.curves)) for panel in panels] == [("light=1", 5), ("light=2", 5)]
    assert [panels[0].label(curve) for curve in panels[0].curves] == [
        *(f"student, ladder={name}" for name in "abcd"), "E2E"
    ]  # fmt: skip
    assert drawn(panels, "PSNR / dB").startswith(b"\x89PNG")
    assert panels_of(known[:3], table.by)[0].title == ""


def test_lines_that_nothing_groups_are_dealt_out() -> None:
    (row,) = rows(entry(STUDENT, 1))
    curve = curve_of(row, {row.entries[0].name: [1.0, 2.0]})
    assert curve is not None
    panels = panels_of([curve] * (MOST_LINES + 1), ())
    assert [len(panel.curves) for panel in panels] == [MOST_LINES, 1]
