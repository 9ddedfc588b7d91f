"""What is odd in a set of patterns, and not wrong: doubles, and patterns of one level."""

import hashlib

import numpy as np

from cidesign.pattern import PatternStack

_LISTED = 6


def remarks(design: PatternStack) -> list[str]:
    """Sentences about patterns that occur twice and patterns without structure; patterns are counted from 0."""
    first: dict[bytes, int] = {}
    doubles: list[str] = []
    constant: dict[int, list[int]] = {}
    for number, levels in enumerate(design.levels):
        found = first.setdefault(hashlib.sha256(np.ascontiguousarray(levels).tobytes()).digest(), number)
        level = int(levels.flat[0])
        if (levels == level).all():
            constant.setdefault(level, []).append(number)
        elif found != number:
            doubles.append(f"{number} is {found}")
    said = []
    if doubles:
        said.append(f"{len(doubles)} of the {design.count} patterns occur before: {_short(doubles)}")
    for level, numbers in sorted(constant.items()):
        state = {0: "off", design.max_level: "on"}.get(level, f"at level {level}")
        places = _short([str(number) for number in numbers])
        said.append(f"all mirrors are {state} in {len(numbers)} of the {design.count} patterns: {places}")
    return said


def _short(texts: list[str]) -> str:
    return ", ".join(texts[:_LISTED]) + (", ..." if len(texts) > _LISTED else "")
