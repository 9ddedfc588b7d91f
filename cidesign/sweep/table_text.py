"""A table of a sweep as text, as CSV, and as JSON."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cidesign.files import Json, JsonObject
from cidesign.sweep.table import Mean, Row, State, Table, value_text
from cidesign.text import counted, table

STATES: tuple[State, ...] = ("done", "running", "failed", "to do")
# Of a large sweep that has just begun there would be thousands.
MOST_NOTES = 20


def text_of(found: Table) -> str:
    """The table for a terminal: what it is of, its rows, and what must be known of them."""
    return "\n".join([*head_lines(found), "", table(cells_of(found), header_of(found)), *notes_of(found)])


def head_lines(found: Table) -> list[str]:
    """What is measured, and how much of the sweep is done."""
    return [
        f"{found.column.heading(' / ')} of validation images: mean ± standard error over seeds",
        progress_of(found),
    ]


def progress_of(found: Table) -> str:
    """How many points are done, and what the others are."""
    counts = Counter(one.state for one in found.entries)
    total = len(found.entries)
    if found.complete:
        return f"all {counted(total, 'point')} done"
    others = ", ".join(f"{counts[state]} {state}" for state in STATES[1:] if counts[state])
    return f"{counts['done']} of {total} points done, {others}: this table is not complete"


def header_of(found: Table) -> tuple[str, ...]:
    """The names of the columns."""
    compared = () if found.baseline is None else (f"less {found.baseline.title}", "pairs")
    return (
        "system", *found.by, "seeds", found.column.heading(" / "), *compared, "epochs", _time(found)
    )  # fmt: skip


def _time(found: Table) -> str:
    kinds = {one.found.on_processor for one in found.entries if one.found}
    where = "processor" if kinds <= {True} else "device" if kinds == {False} else "processor or device"
    return f"{where} / s"


def cells_of(found: Table) -> list[tuple[str, ...]]:
    """The rows as text."""
    return [_cells(found, row) for row in found.rows]


def _cells(found: Table, row: Row) -> tuple[str, ...]:
    digits = found.column.digits
    compared: tuple[str, ...] = ()
    if found.baseline is not None and row.difference is None:
        compared = ("baseline", "")
    elif row.difference is not None:
        compared = (mean_text(row.difference, digits, "+"), str(row.difference.seeds))
    return (
        row.system,
        *(value_text(row.values[name]) if name in row.values else "-" for name in found.by),
        _seeds(row),
        mean_text(row.mean, digits),
        *compared,
        ", ".join(f"{teacher} + {student}" for teacher, student in row.epochs) or "-",
        _seconds(row),
    )


def mean_text(mean: Mean, digits: int, sign: str = "") -> str:
    """`27.31 ± 0.05`; a single value without an error, and none where there is none."""
    if mean.value is None:
        return "-"
    error = "" if mean.standard_error is None else f" ± {mean.standard_error:.{digits}f}"
    # Without the sign of a zero.
    return f"{mean.value:{sign}z.{digits}f}{error}"


def _seeds(row: Row) -> str:
    planned = len(row.seeds) + len(row.missing)
    count = str(planned) if not row.missing else f"{len(row.seeds)} of {planned}"
    return f"{count} ({ranges(row.seeds)})" if row.seeds else count


def ranges(numbers: Sequence[int]) -> str:
    """Rising numbers in short: `1-3, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    # Of two neighbours a dash would save nothing.
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(parts)


def _seconds(row: Row) -> str:
    if row.seconds is None:
        return "-"
    total, share = row.seconds
    return f"{total:.0f}" + (f" ({share:.0f})" if share else "")


def notes_of(found: Table) -> list[str]:
    """What must be known to read the table: what is missing, and what is not compared like with like."""
    lines = []
    for name, values in found.left_out.items():
        if len(values) > 1:
            shown = ", ".join(value_text(value) for value in values)
            lines.append(f"each seed's value is the mean over {name}: {shown}")
    for row in found.rows:
        lines += [f"not in {row.title}: {part}" for part in _reasons(row.missing)]
        lines += [f"no pair for {row.title}: {part}" for part in _reasons(row.unpaired)]
    if len(lines) > MOST_NOTES:
        lines[MOST_NOTES:] = [f"and {len(lines) - MOST_NOTES} more such lines, all of them in --json"]
    seeds = {row.seeds for row in found.rows if row.seeds}
    if len(seeds) > 1:
        lines.append(
            "the means of rows are over different seeds, so that they cannot be compared with one another"
            + (
                "; the differences are of equal seeds"
                if found.baseline
                else " (--baseline: differences of equal seeds)"
            )
        )
    return [*lines, *_other_images(found), *_other_epochs(found), *_costs(found)]


def _reasons(of_seeds: Mapping[int, str]) -> list[str]:
    """`seeds 1-3: to do`, for each reason."""
    seeds: dict[str, list[int]] = {}
    for seed, why in of_seeds.items():
        seeds.setdefault(why, []).append(seed)
    return [f"seed{'' if len(part) == 1 else 's'} {ranges(part)}: {why}" for why, part in seeds.items()]


def _other_images(found: Table) -> list[str]:
    digests: dict[int, set[str]] = {}
    for one in found.entries:
        if one.found:
            digests.setdefault(one.seed, set()).add(one.found.data_digest)
    apart = sorted(seed for seed, names in digests.items() if len(names) > 1)
    if not apart:
        return []
    which = f"seed{'' if len(apart) == 1 else 's'} {ranges(apart)}"
    return [
        f"not all points of {which} saw the same images, so that means differ by their images too; only points with "
        "the same images make pairs"
    ]


def _other_epochs(found: Table) -> list[str]:
    totals = {sum(pair) for row in found.rows for pair in row.epochs}
    if len(totals) < 2:
        return []
    listed = ", ".join(str(total) for total in sorted(totals))
    return [f"not all rows were trained for as many epochs (teacher and student together: {listed})"]


def _costs(found: Table) -> list[str]:
    lines = ["epochs: of the teacher + of the student"]
    if any(row.seconds and row.seconds[1] for row in found.rows):
        lines.append("in brackets the share of a teacher's seconds, which are divided among the points that take it")
    if any(one.found and one.teacher_seconds is None for one in found.entries):
        lines.append("no seconds where they are not known, as of a stored teacher that is not of this sweep")
    return lines


def csv_of(found: Table) -> str:
    """The table as CSV, numbers in full; empty where there is none."""
    stream = io.StringIO()
    records = [_record(found, row) for row in found.rows]
    writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def _record(found: Table, row: Row) -> dict[str, object]:
    """One line of the CSV."""
    values = {name: value_text(row.values[name]) if name in row.values else None for name in found.by}
    difference = row.difference or Mean(None, None, 0)
    compared = {
        "baseline": found.baseline.title,
        "difference": difference.value,
        "difference_standard_error": difference.standard_error,
        "pairs": difference.seeds,
        "unpaired_seeds": _listed(row.unpaired),
    } if found.baseline else {}  # fmt: skip
    seconds, share = row.seconds or (None, None)
    return {
        "system": row.system,
        **values,
        "metric": found.column.metric,
        "mean": row.mean.value,
        "standard_error": row.mean.standard_error,
        "count": row.mean.seeds,
        "seeds": _listed(row.seeds),
        "missing_seeds": _listed(row.missing),
        **compared,
        "epochs_of_teacher": _listed(teacher for teacher, _ in row.epochs),
        "epochs_of_student": _listed(student for _, student in row.epochs),
        "training_seconds": seconds,
        "training_seconds_of_teacher": share,
        "points": len(row.entries),
        "points_done": sum(one.state == "done" for one in row.entries),
    }


def _listed(numbers: Iterable[int]) -> str:
    return " ".join(str(number) for number in numbers)


def json_of(found: Table) -> JsonObject:
    """The table with all that `text_of` says, numbers in full."""
    counts = Counter(one.state for one in found.entries)
    return {
        "metric": found.column.metric,
        "unit": found.column.unit,
        "by": list(found.by),
        "mean_over": {name: [value_text(value) for value in values] for name, values in found.left_out.items()},
        "baseline": None if found.baseline is None else found.baseline.title,
        "points": {state: counts[state] for state in STATES},
        "complete": found.complete,
        "rows": [_json(row) for row in found.rows],
        "notes": notes_of(found),
    }


def _json(row: Row) -> Json:
    seconds, share = row.seconds or (None, None)
    return {
        "system": row.system,
        "values": {name: _plain(value) for name, value in row.values.items()},
        **_mean(row.mean, ""),
        "seeds": list(row.seeds),
        "missing": {str(seed): why for seed, why in row.missing.items()},
        **({} if row.difference is None else _mean(row.difference, "difference_")),
        "unpaired": {str(seed): why for seed, why in row.unpaired.items()},
        "epochs": [{"teacher": teacher, "student": student} for teacher, student in row.epochs],
        "training_seconds": seconds,
        "training_seconds_of_teacher": share,
        "points": [one.name for one in row.entries],
    }


def _mean(mean: Mean, prefix: str) -> dict[str, Json]:
    return {
        f"{prefix}mean": mean.value,
        f"{prefix}standard_error": mean.standard_error,
        f"{prefix}count": mean.seeds,
    }


def _plain(value: object) -> Json:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, bool | int | float | str) else None
