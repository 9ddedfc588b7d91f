"""Tables and the page of a sweep folder whose runs were written with known scores."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cidesign.cli import group
from cidesign.errors import FileError, InputError
from cidesign.runs import Run
from cidesign.sweep.entries import entries_of, page_in, table_in
from cidesign.sweep.finished import read_lines
from cidesign.sweep.folder import Sweep
from cidesign.sweep.point import Point
from cidesign.sweep.table import E2E, STUDENT, table_of
from cidesign.sweep.table_text import text_of
from cidesign.sweep.work import work

FIXED = "low-pass cosines"
GRID = {"ladder": ["real", ["4-bit"]], "seed": [1, 2, 3]}


def points_by(sweep: Sweep, kind: str, **values: Any) -> list[Point]:
    """Points of a kind with some values, by rising seeds."""
    found = [one for one in sweep.points if one.kind == kind and values.items() <= one.values.items()]
    return sorted(found, key=lambda one: int(str(one.values["seed"])))


@pytest.fixture
def written(placed: Callable[..., Sweep], write_point: Callable[..., None]) -> Sweep:
    """Two ladders of three seeds and a fixed design; one seed of a ladder failed, one of the fixed design is to do."""
    sweep = placed(grid=GRID, compare={"fixed": [FIXED]})
    for point, score in zip(points_by(sweep, "run", ladder="real"), (28.0, 28.5, 29.6), strict=True):
        write_point(sweep, point, [score])
    first, second, third = points_by(sweep, "run", ladder=["4-bit"])
    write_point(sweep, first, [27.0])
    write_point(sweep, third, [28.4])
    sweep.job_path(second).mkdir(parents=True)
    sweep.begin(second)
    sweep.end(second, 5, "the disk is full")
    for point, score in zip(points_by(sweep, "fixed"), (27.5, 28.4), strict=False):
        write_point(sweep, point, [score - 1, score])
    return sweep


def test_rows_are_what_the_run_folders_hold(written: Sweep) -> None:
    table = table_of(entries_of(written), baseline=FIXED)
    fixed, real, bits = sorted(table.rows, key=lambda row: (row.system != FIXED, row.mean.seeds != 3))
    assert (real.system, dict(real.values)) == (STUDENT, {"ladder": "real"})
    assert real.mean == (pytest.approx(28.7), pytest.approx(math.sqrt(0.67 / 3)), 3)
    # 28.0 - 27.5 and 28.5 - 28.4; the fixed design of seed 3 is to do.
    assert real.difference == (pytest.approx(0.3), pytest.approx(0.2), 2)
    assert list(real.unpaired) == [3]
    assert dict(bits.values) == {"ladder": ("4-bit",)}
    assert bits.mean == (pytest.approx(27.7), pytest.approx(0.7), 2)
    assert bits.difference == (pytest.approx(-0.5), None, 1)
    assert "failed (the disk is full)" in bits.missing[2]
    assert fixed.mean == (pytest.approx(27.95), pytest.approx(0.45), 2)
    assert (real.epochs, fixed.epochs) == (((1, 1),), ((0, 2),))
    # Two epochs of 4 s on two threads each.
    assert (real.seconds, fixed.seconds) == ((16.0, 0.0), (16.0, 0.0))
    assert "7 of 9 points done, 1 failed, 1 to do" in text_of(table)


def test_a_damaged_run_is_a_failed_point_and_the_others_stay(written: Sweep) -> None:
    first, *_ = points_by(written, "run", ladder="real")
    (written.run_path(first) / "metrics.jsonl").write_text('{"phase": "student"}\n')
    table = table_of(entries_of(written))
    row = next(row for row in table.rows if row.mean.seeds == 2 and dict(row.values) == {"ladder": "real"})
    assert row.mean.value == pytest.approx(29.05)
    assert "damaged" in row.missing[1]


def test_points_of_other_images_are_told(placed: Callable[..., Sweep], write_point: Callable[..., None]) -> None:
    sweep = placed(grid={"seed": [1]}, compare={"fixed": [FIXED]})
    (run,), (fixed,) = points_by(sweep, "run"), points_by(sweep, "fixed")
    write_point(sweep, run, [28.0])
    write_point(sweep, fixed, [27.0, 27.5], data_digest="f" * 64)
    table = table_of(entries_of(sweep), baseline=FIXED)
    (row,) = [one for one in table.rows if one.system == STUDENT]
    assert row.difference == (None, None, 0)
    assert "saw the same images" in text_of(table)


@pytest.mark.parametrize(("kind", "compare", "name"), [("fixed", [FIXED], FIXED), ("e2e", True, E2E)])
def test_what_students_are_held_against_is_of_their_length(
    kind: str,
    compare: Any,
    name: str,
    placed: Callable[..., Sweep],
    write_point: Callable[..., None],
    base: dict[str, Any],
) -> None:
    del base["student_epochs"]
    sweep = placed(grid={"student_epochs": [1, 3], "seed": [1]}, compare={kind: compare})
    short, long = points_by(sweep, "run")
    write_point(sweep, short, [28.0])
    write_point(sweep, long, [28.0, 28.5, 29.0])
    for other in points_by(sweep, kind):
        write_point(sweep, other, [20.0 + other.epochs] * other.epochs)
    table = table_in(sweep, baseline=name)
    differences = {row.values["student_epochs"]: row.difference for row in table.rows if row.system == STUDENT}
    # Each is held against the one that was trained for as long: 2 and 4 epochs.
    assert differences == {1: (6.0, None, 1), 3: (5.0, None, 1)}
    assert [row.values["epochs"] for row in table.rows if row.system == name] == [2, 4]


def test_end_to_end_training_is_the_baseline_where_nothing_else_is_named(
    placed: Callable[..., Sweep], write_point: Callable[..., None]
) -> None:
    sweep = placed(grid={"ladder": ["real", "4-bit"], "seed": [1]}, compare={"e2e": True, "fixed": [FIXED]})
    real, bits = points_by(sweep, "run")
    (e2e,) = points_by(sweep, "e2e")
    write_point(sweep, real, [28.0])
    write_point(sweep, bits, [27.0])
    write_point(sweep, e2e, [26.0, 27.5])
    table = table_in(sweep)
    assert table.baseline is not None
    assert table.baseline.title == E2E
    by_ladder = {row.values["ladder"]: row.difference for row in table.rows if row.system == STUDENT}
    assert by_ladder == {"real": (0.5, None, 1), "4-bit": (-0.5, None, 1)}


def test_a_shared_teacher_is_paid_by_its_students(placed: Callable[..., Sweep], base: dict[str, Any]) -> None:
    del base["student_epochs"]
    sweep = placed(grid={"student_epochs": [1, 2], "seed": [3]}, teacher={"seed": 9}, jobs={"threads": 1})
    for point in sweep.points:
        work(sweep.path, point.name)
    table = table_of(entries_of(sweep))
    short, long = table.rows
    assert (short.epochs, long.epochs) == (((1, 1),), ((1, 2),))
    (teacher,) = [one for one in sweep.points if one.kind == "teacher"]
    lines = (sweep.run_path(teacher) / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 1
    assert short.seconds is not None
    assert long.seconds is not None
    assert short.seconds[1] == long.seconds[1] > 0
    assert short.seconds[1] == pytest.approx(read_lines(Run(sweep.run_path(teacher)))[-1].seconds / 2)
    assert "divided among the points" in text_of(table)


def page_of(sweep: Sweep, **options: Any) -> str:
    """The page as it was written."""
    return page_in(sweep, table_in(sweep, **options)).read_text()


def test_the_page_shows_rows_curves_failures_and_points(written: Sweep) -> None:
    first, *_ = points_by(written, "run", ladder="real")
    (written.run_path(first) / "report.html").write_text("report")
    page = page_of(written, baseline=FIXED)
    assert "7 of 9 points done, 1 failed, 1 to do: this table is not complete" in page
    assert "28.70 ± 0.47" in page
    assert "+0.30 ± 0.20" in page
    assert page.count("data:image/png;base64") == 1
    assert "the disk is full" in page
    assert f'<a href="points/{first.name}/report.html">{first.name}</a>' in page
    assert page.count("/report.html") == 1
    assert all(point.name in page for point in written.points)


def test_the_page_of_nothing_yet(placed: Callable[..., Sweep]) -> None:
    page = page_of(placed(grid=GRID))
    assert "0 of 6 points done, 6 to do" in page
    assert "data:image" not in page
    assert "No curve (no seed is finished" in page


def test_the_commands_print_write_and_refuse(written: Sweep, tmp_path: Path) -> None:
    def command(*words: str) -> Result:
        return CliRunner().invoke(group, ["sweep", *words])

    sheet = tmp_path / "table.csv"
    shown = command("table", str(written.path), "--by", "ladder", "--baseline", FIXED, "--csv", str(sheet))
    assert shown.exit_code == 0
    assert "28.70 ± 0.47" in shown.stdout
    assert sheet.read_text().startswith("system,ladder,metric,mean,")
    with pytest.raises(FileError, match="exists already"):
        CliRunner().invoke(group, ["sweep", "table", str(written.path), "--csv", str(sheet)], catch_exceptions=False)
    assert command("table", str(written.path), "--csv", str(sheet), "--force").exit_code == 0
    assert sheet.read_text().count("\n") == 1 + 3
    found = json.loads(command("table", str(written.path), "--json", "--by", "").stdout)
    assert found["mean_over"] == {"ladder": ["real", "4-bit"]}
    assert json.loads(command("report", str(written.path), "--json").stdout) == {
        "report": str(written.path / "report.html")
    }
    assert "<h2>Curves</h2>" in (written.path / "report.html").read_text()
    with pytest.raises(InputError, match="did you mean ladder"):
        CliRunner().invoke(group, ["sweep", "table", str(written.path), "--by", "lader"], catch_exceptions=False)
