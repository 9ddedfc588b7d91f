"""What must hold in every Pulseq file before a library reads it, and the text that the library is then given.

pypulseq takes these for granted: it loops without end, stops somewhere inside, or reads something else.  So all lines
are held against the specification first.  What follows it is written out in the one form that pypulseq reads in full:
sections in their order without comments, and a blank line after every section and every shape, the last ones too.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from cidesign.export.mri.pulseq.sections import SECTIONS, Row, SeqSections, Shape, UnsupportedSequence

# Samples of all readouts, and of all shapes, of one file: more than any scan has, less than memory holds.
MAX_SAMPLES = 50_000_000
MAX_SHAPE_SAMPLES = 5_000_000
MAX_ID = 2**31 - 1
RASTERS = ("GradientRasterTime", "RadiofrequencyRasterTime", "AdcRasterTime", "BlockDurationRaster")
# What pypulseq 1.5.0 reads.
EXTENSIONS = ("TRIGGERS", "LABELSET", "LABELINC", "DELAYS")
LABELS = frozenset(
    [
        "SLC",
        "SEG",
        "REP",
        "AVG",
        "SET",
        "ECO",
        "PHS",
        "LIN",
        "PAR",
        "ACQ",
        "NAV",
        "REV",
        "SMS",
        "REF",
        "IMA",
        "NOISE",
        "PMC",
        "NOROT",
        "NOPOS",
        "NOSCL",
        "ONCE",
        "TRID",
    ]
)
# Extensions that change gradients or pulses: without them something else is played, be they called required or not.
CHANGE_WHAT_IS_PLAYED = ("ROTATIONS", "RF_SHIMS")
NEEDED_DEFINITION = "RequiredExtensions"
_EVENT_SECTIONS = ("RF", "GRADIENTS", "TRAP", "ADC", "DELAYS", "EXTENSIONS")
# Columns of a line in [BLOCKS] after number and duration, and the sections in which their events are.
_PLAYED = (("RF",), ("GRADIENTS", "TRAP"), ("GRADIENTS", "TRAP"), ("GRADIENTS", "TRAP"), ("ADC",), ("EXTENSIONS",))


class _Layout(NamedTuple):
    """The columns of a section: how many, which refer to shapes, which of those is the time shape, which are words."""

    columns: int
    shapes: tuple[int, ...] = ()
    time: int | None = None
    words: tuple[int, ...] = ()


_EXTENSION_LAYOUTS = {
    "TRIGGERS": _Layout(5),
    "LABELSET": _Layout(3, words=(2,)),
    "LABELINC": _Layout(3, words=(2,)),
    "DELAYS": _Layout(5, words=(4,)),
}


class Playable(NamedTuple):
    """The text for pypulseq, how many blocks it has, and what was left out of it."""

    text: str
    blocks: int
    ignored: tuple[str, ...]


def _layouts(version: tuple[int, int, int]) -> dict[str, _Layout]:
    layouts = {"TRAP": _Layout(6), "DELAYS": _Layout(2), "EXTENSIONS": _Layout(4)}
    layouts["BLOCKS"] = _Layout(8 if version > (1, 2, 1) else 7)
    if version >= (1, 5, 0):
        layouts["RF"] = _Layout(12, (2, 3, 4), 4, (11,))
        layouts["GRADIENTS"], layouts["ADC"] = _Layout(7, (4, 5), 5), _Layout(9, (8,))
    elif version >= (1, 4, 0):
        layouts["RF"], layouts["GRADIENTS"], layouts["ADC"] = (
            _Layout(8, (2, 3, 4), 4),
            _Layout(5, (2, 3), 3),
            _Layout(6),
        )
    else:
        layouts["RF"], layouts["GRADIENTS"], layouts["ADC"] = _Layout(7, (2, 3)), _Layout(4, (2,)), _Layout(6)
    return layouts


def playable(found: SeqSections, version: tuple[int, int, int], definitions: dict[str, str]) -> Playable:
    """Hold a file against the specification; raises `FileError` for what is cut or damaged.

    Raises `UnsupportedSequence` for what the installed reader does not know and what cannot be left out.
    """
    layouts = _layouts(version)
    for section, layout in layouts.items():
        for row in found.rows.get(section, []):
            _check_row(found, section, row, layout)
    _check_rasters(found, definitions)
    _check_unique(found)
    for shape in found.shapes:
        _check_shape(found, shape, version)
    _check_events(found, layouts)
    skipped, ignored = _skipped(found, definitions)
    following = _following(found, skipped)
    _check_blocks(found, version, following)
    text = "\n".join([*_rows(found, skipped, following), *_shapes(found)]) + "\n"
    return Playable(text, len(found.rows["BLOCKS"]), ignored)


def _check_row(found: SeqSections, section: str, row: Row, layout: _Layout) -> None:
    if len(row.words) != layout.columns:
        raise found.fault(section, row.line, f"{len(row.words)} values of {layout.columns}")
    for column, word in enumerate(row.words):
        if column not in layout.words and not _is_number(word):
            raise found.fault(section, row.line, f"{word[:40]!r} is not a number")
    whole = {0, *layout.shapes}
    if section in ("BLOCKS", "EXTENSIONS"):
        whole = set(range(layout.columns))
    if section == "ADC":
        whole |= {1}
    for column in sorted(whole):
        word = row.words[column]
        lowest = 1 if column == 0 or (section, column) == ("ADC", 1) else -1 if column == layout.time else 0
        if not (word.lstrip("-").isdecimal() and lowest <= int(word) <= MAX_ID):
            raise found.fault(section, row.line, f"{word} in column {column + 1} is no whole number from {lowest} on")


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _check_rasters(found: SeqSections, definitions: dict[str, str]) -> None:
    for name in RASTERS:
        word = definitions.get(name, "1")
        if not (_is_number(word) and float(word) > 0):
            line = next(row.line for row in found.rows["DEFINITIONS"] if row.words[0] == name)
            raise found.fault("DEFINITIONS", line, f"{name} is {word[:40]!r}, which is no time")


def _check_unique(found: SeqSections) -> None:
    groups = [("BLOCKS",), ("RF",), ("GRADIENTS", "TRAP"), ("ADC",), ("DELAYS",), ("EXTENSIONS",)]
    for group in groups:
        _unique(found, group[-1], [row for section in group for row in found.rows.get(section, [])])
    for name, extension in found.extensions.items():
        _unique(found, f"extension {name}", extension.rows)
    _unique(found, "SHAPES", [Row(shape.line, (shape.number,)) for shape in found.shapes])


def _unique(found: SeqSections, where: str, rows: list[Row]) -> None:
    seen: dict[str, int] = {}
    for row in rows:
        first = seen.setdefault(row.words[0], row.line)
        if first != row.line:
            raise found.fault(where, row.line, f"the number {row.words[0]} occurs twice, first in line {first}")


def _check_shape(found: SeqSections, shape: Shape, version: tuple[int, int, int]) -> None:
    if not (shape.number.isdecimal() and 1 <= int(shape.number) <= MAX_ID):
        raise found.fault("SHAPES", shape.line, f"shape_id {shape.number} is no whole number from 1 on")
    if shape.declared is None:
        raise found.fault("SHAPES", shape.line, f"shape {shape.number} has no num_samples")
    if not shape.declared.isdecimal():
        raise found.fault("SHAPES", shape.line, f"num_samples {shape.declared} of shape {shape.number} is no number")
    declared = int(shape.declared)
    # Since 1.4.0 as many values as samples are the samples themselves; before, everything was compressed.
    if len(shape.values) == declared and version >= (1, 4, 0):
        return
    samples = _samples(shape.values)
    if math.isnan(samples):
        raise found.fault("SHAPES", shape.line, f"shape {shape.number} has a run of equal values of no whole length")
    if samples != declared:
        raise found.fault(
            "SHAPES", shape.line, f"shape {shape.number} has {samples:g} of the {declared} samples that it declares"
        )


def _samples(values: list[float]) -> float:
    """How many samples run-length encoded values stand for; NaN where the length of a run is no whole number.

    Two equal values are followed by how many more there are of them.
    """
    total, index = 0.0, 0
    while index < len(values):
        if index + 1 < len(values) and values[index] == values[index + 1]:
            more = values[index + 2] if index + 2 < len(values) else 0.0
            if more < 0 or more != int(more):
                return math.nan
            total, index = total + 2 + more, index + 3
        else:
            total, index = total + 1, index + 1
    return total


def _check_events(found: SeqSections, layouts: dict[str, _Layout]) -> None:
    shapes = {int(shape.number) for shape in found.shapes}
    for section, layout in layouts.items():
        for row in found.rows.get(section, []):
            for column in layout.shapes:
                number = int(row.words[column])
                if number < 0:
                    raise UnsupportedSequence(
                        f"{found.path}: the event {row.words[0]} of [{section}] in line {row.line} is sampled on half "
                        "the raster (time shape -1)"
                    )
                if number and number not in shapes:
                    raise found.missing("SHAPES", row.line, f"[{section}] event {row.words[0]}", f"shape {number}")
            if section == "ADC" and float(row.words[2]) <= 0:
                raise found.fault(section, row.line, f"its dwell time is {row.words[2]} ns")


def _skipped(found: SeqSections, definitions: dict[str, str]) -> tuple[set[int], tuple[str, ...]]:
    """The entries of [EXTENSIONS] that are left out, and why; the specification allows it of what is not required."""
    required = definitions.get(NEEDED_DEFINITION, "").split()
    for name in required:
        if name not in EXTENSIONS:
            raise UnsupportedSequence(f"{found.path}: it requires the extension {name[:40]}")
    names = {extension.kind: name for name, extension in found.extensions.items()}
    skipped: set[int] = set()
    ignored: dict[str, None] = {f"extension {name[:40]}": None for name in found.extensions if name not in EXTENSIONS}
    known = {name: {row.words[0]: row for row in extension.rows} for name, extension in found.extensions.items()}
    for name in EXTENSIONS:
        for row in known.get(name, {}).values():
            _check_row(found, f"extension {name}", row, _EXTENSION_LAYOUTS[name])
    for entry in found.rows.get("EXTENSIONS", []):
        number, kind, ref, _ = entry.words
        if kind not in names:
            raise found.missing("EXTENSIONS", entry.line, f"entry {number}", f"the extension of kind {kind}")
        name = names[kind]
        if name in CHANGE_WHAT_IS_PLAYED:
            raise UnsupportedSequence(f"{found.path}: it uses the extension {name}, which changes what is played")
        if name not in EXTENSIONS:
            skipped.add(int(number))
        elif ref not in known[name]:
            raise found.missing("EXTENSIONS", entry.line, f"entry {number}", f"{name} {ref}")
        elif name.startswith("LABEL") and known[name][ref].words[2] not in LABELS:
            skipped.add(int(number))
            ignored[f"label {known[name][ref].words[2][:40]}"] = None
    return skipped, tuple(ignored)


def _following(found: SeqSections, skipped: set[int]) -> dict[int, int]:
    """For each entry of [EXTENSIONS], and for 0, the first from there on that is not left out."""
    after = {int(row.words[0]): (int(row.words[3]), row.line) for row in found.rows.get("EXTENSIONS", [])}
    following = {0: 0}
    for number in after:
        chain: list[int] = []
        at = number
        while at not in following:
            if at in chain:
                raise found.fault("EXTENSIONS", after[at][1], f"the list from entry {at} on runs in a circle")
            if at not in after:
                raise found.missing("EXTENSIONS", after[chain[-1]][1], f"entry {chain[-1]}", f"entry {at}")
            chain.append(at)
            at = after[at][0]
        for one in reversed(chain):
            following[one] = following[after[one][0]] if one in skipped else one
    return following


def _check_blocks(found: SeqSections, version: tuple[int, int, int], following: dict[int, int]) -> None:
    if not found.rows["BLOCKS"]:
        raise found.fault("BLOCKS", found.last_line if found.last == "BLOCKS" else 0, "it has no blocks")
    events = {section: {int(row.words[0]) for row in found.rows.get(section, [])} for section in _EVENT_SECTIONS}
    events["EXTENSIONS"] = set(following)
    played = _PLAYED if version >= (1, 4, 0) else (("DELAYS",), *_PLAYED)
    first = 2 if version >= (1, 4, 0) else 1
    for row in found.rows["BLOCKS"]:
        for sections, word in zip(played, row.words[first:], strict=False):
            number = int(word)
            if number and not any(number in events[section] for section in sections):
                last = sections[-1]
                raise found.missing(last, row.line, f"block {row.words[0]}", f"the event {number}")


def _rows(found: SeqSections, skipped: set[int], following: dict[int, int]) -> Iterator[str]:
    for section in SECTIONS:
        if section in ("SHAPES", "SIGNATURE") or section not in found.rows:
            continue
        if section != "EXTENSIONS":
            yield f"[{section}]"
        if section == "BLOCKS" and found.rows["BLOCKS"] and len(found.rows["BLOCKS"][0].words) == 8:
            for row in found.rows[section]:
                yield " ".join([*row.words[:7], str(following[int(row.words[7])])])
        elif section != "EXTENSIONS":
            yield from (" ".join(row.words) for row in found.rows[section])
        else:
            yield from _extensions(found, skipped, following)
        yield ""


def _extensions(found: SeqSections, skipped: set[int], following: dict[int, int]) -> Iterator[str]:
    kept = [row for row in found.rows["EXTENSIONS"] if int(row.words[0]) not in skipped]
    if not kept:
        return
    yield "[EXTENSIONS]"
    yield from (" ".join([*row.words[:3], str(following[int(row.words[3])])]) for row in kept)
    for name, extension in found.extensions.items():
        rows = [row for row in extension.rows if not name.startswith("LABEL") or row.words[2] in LABELS]
        if name in EXTENSIONS and rows:
            yield ""
            yield f"extension {name} {extension.kind}"
            yield from (" ".join(row.words) for row in rows)


def _shapes(found: SeqSections) -> Iterator[str]:
    if found.shapes:
        yield "[SHAPES]"
    for shape in found.shapes:
        yield ""
        yield f"shape_id {shape.number}"
        yield f"num_samples {shape.declared}"
        yield from map(repr, shape.values)
        yield ""
