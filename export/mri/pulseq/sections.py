"""A Pulseq text taken apart into its sections, and the errors that say where in it something is wrong.

The specification gives a file no end mark.  What is cut off is seen from what is then missing, and named as cut where
it lies at the end of the text; anywhere else the file is damaged.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cidesign.errors import FileError

# In the order in which they are written: what the last one of a cut file was to be followed by.
SECTIONS = (
    "VERSION",
    "DEFINITIONS",
    "BLOCKS",
    "RF",
    "GRADIENTS",
    "TRAP",
    "ADC",
    "DELAYS",
    "EXTENSIONS",
    "SHAPES",
    "SIGNATURE",
)
# Of what a damaged file says, so much is repeated.
SHOWN_LETTERS = 40


class UnsupportedSequence(FileError):
    """A file that may well be sound, of which nothing can be evaluated here."""


class Row(NamedTuple):
    """One line of a section: its number in the file (from 1) and its words."""

    line: int
    words: tuple[str, ...]


@dataclass
class Shape:
    """One shape as it is stored: its number, the samples it declares, its values, and its last line."""

    number: str
    declared: str | None
    values: list[float]
    line: int


class Extension(NamedTuple):
    """One kind of extension: the number that stands for it in [EXTENSIONS], and what is specified for it."""

    kind: str
    title: Row
    rows: list[Row]


class SeqSections(NamedTuple):
    """All of a Pulseq text; `last` and `last_line` are the section and the line at which it ends."""

    path: Path
    rows: dict[str, list[Row]]
    extensions: dict[str, Extension]
    shapes: list[Shape]
    last: str
    last_line: int

    def fault(self, section: str, line: int, what: str) -> FileError:
        """What is wrong in one line: a cut where the text ends there."""
        if line >= self.last_line:
            return self.cut(what)
        return FileError(f"{self.path}: line {line}, in [{section}]: {what}; the file is damaged")

    def cut(self, what: str) -> FileError:
        """What is missing because the text ends too early."""
        return FileError(
            f"{self.path}: it ends inside [{self.last}] (line {self.last_line}): {what}; it looks cut there, "
            "copy it anew"
        )

    def missing(self, section: str, line: int, user: str, what: str) -> FileError:
        """What `user` in `line` refers to is not in `section`: cut off, where the text does not go beyond it."""
        if SECTIONS.index(self.last) <= SECTIONS.index(section):
            return self.cut(f"{user} in line {line} needs {what}, which is not in [{section}]")
        return FileError(
            f"{self.path}: {user} in line {line} needs {what}, which is not in [{section}]; the file is damaged"
        )


class SeqLines(NamedTuple):
    """The lines of a Pulseq text that are neither blank nor comments, with their numbers, and those that are titles."""

    path: Path
    used: list[tuple[int, str]]
    titles: list[tuple[int, str]]

    def of(self, section: str) -> list[Row]:
        """The lines of one section."""
        rows, inside = [], False
        for number, line in self.used:
            if _is_title(line):
                inside = line[1:-1] == section
            elif inside:
                rows.append(Row(number, tuple(line.split())))
        return rows

    def empty(self) -> SeqSections:
        """The sections, with nothing in them yet."""
        last = self.titles[-1][1] if self.titles else ""
        return SeqSections(self.path, {}, {}, [], last, self.used[-1][0] if self.used else 0)


def seq_lines(path: Path, text: str) -> SeqLines:
    """The lines of a text; raises `FileError` for what is no Pulseq text, or is cut before its blocks."""
    # Not `splitlines`: it ends lines at letters that Pulseq does not end them at.
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    used = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    found = SeqLines(path, used, [(number, line[1:-1]) for number, line in used if _is_title(line)])
    names = {name for _, name in found.titles}
    if "VERSION" not in names or "BLOCKS" not in names:
        if "VERSION" in names and found.titles[-1][1] in ("VERSION", "DEFINITIONS"):
            raise found.empty().cut("[BLOCKS] is missing")
        raise FileError(f"{path}: this is not a Pulseq file; it has no [VERSION] or no [BLOCKS]")
    return found


def seq_sections(lines: SeqLines) -> SeqSections:
    """Take a text apart; raises `FileError` for a line that cannot be, cut or damaged."""
    found = lines.empty()
    for number, name in lines.titles:
        if name not in SECTIONS:
            raise UnsupportedSequence(
                f"{lines.path}: the section [{name[:SHOWN_LETTERS]}] in line {number} is none that is known here"
            )
    _fill(found, lines.used)
    return found


def _is_title(line: str) -> bool:
    return line.startswith("[") and line.endswith("]")


def _fill(found: SeqSections, used: list[tuple[int, str]]) -> None:
    section, rows = "", [Row(0, ())]
    for number, line in used:
        if _is_title(line):
            section = line[1:-1]
            rows = found.rows.setdefault(section, [])
            continue
        words = tuple(line.split())
        if not section:
            raise FileError(f"{found.path}: line {number} stands before any section; the file is damaged")
        if line.startswith("["):
            raise found.fault(section, number, f"{line[:SHOWN_LETTERS]!r} is no title of a section")
        if section == "SHAPES":
            _shape_line(found, number, words)
        elif words[0] == "extension" and section not in ("VERSION", "DEFINITIONS", "SIGNATURE"):
            found.rows.setdefault("EXTENSIONS", [])
            rows = _extension(found, Row(number, words))
        else:
            rows.append(Row(number, words))


def _extension(found: SeqSections, title: Row) -> list[Row]:
    if len(title.words) != 3 or not title.words[2].isdecimal():
        raise found.fault("EXTENSIONS", title.line, "an extension has a name and a number")
    name, kind = title.words[1:]
    if name in found.extensions or kind in (one.kind for one in found.extensions.values()):
        raise found.fault("EXTENSIONS", title.line, f"the extension {name} {kind} is there already")
    found.extensions[name] = Extension(kind, title, [])
    return found.extensions[name].rows


def _shape_line(found: SeqSections, number: int, words: tuple[str, ...]) -> None:
    shapes = found.shapes
    if words[0] == "shape_id" and len(words) == 2:
        shapes.append(Shape(words[1], None, [], number))
        return
    if shapes and words[0] == "num_samples" and len(words) == 2 and shapes[-1].declared is None:
        shapes[-1].declared, shapes[-1].line = words[1], number
        return
    try:
        value = float(words[0])
    except ValueError:
        value = float("nan")
    if len(words) != 1 or not abs(value) < float("inf"):
        raise found.fault("SHAPES", number, f"{' '.join(words)[:SHOWN_LETTERS]!r} is no sample of a shape")
    if not shapes or shapes[-1].declared is None:
        raise found.fault("SHAPES", number, "a sample stands before shape_id and num_samples")
    shapes[-1].values.append(value)
    shapes[-1].line = number
