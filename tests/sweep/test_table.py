"""Tables of sweeps: means, standard errors and paired differences that were computed by hand."""

import csv
import io
import json
import math
from typing import Any

import pytest

from cidesign.errors import InputError
from cidesign.sweep.finished import Finished
from cidesign.sweep.table import E2E, STUDENT, Entry, Row, State, Table, Value, table_of
from cidesign.sweep.table_text import csv_of, json_of, ranges, text_of

FIXED = "Hadamard rows"


def entry(
    seed: int,
    psnr_db: float | None,
    system: str = STUDENT,
    state: State | None = None,
    digest: str | None = None,
    epochs: tuple[int, int] = (4, 4),
    seconds: float | None = 10.0,
    teacher_seconds: float | None = 0.0,
    task: str = "reconstruct",
    modality: str = "single-pixel",
    why: str = "",
    metrics: dict[str, float] | None = None,
    beside: tuple[str, ...] = (),
    **values: Value,
) -> Entry:
    """A point that is done where it has a score."""
    name = ",".join([system, *(f"{key}={value}" for key, value in values.items()), f"seed={seed}"])
    found = None
    if psnr_db is not None:
        found = Finished(
            metrics={"psnr_db": psnr_db, "ssim": 0.5, **(metrics or {})},
            data_digest=digest or f"images of seed {seed}",
            profile_digest="profile",
            teacher_epochs=epochs[0],
            student_epochs=epochs[1],
            seconds=seconds,
            on_processor=True,
        )
    state = state or ("to do" if found is None else "done")
    return Entry(name, system, task, modality, values, seed, state, found, why, teacher_seconds, beside)


def row(table: Table, system: str, **values: Value) -> Row:
    """The row of a system and values."""
    (found,) = [one for one in table.rows if one.system == system and dict(one.values) == values]
    return found


def of_three_seeds() -> list[Entry]:
    """Two ladders and end-to-end training with three seeds each; end to end depends on no ladder."""
    real, soft, e2e = (28.0, 28.5, 29.6), (27.0, 28.0, 28.4), (27.5, 28.4, 28.7)
    return [
        *(entry(seed, value, ladder=("real",)) for seed, value in enumerate(real, 1)),
        *(entry(seed, value, ladder=("real", "soft")) for seed, value in enumerate(soft, 1)),
        *(entry(seed, value, E2E, epochs=(0, 8), seconds=20.0) for seed, value in enumerate(e2e, 1)),
    ]


def test_mean_and_standard_error_are_over_seeds() -> None:
    table = table_of(of_three_seeds())
    assert table.by == ("ladder",)
    assert table.column.metric == "psnr_db"
    found = row(table, STUDENT, ladder=("real",))
    # 28.0, 28.5, 29.6: mean 28.7, deviations -0.7, -0.2, 0.9, their squares 1.34 in sum, variance 0.67
    assert found.mean.value == pytest.approx(28.7)
    assert found.mean.standard_error == pytest.approx(math.sqrt(0.67 / 3))
    assert found.seeds == (1, 2, 3)
    assert not found.missing
    assert found.difference is None


def test_differences_are_of_equal_seeds() -> None:
    table = table_of(of_three_seeds(), baseline="e2e")
    real, soft, e2e = table.rows
    assert real.difference is not None
    assert soft.difference is not None
    # 0.5, 0.1, 0.9
    assert real.difference.value == pytest.approx(0.5)
    assert real.difference.standard_error == pytest.approx(math.sqrt(0.16 / 3))
    assert real.difference.seeds == 3
    # -0.5, -0.4, -0.3
    assert soft.difference.value == pytest.approx(-0.4)
    assert soft.difference.standard_error == pytest.approx(0.1 / math.sqrt(3))
    assert e2e.difference is None
    assert e2e.system == E2E
    assert "baseline" in text_of(table)


def test_a_seed_that_is_missing_on_either_side_makes_no_pair() -> None:
    entries = of_three_seeds()
    entries[1] = entry(2, None, ladder=("real",), state="failed", why="lost power")
    entries[8] = entry(3, None, E2E)
    table = table_of(entries, baseline=E2E)
    real, soft, e2e = table.rows
    assert real.seeds == (1, 3)
    assert real.mean.value == pytest.approx(28.8)
    assert real.mean.standard_error == pytest.approx(0.8)
    assert list(real.missing) == [2]
    assert "failed (lost power)" in real.missing[2]
    # Only of seed 1 are both done.
    assert real.difference == (pytest.approx(0.5), None, 1)
    assert list(real.unpaired) == [3]
    assert "to do" in real.unpaired[3]
    assert soft.difference is not None
    assert soft.difference.seeds == 2
    assert soft.difference.value == pytest.approx(-0.45)
    assert e2e.mean.value == pytest.approx(27.95)
    text = text_of(table)
    assert "7 of 9 points done, 1 failed, 1 to do: this table is not complete" in text
    assert "2 of 3 (1, 3)" in text
    assert "over different seeds" in text
    assert "not in student, ladder=real: seed 2: student,ladder=('real',),seed=2: failed (lost power)" in text


