"""What a Pulseq file says about itself, read without pypulseq: version, definitions, signature, declared sizes."""

import re
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from cidesign.errors import FileError
from cidesign.export.mri.pulseq.sections import SeqLines, SeqSections, UnsupportedSequence, seq_lines, seq_sections
from cidesign.export.mri.pulseq.signature import Signature, read_signature
from cidesign.export.mri.pulseq.structure import MAX_SAMPLES, MAX_SHAPE_SAMPLES, playable
from cidesign.files import read_limited

MAX_SEQ_BYTES = 200_000_000
OLDEST, NEWEST = (1, 2, 0), (1, 5)
BINARY_START = b"\x01pulseq\x02"


class SeqText(NamedTuple):
    """The parts of the text that are checked beside what pypulseq reads, and the text that pypulseq is given.

    `ignored` are the optional extensions and labels that were left out of `playable`.
    """

    version: tuple[int, int, int]
    definitions: dict[str, str]
    signature: Signature | None
    blocks: int
    playable: str = ""
    ignored: tuple[str, ...] = ()

    @property
    def version_text(self) -> str:
        """The version as it is spoken of."""
        return ".".join(map(str, self.version))

    def numbers(self, name: str) -> list[float]:
        """The numbers of a definition; empty when it is missing or not numeric."""
        try:
            return [float(word) for word in self.definitions.get(name, "").split()]
        except ValueError:
            return []


def read_seq_text(path: Path) -> SeqText:
    """Read version, definitions and signature, and hold every line against the specification.

    Raises `FileError` for what is no Pulseq file of sane size, is cut or damaged, and `UnsupportedSequence` for a
    version, section or extension that the installed pypulseq does not read.
    """
    content = read_limited(path, "Pulseq file", MAX_SEQ_BYTES)
    if content.startswith(BINARY_START):
        raise not_supported(f"{path}: this is a binary Pulseq file")
    try:
        return _read(path, content)
    except UnsupportedSequence as error:
        raise not_supported(str(error)) from error


def not_supported(what: str) -> UnsupportedSequence:
    """The error for what the installed reader does not read, with what follows from it."""
    return UnsupportedSequence(
        f"{what}; that is not supported by the installed reader (pypulseq {reader_version()}), nothing was evaluated"
    )


def reader_version() -> str:
    """The version of pypulseq that is installed; it is not imported for that."""
    try:
        return metadata.version("pypulseq")
    except metadata.PackageNotFoundError:
        return "is missing"


def _read(path: Path, content: bytes) -> SeqText:
    lines = seq_lines(path, _text(path, content))
    version = _version(lines)
    if version < OLDEST or version[:2] > NEWEST:
        raise UnsupportedSequence(f"{path}: this is a Pulseq {'.'.join(map(str, version))} file")
    found = seq_sections(lines)
    _refuse_giants(found)
    definitions = {row.words[0]: " ".join(row.words[1:]) for row in found.rows.get("DEFINITIONS", [])}
    played = playable(found, version, definitions)
    signature = None
    if "SIGNATURE" in found.rows:
        rows = [row.words for row in found.rows["SIGNATURE"]]
        signature = read_signature(content, rows, found.last == "SIGNATURE")
    return SeqText(version, definitions, signature, played.blocks, played.text, played.ignored)


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise FileError(f"{path}: this is not a Pulseq text file ({error})") from error
        # Comments and names in another encoding; everything that is played is plain ASCII.
        return content.decode("latin-1")


def _version(lines: SeqLines) -> tuple[int, int, int]:
    words = {row.words[0]: row.words[-1] for row in lines.of("VERSION")}
    revision = re.match(r"\d+", words.get("revision", ""))
    try:
        return int(words["major"]), int(words["minor"]), int(revision[0]) if revision else int("")
    except (KeyError, ValueError) as error:
        raise FileError(
            f"{lines.path}: its [VERSION] is not major, minor and revision ({' '.join(words)[:80]})"
        ) from error


def _refuse_giants(found: SeqSections) -> None:
    """A few bytes can declare more samples than memory holds; they are refused before anything is unpacked."""
    readouts = [row.words[1] for row in found.rows.get("ADC", []) if len(row.words) > 1]
    shapes = [shape.declared for shape in found.shapes if shape.declared is not None]
    for what, words, most in (("readouts", readouts, MAX_SAMPLES), ("shapes", shapes, MAX_SHAPE_SAMPLES)):
        total = 0.0
        for word in words:
            try:
                count = float(word)
            except ValueError:
                continue  # the line itself is refused
            total += count
            if not (count >= 0 and total <= most):
                raise FileError(f"{found.path}: it declares {word[:40]} samples; in {what} at most {most} are read")
