"""Reconstruction folders that a report shows: images, checks, diagnostics, maps and remarks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cidesign.calibration.verify import Check, NotLookedAt, Verdict, missing_words
from cidesign.errors import FileError
from cidesign.files import read_json
from cidesign.reconstruct.record import RECORD_FILE
from cidesign.records import first_problem
from cidesign.report import html
from cidesign.report.calibration_part import calibration_section, checks_table, is_calibration, picture_of
from cidesign.report.parts import Figure, Section

# What these say, the section itself does.
SAID_ELSEWHERE = {"schema_version", "kind", "verdict"}
COMPARISON = "comparison.png"
# Tables with more columns do not fit the page.
WIDEST = 7
# A report shows at most so many maps and further pictures of a folder.
MAX_EXTRA = 12
CASSI_PICTURES = {
    "spectra": "Spectra of some pixels in all cubes.",
    "residuals": (
        "What the cubes leave of the detector image, in units of its noise. Healthy is noise without shapes; shapes of "
        "the scene or the mask mean a wrong operator, but their absence proves nothing."
    ),
}


def folder_section(folder: Path, design_digest: str) -> Section:
    """The section of a calibration or a reconstruction folder; raises `FileError` when it is neither."""
    if is_calibration(folder):
        return calibration_section(folder, design_digest)
    return included_section(folder, design_digest)


def included_section(folder: Path, design_digest: str) -> Section:
    """The section of one reconstruction; raises `FileError` when the folder holds none, or is damaged.

    A reconstruction of another design than `design_digest` is shown with a remark.
    """
    record = read_json(folder / RECORD_FILE, "reconstruction record")
    comparison = picture_of(folder, COMPARISON)
    blocks: list[str | Figure] = []
    if record.get("design_digest") != design_digest:
        blocks.append(html.paragraph("This reconstruction is of another design than this run's.", "note"))
    blocks += _verdict(folder, record)
    plain = [
        (key.replace("_", " "), _cell(value))
        for key, value in record.items()
        if _is_plain(value) and key not in SAID_ELSEWHERE
    ]
    blocks.append(html.facts(plain))
    blocks += [html.table(*rows) for rows in _tables(record)]
    blocks.append(Figure("", comparison, f"{COMPARISON} of {folder.name}"))
    blocks += _diagnostics(record)
    blocks += [Figure("", picture_of(folder, f"{name}.png"), text) for name, text in _extra(folder, record).items()]
    checks = _judged(folder, record).of_capture
    if checks:
        blocks.append(html.paragraph("What was checked on this capture:"))
        blocks.append(checks_table(checks))
    notes = record.get("notes")
    if isinstance(notes, list):
        blocks += [html.paragraph(str(remark), "note") for remark in notes]
    return Section(f"Reconstruction: {folder.resolve().name}", blocks)


def _extra(folder: Path, record: Mapping[str, Any]) -> dict[str, str]:
    """Captions of the maps and pictures that the record names, by the stems of their files in the folder."""
    named: dict[str, str] = {}
    for key in ("maps", "pictures"):
        part = record.get(key)
        if isinstance(part, dict):
            named |= {name: f"{name}.png: {text}." for name, text in part.items() if isinstance(text, str)}
    if record.get("modality") == "cassi":
        named |= {name: text for name, text in CASSI_PICTURES.items() if (folder / f"{name}.png").is_file()}
    if len(named) > MAX_EXTRA:
        raise FileError(f"{folder}: the record names {len(named)} pictures; a report shows at most {MAX_EXTRA}")
    return named


class _Checks(BaseModel):
    """The checks of one verification."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    checks: list[Check] = []