def test_the_baseline_can_be_a_value_of_an_axis() -> None:
    table = table_of(of_three_seeds(), baseline="ladder=real")
    assert row(table, STUDENT, ladder=("real",)).difference is None
    soft = row(table, STUDENT, ladder=("real", "soft"))
    # -1.0, -0.5, -1.2
    assert soft.difference is not None
    assert soft.difference.value == pytest.approx(-0.9)
    assert soft.difference.standard_error == pytest.approx(math.sqrt(0.13 / 3))
    # What depends on no ladder is held against the student ones of the baseline.
    e2e = row(table, E2E)
    assert e2e.difference is not None
    assert e2e.difference.value == pytest.approx(-0.5)


@pytest.mark.parametrize("said", ["light=1e4", "light=10000", "light=10000.0"])
def test_numbers_of_a_baseline_are_read_as_numbers(said: str) -> None:
    entries = [entry(1, 20.0, light=1e4), entry(1, 23.0, light=1e6)]
    assert row(table_of(entries, baseline=said), STUDENT, light=1e6).difference == (3.0, None, 1)


def test_a_pair_has_equal_values_of_all_other_axes() -> None:
    entries = [
        entry(1, 20.0, ladder="a", light=1e4),
        entry(1, 30.0, ladder="a", light=1e6),
        entry(1, 19.0, E2E, light=1e4),
        entry(1, 27.0, E2E, light=1e6),
        entry(1, 15.0, FIXED, light=1e4),
    ]
    table = table_of(entries, baseline=E2E)
    assert row(table, STUDENT, ladder="a", light=1e4).difference == (1.0, None, 1)
    assert row(table, STUDENT, ladder="a", light=1e6).difference == (3.0, None, 1)
    assert row(table, FIXED, light=1e4).difference == (-4.0, None, 1)
    fixed = table_of(entries, baseline="hadamard ROWS")
    assert row(fixed, STUDENT, ladder="a", light=1e4).difference == (5.0, None, 1)
    dark = row(fixed, STUDENT, ladder="a", light=1e6)
    assert dark.difference == (None, None, 0)
    assert "no point of Hadamard rows" in dark.unpaired[1]


def test_a_student_is_held_against_the_points_beside_it() -> None:
    # Those of other numbers of epochs have a system of their own each, trained for as many.
    short, long = entry(1, 20.0, E2E, epochs=(0, 4), epochs_=4), entry(1, 22.0, E2E, epochs=(0, 8), epochs_=8)
    entries = [
        entry(1, 20.5, student_epochs=2, epochs=(2, 2), beside=(short.name,)),
        entry(1, 21.5, student_epochs=6, epochs=(2, 6), beside=(long.name,)),
        short,
        long,
    ]
    table = table_of(entries, baseline=E2E)
    assert [one.difference for one in table.rows] == [(0.5, None, 1), (-0.5, None, 1), None, None]


def test_axes_that_are_left_out_are_averaged_only_where_all_of_a_seed_are_done() -> None:
    entries = [
        entry(1, 20.0, ladder="a", light=1e4),
        entry(1, 30.0, ladder="a", light=1e6),
        entry(2, 22.0, ladder="a", light=1e4),
        entry(2, None, ladder="a", light=1e6),
        entry(3, 24.0, ladder="a", light=1e4),
    ]
    table = table_of(entries, by=["ladder"])
    (found,) = table.rows
    # Seed 2 has its bright point to do, and seed 3 has none: a mean with them would be darker than that of seed 1.
    assert found.seeds == (1,)
    assert found.mean == (25.0, None, 1)
    assert set(found.missing) == {2, 3}
    assert "each seed's value is the mean over light: 10000, 1e+06" in text_of(table)


def test_points_that_saw_other_images_make_no_pair() -> None:
    entries = [entry(1, 20.0, ladder="a"), entry(1, 19.0, E2E, digest="others"), entry(2, 21.0, ladder="a")]
    entries.append(entry(2, 20.5, E2E))
    table = table_of(entries, baseline=E2E)
    found = row(table, STUDENT, ladder="a")
    assert found.difference == (0.5, None, 1)
    assert "other images" in found.unpaired[1]
    assert "not all points of seed 1 saw the same images" in text_of(table)


def test_a_number_that_is_not_finite_counts_as_missing() -> None:
    entries = [entry(1, math.nan, ladder="a"), entry(2, 21.0, ladder="a"), entry(1, 20.0, E2E), entry(2, 20.0, E2E)]
    found = row(table_of(entries, baseline=E2E), STUDENT, ladder="a")
    assert found.mean == (21.0, None, 1)
    assert "not finite" in found.missing[1]
    assert found.difference == (1.0, None, 1)


