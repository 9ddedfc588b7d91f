"""The signature of a Pulseq file, in the conventions in which it is taken."""

import hashlib
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

HASHES = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
SignatureState = Literal["right", "edited", "cut", "unknown", "not last"]


class Signature(NamedTuple):
    """The hash in the file, what came of it, and the one that its bytes have as the specification takes it.

    `convention` says how the hash was taken where that is not the way of the specification.
    """

    state: SignatureState
    kind: str
    stated: str
    actual: str
    convention: str


def read_signature(content: bytes, rows: list[tuple[str, ...]], last: bool) -> Signature:
    """Hold the words of [SIGNATURE] against the bytes of the file; `last`: nothing follows the section."""
    words = {row[0]: row[1] for row in rows if len(row) == 2}
    kind = words.get("Type", "md5").lower().replace("-", "")
    stated = words.get("Hash", "").lower()
    if not last:
        return Signature("not last", kind, stated, "", "")
    if kind not in HASHES:
        # Whether it is whole is not known either.
        return Signature("unknown" if stated else "cut", kind, stated, "", "")
    if len(stated) < HASHES[kind]:
        return Signature("cut", kind, stated, "", "")
    starts = [match.start() for match in re.finditer(rb"(?m)^[ \t]*\[SIGNATURE\]", content)]
    actual = ""
    for convention, signed in _signed(content[: starts[-1]] if starts else b""):
        digest = hashlib.new(kind, signed, usedforsecurity=False).hexdigest()
        actual = actual or digest
        if digest == stated:
            return Signature("right", kind, stated, actual, convention)
    return Signature("edited", kind, stated, actual, "")


def _signed(before: bytes) -> Iterator[tuple[str, bytes]]:
    """What may have been signed, the specification's way first: they differ in line ends, in no word of the file."""
    unix = before.replace(b"\r\n", b"\n")
    texts = {
        "": before,
        "with the line ends of Unix": unix,
        "with the line ends of Windows": unix.replace(b"\n", b"\r\n"),
    }
    for ends, text in texts.items():
        newline = b"\r\n" if text.endswith(b"\r\n") else b"\n"
        bare = text.rstrip(b"\r\n")
        ways = {
            "": text.removesuffix(newline),
            "with the newline before [SIGNATURE], as JEMRIS takes it": text,
            "without the blank lines before [SIGNATURE]": bare,
            "with one of the blank lines before [SIGNATURE]": bare + newline,
        }
        for way, signed in ways.items():
            yield ", ".join(filter(None, (way, ends))), signed
