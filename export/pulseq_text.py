"""What a Pulseq file says about itself, read without pypulseq: version, definitions, signature, declared sizes."""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from cidesign.errors import FileError
from cidesign.files import read_limited

MAX_SEQ_BYTES = 200_000_000
MAX_SAMPLES = 50_000_000
_HASHES = ("md5", "sha1", "sha256")


class Signature(NamedTuple):
    """The hash in the file and the one that its bytes have; `actual` None: of a kind that is not known."""

    kind: str
    stated: str
    actual: str | None


class SeqText(NamedTuple):
    """The parts of the text that are checked beside what pypulseq reads."""

    version: tuple[int, int, int]
    definitions: dict[str, str]
    signature: Signature | None
    blocks: int

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
    """Read version, definitions and signature; raises `FileError` for what cannot be a Pulseq file of sane size."""
    content = read_limited(path, "Pulseq file", MAX_SEQ_BYTES)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: this is not a Pulseq text file ({error}); binary files are not read") from error
    sections = _sections(text)
    if "VERSION" not in sections or "BLOCKS" not in sections:
        raise FileError(f"{path}: this is not a Pulseq file; it has no [VERSION] or no [BLOCKS]")
    words = {line.split()[0]: line.split()[-1] for line in sections["VERSION"]}
    try:
        version = (int(words["major"]), int(words["minor"]), int(re.match(r"\d+", words["revision"])[0]))  # type: ignore[index]
    except (KeyError, ValueError, TypeError) as error:
        raise FileError(f"{path}: its [VERSION] is not major, minor and revision ({' '.join(words)})") from error
    _refuse_giants(path, sections)
    definitions = {}
    for line in sections.get("DEFINITIONS", []):
        name, _, value = line.partition(" ")
        definitions[name] = value.strip()
    return SeqText(version, definitions, _signature(content, sections.get("SIGNATURE", [])), len(sections["BLOCKS"]))


def _sections(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            current = found.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            current.append(line)
    return found


def _refuse_giants(path: Path, sections: dict[str, list[str]]) -> None:
    """A few bytes can declare more samples than memory holds; they are refused before anything is unpacked."""
    declared = [line.split()[1] for line in sections.get("ADC", []) if len(line.split()) > 1]
    declared += [line.split()[1] for line in sections.get("SHAPES", []) if re.match(r"num_samples\s+\S", line)]
    # Run lengths inside compressed shapes are bounded by num_samples, which the sum below limits.
    total = 0.0
    for word in declared:
        try:
            count = float(word)
        except ValueError:
            continue  # pypulseq says what is wrong with the line
        total += count
        if not (count >= 0 and total <= MAX_SAMPLES):
            raise FileError(f"{path}: it declares {word} samples in one event; at most {MAX_SAMPLES} are read")


def _signature(content: bytes, lines: list[str]) -> Signature | None:
    words = {parts[0]: parts[1] for parts in (line.split() for line in lines) if len(parts) == 2}
    if "Hash" not in words:
        return None
    kind = words.get("Type", "md5").lower()
    # The newline before the section belongs to the signature, not to what is signed.
    starts = [match.start() for match in re.finditer(rb"\r?\n\[SIGNATURE\]", content)]
    signed = content[: starts[-1]] if starts else b""
    actual = hashlib.new(kind, signed, usedforsecurity=False).hexdigest() if kind in _HASHES else None
    return Signature(kind, words["Hash"].lower(), actual)