class _OfCapture(BaseModel):
    """A verification; those of MRI hold that of the capture beside that of the calibration."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    capture: _Checks | None = None


class _Judged(BaseModel):
    """What a record says of the verdict that its images rest on, and of the checks of the capture; `verdict` is None
    in records without a calibration, and in those of earlier versions."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    verdict: Verdict | None = None
    not_looked_at: list[NotLookedAt] = []
    checks: list[Check] = []
    verification: _OfCapture = _OfCapture()

    @property
    def of_capture(self) -> list[Check]:
        """The checks of the capture."""
        return self.checks if self.verification.capture is None else self.verification.capture.checks


def _judged(folder: Path, record: Mapping[str, Any]) -> _Judged:
    try:
        return _Judged.model_validate(record)
    except ValidationError as error:
        raise FileError(f"{folder / RECORD_FILE}: {first_problem(error)}; reconstruct again") from error


def _verdict(folder: Path, record: Mapping[str, Any]) -> list[str | Figure]:
    """What the images rest on, in plain words."""
    judged = _judged(folder, record)
    if judged.verdict is None:
        if "calibration" not in record:
            return []
        text = "This record does not say whether its calibration was verified; reconstruct again to know."
        return [html.paragraph(text, "note")]
    if judged.verdict == "passed":
        return [html.paragraph("PASSED: the calibration was verified, and so was this capture.", "good")]
    if judged.verdict == "failed":
        text = "FAILED its verification, and was ACCEPTED all the same. These images cannot be trusted."
        return [html.paragraph(text, "bad")]
    missing = missing_words(judged.not_looked_at)
    return [html.paragraph(f"NOT VERIFIED. {missing}. These images may be of a bench other than was told.", "bad")]


def _diagnostics(record: Mapping[str, Any]) -> list[str]:
    """Tables of held-out readings, disagreement and uncertainty, each with what it means."""
    blocks = []
    held = record.get("held_out")
    if isinstance(held, dict):
        meaning = held.get("meaning")
        images = held.get("images")
        if isinstance(images, dict) and all(isinstance(entry, dict) for entry in images.values()):
            blocks.append(html.paragraph("Readings that were kept out:"))
            blocks.append(html.table(*_table([{"image": name, **entry} for name, entry in images.items()])))
            wrong = held.get("error_over_wrong_order")
            blocks += [html.facts([("error over that of wrong orders", _cell(wrong))])] if _is_plain(wrong) else []
        elif _is_plain(held.get("unexplained")):
            blocks.append(html.facts([("unexplained part of what was kept out", _cell(held["unexplained"]))]))
        if isinstance(meaning, str):
            blocks.append(html.paragraph(meaning, "note"))
    rows = [
        (f"{key.replace('_', ' ')}: {inner.replace('_', ' ')}", _cell(value))
        for key in ("disagreement", "uncertainty", "error_over_uncertainty")
        if isinstance(record.get(key), dict)
        for inner, value in record[key].items()
        if _is_plain(value)
    ]
    return [*blocks, html.facts(rows)] if rows else blocks


def _tables(record: Mapping[str, Any]) -> list[tuple[list[str], list[list[str]]]]:
    """Header and rows of what the record says of each image, or of each row of its table."""
    found: list[tuple[list[str], list[list[str]]]] = []
    images = record.get("images")
    if isinstance(images, list) and all(isinstance(entry, dict) for entry in images):
        found.append(_table(images))
    if isinstance(images, dict) and all(isinstance(entry, dict) for entry in images.values()):
        found.append(_table([{"image": name, **entry} for name, entry in images.items()]))
    rows = record.get("table")
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        found.append(_table(rows))
    return [(header, body) for header, body in found if body]


def _table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """One row for each of `rows`; or one for each of their values where these are many and the rows are few."""
    keys = list(dict.fromkeys(key for row in rows for key, value in row.items() if _is_plain(value)))
    body = [[_cell(row.get(key)) for key in keys] for row in rows]
    names = [key.replace("_", " ") for key in keys]
    if len(keys) <= WIDEST or len(rows) > WIDEST or not body:
        return names, body
    first, *others = ([name, *column] for name, column in zip(names, zip(*body, strict=True), strict=True))
    return first, others


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
