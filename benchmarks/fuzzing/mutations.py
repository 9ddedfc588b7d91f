"""How `fuzz.py` damages a file: as disks, transfers, editors and other people's writers do."""

import random
import re
from collections.abc import Callable

NUMBERS = (
    b"0",
    b"-1",
    b"1",
    b"255",
    b"65536",
    b"4294967296",
    b"1e400",
    b"-1e400",
    b"nan",
    b"1e-320",
    b"99999999999999999999",
)
WORDS = (b"null", b"true", b"[]", b"{}", b'""', b"\xff\xfe", b"\x00", b"../../x", b"inf", b"\n\n", b'"\\u0000"')
INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """`content` after one to four damages."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(WAYS)(content, rng)
    return content


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _flip_head(content: bytes, rng: random.Random) -> bytes:
    """Most formats keep what matters in their first bytes."""
    head = rng.choice((16, 128, 512))
    return _flip(content[:head], rng) + content[head:]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _cut_front(content: bytes, rng: random.Random) -> bytes:
    return content[rng.randrange(min(len(content), 64) + 1) :]


def _drop(content: bytes, rng: random.Random) -> bytes:
    at, length = _block(content, rng)
    return content[:at] + content[at + length :]


def _double(content: bytes, rng: random.Random) -> bytes:
    at, length = _block(content, rng)
    return content[: at + length] + content[at:]


def _blank(content: bytes, rng: random.Random) -> bytes:
    at, length = _block(content, rng)
    return content[:at] + rng.choice((b"\x00", b"\xff", b" ")) * length + content[at + length :]


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.randbytes(rng.randint(1, 64)) + content[at:]


def _exchange(content: bytes, rng: random.Random) -> bytes:
    (a, length), (b, _) = _block(content, rng), _block(content, rng)
    changed = bytearray(content)
    changed[a : a + length], changed[b : b + length] = content[b : b + length], content[a : a + length]
    return bytes(changed)


def _integer(content: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1, 2, 4, 8))
    if len(content) < size:
        return content
    at = rng.randrange(min(len(content) - size + 1, rng.choice((64, 1024, len(content)))))
    value = rng.choice(INTEGERS) % (1 << 8 * size)
    return content[:at] + value.to_bytes(size, rng.choice(("little", "big"))) + content[at + size :]


def _number(content: bytes, rng: random.Random) -> bytes:
    """Another number in the place of one that is written out."""
    return _replaced(content, rb"-?\d+(\.\d+)?([eE][+-]?\d+)?", rng.choice(NUMBERS), rng)


def _word(content: bytes, rng: random.Random) -> bytes:
    return _replaced(content, rb'"[^"\n]{1,60}"|[A-Za-z_]{2,}', rng.choice(WORDS), rng)


def _line(content: bytes, rng: random.Random) -> bytes:
    """A line left out, doubled, or exchanged with another."""
    lines = content.split(b"\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    way = rng.randrange(3)
    if way == 0:
        del lines[a]
    elif way == 1:
        lines.insert(b, lines[a])
    else:
        lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def _replaced(content: bytes, pattern: bytes, value: bytes, rng: random.Random) -> bytes:
    # The text of a binary file is near its front; a million matches of noise are not worth finding.
    found = list(re.finditer(pattern, content[:200_000]))
    if not found:
        return _flip(content, rng)
    chosen = rng.choice(found)
    return content[: chosen.start()] + value + content[chosen.end() :]


def _block(content: bytes, rng: random.Random) -> tuple[int, int]:
    length = min(len(content), rng.choice((1, 4, 16, 64, 512)))
    return rng.randrange(len(content) - length + 1), length


WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _flip_head, _cut, _cut_front, _drop, _double, _blank, _insert, _exchange, _integer, _number, _word, _line
)  # fmt: skip
