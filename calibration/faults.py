"""What goes wrong on benches and scanners: what a twin simulates and a calibration gives a name to.

Each twin says itself which faults it knows: `FAULTS` beside it, which its bench names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from cidesign.checks import FaultName, FileFault
from cidesign.errors import CidesignError, InputError


@dataclass(frozen=True)
class FaultKind:
    """What the strength of a fault means in one modality: its unit, its range, and the value where none is given."""

    meaning: str
    unit: str
    default: float
    least: float
    most: float
    whole: bool = False


FaultKinds = Mapping[FaultName, FaultKind]


def fault_of(error: CidesignError) -> FaultName | None:
    """What is wrong with the bench by an error; None for one of a file, or of no kind."""
    return None if error.fault in get_args(FileFault) else error.fault


@dataclass(frozen=True)
class Fault:
    """A fault of a chosen strength, in the unit of its `FaultKind`."""

    name: FaultName
    strength: float


def parse_fault(text: str, kinds: FaultKinds) -> Fault:
    """`NAME` or `NAME=STRENGTH`; raises `InputError` that lists the known names, or the range of the strength."""
    word, equals, raw = text.partition("=")
    name = word.strip()
    if name not in kinds:
        raise InputError(f"--fault {text}: this bench has no such fault; known are {', '.join(kinds)}")
    kind = kinds[name]
    if not equals:
        return Fault(name, kind.default)
    try:
        strength = float(raw)
    except ValueError as error:
        raise InputError(
            f"--fault {text}: {raw!r} is not a number ({kind.meaning}, {kind.unit or 'as said'})"
        ) from error
    if not kind.least <= strength <= kind.most or strength == 0 or (kind.whole and strength != round(strength)):
        whole = "a whole number " if kind.whole else ""
        raise InputError(
            f"--fault {text}: {kind.meaning}: {whole}from {kind.least:g} to {kind.most:g} {kind.unit}, not 0, is needed"
        )
    return Fault(name, strength)


def parse_faults(texts: tuple[str, ...], kinds: FaultKinds) -> dict[FaultName, float]:
    """Faults by name; raises `InputError` for one that is named twice."""
    found: dict[FaultName, float] = {}
    for text in texts:
        fault = parse_fault(text, kinds)
        if fault.name in found:
            raise InputError(f"--fault {text}: {fault.name} is given twice")
        found[fault.name] = fault.strength
    return found
