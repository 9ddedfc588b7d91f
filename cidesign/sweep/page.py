"""The report of a sweep: one self-contained page with its table, curves over epochs, and what became of its points."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from cidesign.distill.tasks.base import task_named
from cidesign.files import write_bytes
from cidesign.modality import modality
from cidesign.report import html
from cidesign.report.html import Link
from cidesign.report.run_report import PAGE_FILE
from cidesign.sweep.curves import MOST_PANELS, curve_of, drawn, panels_of
from cidesign.sweep.table import Entry, Table, value_text, values_of
from cidesign.sweep.table_text import STATES, cells_of, head_lines, header_of, notes_of, progress_of


def write_page(folder: Path, table: Table, places: Mapping[str, str], scores: Mapping[str, Sequence[float]]) -> Path:
    """Write `report.html` into the folder of a sweep, in the place of an older one.

    `places`: where the run folders of points are below `folder`, by name; `scores`: what their students reached after
    each epoch.
    """
    progress = progress_of(table)
    sections = [("Results", _results(table)), ("Curves", _curves(table, scores))]
    failed = [one for one in table.entries if one.state == "failed"]
    if failed:
        sections.append(("What failed", html.table(("point", "why"), [(one.name, one.why or "-") for one in failed])))
    sections.append(("Points", _points(folder, table, places)))
    page = folder / PAGE_FILE
    write_bytes(page, html.page(f"Sweep {folder.resolve().name}: {progress}", sections).encode())
    return page


def _results(table: Table) -> str:
    measured, progress = head_lines(table)
    return "".join(
        [
            html.paragraph(progress, "good" if table.complete else "bad"),
            html.paragraph(measured),
            html.table(header_of(table), cells_of(table)),
            *(html.paragraph(note, "note") for note in notes_of(table)),
        ]
    )


def _curves(table: Table, scores: Mapping[str, Sequence[float]]) -> str:
    curves = {row.title: curve_of(row, scores) for row in table.rows}
    panels = panels_of([one for one in curves.values() if one is not None], table.by)
    blocks = []
    if panels:
        first = table.entries[0]
        title = task_named(first.task).score.heading(" / ", modality(first.modality).quality)
        caption = (
            f"{title} of students on the validation images after each epoch, as it was measured while they trained: "
            "the mean over the seeds of the table, and as a band its standard error. A student begins where the epochs "
            "of its teacher end. A row that does not depend on what a panel is of is drawn in each of them; each panel "
            "has a scale of its own."
        )
        blocks.append(html.picture(drawn(panels[:MOST_PANELS], title), caption))
    if panels[MOST_PANELS:]:
        blocks.append(html.paragraph(f"{MOST_PANELS} of {len(panels)} panels are drawn; the table holds all.", "note"))
    absent = [title for title, one in curves.items() if one is None]
    if absent:
        why = "no seed is finished, or its points were trained for different numbers of epochs, or not at all"
        blocks.append(html.paragraph(f"No curve ({why}): {'; '.join(absent)}.", "note"))
    return "".join(blocks)


def _points(folder: Path, table: Table, places: Mapping[str, str]) -> str:
    axes = list(values_of(table.entries))
    states = sorted(table.entries, key=lambda one: STATES.index(one.state))
    counted = ", ".join(f"{len(list(part))} {state}" for state, part in groupby(states, key=lambda one: one.state))
    rows = [
        (
            _linked(folder, one, places),
            one.system,
            *(value_text(one.values[name]) if name in one.values else "-" for name in axes),
            str(one.seed),
            one.state,
            _score(table, one),
            "-" if one.found is None else f"{one.found.teacher_epochs} + {one.found.student_epochs}",
        )
        for one in table.entries
    ]
    header = ("point", "system", *axes, "seed", "state", table.column.heading(" / "), "epochs: teacher + student")
    note = html.paragraph("A point whose run has a report (`cidesign report`) leads to it.", "note")
    return html.paragraph(f"{counted}.") + html.table(header, rows) + note


def _score(table: Table, entry: Entry) -> str:
    value = None if entry.found is None else entry.found.metrics.get(table.column.metric)
    return "-" if value is None else table.column.text(value)


def _linked(folder: Path, entry: Entry, places: Mapping[str, str]) -> html.Cell:
    target = f"{places[entry.name]}/{PAGE_FILE}"
    return Link(entry.name, target) if (folder / target).is_file() else entry.name
