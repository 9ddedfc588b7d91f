"""Reconstruction folders that a report shows: images, checks, diagnostics, maps and remarks."""

from collections.abc import Sequence
from pathlib import Path

from cidesign.calibration.verify import missing_words
from cidesign.errors import FileError
from cidesign.reconstruct.classes import Classes
from cidesign.report import html
from cidesign.report.calibration_part import calibration_section, checks_table, is_calibration, picture_of
from cidesign.report.parts import Figure, Section
from cidesign.report.shown_record import Plain, Row, ShownRecord, shown_record

COMPARISON = "comparison.png"
# Tables with more columns do not fit the page.
WIDEST = 7
# A report shows at most so many maps and further pictures of a folder.
MAX_EXTRA = 12


def folder_section(folder: Path, design_digest: str) -> Section:
    """The section of a calibration or a reconstruction folder; raises `FileError` when it is neither."""
    if is_calibration(folder):
        return calibration_section(folder, design_digest)
    return included_section(folder, design_digest)


def included_section(folder: Path, design_digest: str) -> Section:
    """The section of one reconstruction; raises `FileError` when the folder holds none, or is damaged.

    A reconstruction of another design than `design_digest` is shown with a remark.
    """
    record = shown_record(folder)
    comparison = picture_of(folder, COMPARISON)
    blocks: list[str | Figure] = []
    if record.design_digest != design_digest:
        blocks.append(html.paragraph("This reconstruction is of another design than this run's.", "note"))
    blocks += _verdict(record)
    blocks.append(html.facts([(name.replace("_", " "), _cell(value)) for name, value in record.plain.items()]))
    blocks += _classes(record)
    blocks += [html.table(*_table(rows)) for rows in (record.images, record.table) if _columns(rows)]
    blocks.append(Figure("", comparison, f"{COMPARISON} of {folder.name}"))
    blocks += _diagnostics(record)
    named = {**record.maps, **record.pictures}
    if len(named) > MAX_EXTRA:
        raise FileError(f"{folder}: the record names {len(named)} pictures; a report shows at most {MAX_EXTRA}")
    blocks += [Figure("", picture_of(folder, f"{name}.png"), f"{name}.png: {text}.") for name, text in named.items()]
    if record.of_capture:
        blocks.append(html.paragraph("What was checked on this capture:"))
        blocks.append(checks_table(record.of_capture))
    blocks += [html.paragraph(remark, "note") for remark in record.notes]
    return Section(f"Reconstruction: {folder.resolve().name}", blocks)


def _verdict(record: ShownRecord) -> list[str | Figure]:
    """What the images rest on, in plain words."""
    if record.verdict is None:
        if record.calibration is None:
            return []
        text = "This record does not say whether its calibration was verified; reconstruct again to know."
        return [html.paragraph(text, "note")]
    if record.verdict == "passed":
        return [html.paragraph("PASSED: the calibration was verified, and so was this capture.", "good")]
    if record.verdict == "failed":
        text = "FAILED its verification, and was ACCEPTED all the same. These images cannot be trusted."
        return [html.paragraph(text, "bad")]
    missing = missing_words(record.not_looked_at)
    return [html.paragraph(f"NOT VERIFIED. {missing}. These images may be of a bench other than was told.", "bad")]


def _classes(record: ShownRecord) -> list[str]:
    """How probable each class is; what that rests on is among the notes."""
    if record.classes is None:
        return []
    found = Classes(record.classes)
    rows = [(name, f"{probability:.3f}") for name, probability in found.probabilities.items()]
    return [
        html.paragraph(f"{found.headline[0].upper()}{found.headline[1:]}."),
        html.table(("class", "probability"), rows),
    ]


def _diagnostics(record: ShownRecord) -> list[str]:
    """Tables of held-out readings, disagreement and uncertainty, each with what it means."""
    blocks = []
    held = record.held_out
    if held is not None:
        if _columns(held.images):
            blocks.append(html.paragraph("Held-out readings:"))
            blocks.append(html.table(*_table(held.images)))
        plain = {
            "error over that of wrong orders": held.error_over_wrong_order,
            "relative residual of what was held out": held.relative_residual,
        }
        known = [(name, _cell(value)) for name, value in plain.items() if value is not None]
        blocks += [html.facts(known)] if known else []
        blocks += [html.paragraph(held.meaning, "note")] if held.meaning else []
    rows = [
        (f"{name.replace('_', ' ')}: {inner.replace('_', ' ')}", _cell(value))
        for name, values in record.trust.items()
        for inner, value in values.items()
    ]
    return [*blocks, html.facts(rows)] if rows else blocks


def _columns(rows: Sequence[Row]) -> list[str]:
    """The columns in which any row has a value."""
    return list(dict.fromkeys(name for row in rows for name, value in row.items() if value is not None))


def _table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """One row for each of `rows`; or one for each of their values where these are many and the rows are few."""
    keys = _columns(rows)
    body = [[_cell(row.get(key)) for key in keys] for row in rows]
    names = [key.replace("_", " ") for key in keys]
    if len(keys) <= WIDEST or len(rows) > WIDEST:
        return names, body
    first, *others = ([name, *column] for name, column in zip(names, zip(*body, strict=True), strict=True))
    return first, others


def _cell(value: Plain | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