def test_unequal_training_is_said() -> None:
    assert "not all rows were trained" not in text_of(table_of(of_three_seeds()))
    entries = [*of_three_seeds(), entry(1, 25.0, FIXED, epochs=(0, 4))]
    assert "not all rows were trained for as many epochs (teacher and student together: 4, 8)" in text_of(
        table_of(entries)
    )


def test_a_shared_teacher_costs_each_student_its_share() -> None:
    entries = [
        entry(1, 20.0, ladder="a", seconds=10.0, teacher_seconds=5.0),
        entry(2, 20.0, ladder="a", seconds=20.0, teacher_seconds=7.0),
        entry(1, 20.0, E2E, seconds=30.0),
        entry(2, 20.0, E2E, seconds=None),
    ]
    table = table_of(entries)
    assert row(table, STUDENT, ladder="a").seconds == (21.0, 6.0)
    assert row(table, E2E).seconds is None
    assert "21 (6)" in text_of(table)
    assert "divided among the points" in text_of(table)


def test_csv_holds_numbers_in_full_and_lists_of_seeds() -> None:
    entries = of_three_seeds()
    entries[1] = entry(2, None, ladder=("real",))
    lines = list(csv.DictReader(io.StringIO(csv_of(table_of(entries, baseline=E2E)))))
    assert [line["system"] for line in lines] == [STUDENT, STUDENT, E2E]
    real = lines[0]
    assert real["ladder"] == "real"
    assert lines[1]["ladder"] == "real,soft"
    assert lines[2]["ladder"] == ""
    assert float(real["mean"]) == pytest.approx(28.8, abs=1e-12)
    assert float(real["difference"]) == pytest.approx(0.7, abs=1e-12)
    assert (real["seeds"], real["missing_seeds"], real["pairs"]) == ("1 3", "2", "2")
    assert (real["points"], real["points_done"]) == ("3", "2")


def test_json_holds_all_rows_and_notes() -> None:
    found: Any = json.loads(json.dumps(json_of(table_of(of_three_seeds(), baseline=E2E)), allow_nan=False))
    assert found["complete"]
    assert found["points"] == {"done": 9, "running": 0, "failed": 0, "to do": 0}
    assert found["rows"][1]["values"] == {"ladder": ["real", "soft"]}
    assert found["rows"][1]["difference_mean"] == pytest.approx(-0.4)
    assert "difference_mean" not in found["rows"][2]


def test_a_sweep_of_which_nothing_is_done_has_rows_without_numbers() -> None:
    table = table_of([entry(1, None, ladder="a"), entry(1, None, E2E)], baseline=E2E)
    assert [one.mean for one in table.rows] == [(None, None, 0)] * 2
    assert "0 of 2 points done, 2 to do" in text_of(table)


def test_another_metric_and_the_score_of_another_task() -> None:
    assert table_of(of_three_seeds(), metric="ssim").rows[0].mean.value == 0.5
    classes = [entry(1, 0.0, task="classify", metrics={"accuracy_percent": 80.0}, ladder="a")]
    table = table_of(classes)
    assert table.column.metric == "accuracy_percent"
    assert table.rows[0].mean.value == 80.0
    with pytest.raises(InputError, match="give a --metric"):
        table_of([*classes, entry(2, 20.0, ladder="a")])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": ["lader"]}, "did you mean ladder"),
        ({"by": ["seed"]}, "means are over seeds"),
        ({"metric": "psnr"}, "did you mean psnr_db"),
        ({"baseline": "Hadamard"}, "there are student, E2E, ladder=real, ladder=real,soft"),
        ({"baseline": "ladder=imag"}, "no point of this sweep"),
        ({"baseline": "seed=1"}, "seed by seed"),
        ({"by": [], "baseline": "ladder=real"}, "add ladder to --by"),
    ],
)
def test_names_that_there_are_not_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        table_of(of_three_seeds(), **options)


def test_ranges_of_seeds() -> None:
    assert ranges([1, 2, 3, 5, 7, 8]) == "1-3, 5, 7, 8"


def test_equal_reasons_are_said_once_and_not_without_end() -> None:
    entries = [entry(seed, None, light=float(light)) for light in range(30) for seed in (1, 2, 3)]
    text = text_of(table_of(entries))
    assert "not in student, light=3: seeds 1-3: to do" in text
    assert text.count("not in student") == 20
    assert "and 10 more such lines, all of them in --json" in text


def test_students_stand_first_and_a_difference_of_nothing_has_no_sign() -> None:
    entries = [entry(1, 20.001, FIXED), entry(1, 20.001, E2E), entry(1, 20.0, ladder="a")]
    table = table_of(entries, baseline=E2E)
    assert [one.system for one in table.rows] == [STUDENT, E2E, FIXED]
    assert "+0.00" in text_of(table)
    assert "-0.00" not in text_of(table)
