"""What was found of the systems of a run: images beside other designs, and the figures of merit of their optics."""

from cidesign.distill.comparison.evaluation_record import (
    EvaluationRecord,
    RowEntry,
    columns_of,
    optics_fields,
    optics_table,
    shown_value,
)
from cidesign.distill.comparison.optics_merit import BOUND, optics_merits
from cidesign.modality import modality
from cidesign.report import html
from cidesign.report.parts import Figure, Section, Shown
from cidesign.runs import Run


def evaluation_section(run: Run, record: EvaluationRecord) -> Section:
    """What `evaluate` found last."""
    columns = columns_of(record.rows, run.settings)
    rows = [(row.name, *(shown_value(row.values.get(name)) for name in columns)) for row in record.rows]
    skipped = f", {record.skipped} left out" if record.skipped else ""
    blocks: list[str | Figure] = [
        html.paragraph(f"{record.count} {record.measured}{skipped}; equal noise for all ({record.created_utc})."),
        html.table(("system", *columns.values()), rows),
        *(html.paragraph(remark, "note") for remark in record.remarks),
    ]
    if not record.held_out:
        blocks.append(html.paragraph("Not held out: the run was trained on these images.", "bad"))
    if record.design_digest != run.design.design_digest:
        blocks.append(html.paragraph("This was measured with another design than this run's.", "note"))
    return Section("Beside what needs no training, and other designs", blocks)


def optics_section(run: Run, shown: Shown, record: EvaluationRecord | None) -> Section:
    """The figures of merit of all systems that `evaluate` found, else those of the student and its teacher.

    A record of another design, or of a version that knew less of the optics, is not shown.
    """
    kind = modality(run.settings.modality)
    fits = record is not None and record.design_digest == run.design.design_digest
    rows = [row for row in record.rows if BOUND in row.optics] if record is not None and fits else []
    said = (
        f"As `cidesign evaluate` found them, with {record.count} {record.measured}."
        if record and rows
        else ("Of this run's own systems; `cidesign evaluate` puts other designs, and what is reached, beside them.")
    )
    if not rows:
        systems = {shown.scenes.own: shown.student, shown.teacher_name: shown.teacher}
        rows = [
            RowEntry(name=name, images={}, held_against={}, **optics_fields(found))
            for name, system in systems.items()
            if system is not None
            for found in [optics_merits(system, kind, shown.scenes.truth, None)]
        ]
    table = optics_table(rows, kind)
    lines = [*table.not_evaluated, *table.explanations]
    blocks: list[str | Figure] = [html.paragraph(said), html.table(table.header, table.rows)]
    return Section("Figures of merit of the optics", [*blocks, *(html.paragraph(line, "note") for line in lines)])
