"""Reconstruction folders that a report shows: their numbers, their remarks and their comparison picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cidesign.errors import FileError
from cidesign.files import read_json, read_limited
from cidesign.report import html
from cidesign.report.parts import Figure, Section

MAX_PICTURE_BYTES = 50_000_000
# What these say, the section itself does.
FORMAT_KEYS = {"schema_version", "kind"}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def included_section(folder: Path, design_digest: str) -> Section:
    """The section of one folder; raises `FileError` when it is not a reconstruction.

    A reconstruction of another design than `design_digest` is shown with a remark.
    """
    record = read_json(folder / "reconstruction.json", "reconstruction record")
    picture = read_limited(folder / "comparison.png", "comparison picture", MAX_PICTURE_BYTES)
    if not picture.startswith(PNG_SIGNATURE):
        raise FileError(f"{folder / 'comparison.png'}: this comparison picture is not a PNG; reconstruct again")
    blocks: list[str | Figure] = []
    if record.get("design_digest") != design_digest:
        blocks.append(html.paragraph("This reconstruction is of another design than this run's.", "note"))
    plain = [(key, _cell(value)) for key, value in record.items() if _is_plain(value) and key not in FORMAT_KEYS]
    blocks.append(html.facts(plain))
    blocks += [html.table(*rows) for rows in _tables(record)]
    blocks.append(Figure("", picture, f"comparison.png of {folder.name}"))
    notes = record.get("notes")
    if isinstance(notes, list):
        blocks += [html.paragraph(str(remark), "note") for remark in notes]
    return Section(f"Reconstruction: {folder.resolve().name}", blocks)


def _tables(record: Mapping[str, Any]) -> list[tuple[list[str], list[list[str]]]]:
    """Header and rows of what the record says of each image, or of each row of its table."""
    found: list[tuple[list[str], list[list[str]]]] = []
    images = record.get("images")
    if isinstance(images, dict) and all(isinstance(entry, dict) for entry in images.values()):
        found.append(_table([{"image": name, **entry} for name, entry in images.items()]))
    rows = record.get("table")
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        found.append(_table(rows))
    return [(header, body) for header, body in found if body]


def _table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    header = list(dict.fromkeys(key for row in rows for key, value in row.items() if _is_plain(value)))
    return header, [[_cell(row.get(key)) for key in header] for row in rows]


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
