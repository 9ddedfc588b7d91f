"""What goes wrong on benches and scanners: the names that the twins simulate and that calibrations give to it."""

from dataclasses import dataclass
from typing import get_args

from cidesign.checks import FaultName
from cidesign.errors import CidesignError, InputError

# A name of `cidesign.modality.FOLDERS`.
Modality = str


@dataclass(frozen=True)
class FaultKind:
    """What the strength of a fault means in one modality: its unit, its range, and the value where none is given."""

    meaning: str
    unit: str
    default: float
    least: float
    most: float
    whole: bool = False


_TURNED = "1: left and right exchanged, 2: top and bottom"
FAULTS: dict[Modality, dict[FaultName, FaultKind]] = {
    "single-pixel": {
        "lost-trigger": FaultKind("readings lost (negative: read twice)", "readings", 1, -3, 3, whole=True),
        "record-shift": FaultKind("scene recorded too early (negative: late)", "readings", -1, -16, 16, whole=True),
        "flicker": FaultKind("amplitude of the lamp's 100 Hz", "% of its light", 5, 0, 50),
        "drift": FaultKind("slow change of the lamp, peak to peak", "% of its light", 5, 0, 80),
        "saturation": FaultKind("an all-on white frame", "% of the converter's range", 160, 100, 1000),
        "dark": FaultKind("stray light while the dark frames were not taken", "% of full white", 2, -20, 20),
        "mirror": FaultKind(_TURNED, "", 1, 1, 2, whole=True),
        "inversion": FaultKind("on and off mirrors exchanged", "", 1, 1, 1, whole=True),
        "rotation": FaultKind("patterns turned clockwise on the scene", "degrees", 2, -30, 30),
        "shift": FaultKind("patterns shifted to the right on the scene", "super-pixels", 1, -4, 4),
        "bit-justification": FaultKind("low bits of the converter that are always 0", "bits", 4, 1, 8, whole=True),
        "gain-map": FaultKind("light missing in the corners of the field", "%", 30, 0, 90),
    },
    "cassi": {
        "saturation": FaultKind("the brightest white pixel", "% of the converter's range", 160, 100, 1000),
        "dark": FaultKind("stray light while the dark frames were not taken", "% of full white", 3, -20, 20),
        "mirror": FaultKind(_TURNED, "", 1, 1, 2, whole=True),
        "inversion": FaultKind("clear and opaque exchanged on the plate", "", 1, 1, 1, whole=True),
        "rotation": FaultKind("mask turned clockwise", "degrees", 0.5, -5, 5),
        "shift": FaultKind("mask shifted across the dispersion", "code pixels", 0.7, -8, 8),
        "wrong-step": FaultKind("dispersion differs from the profile's", "%", 4, -30, 30),
        "wrong-lamp": FaultKind("slope of the true lamp against the recorded one", "% from end to end", 60, -150, 150),
        "bit-justification": FaultKind("low bits of the converter that are always 0", "bits", 4, 1, 8, whole=True),
        "gain-map": FaultKind("light missing in the corners of the detector", "%", 30, 0, 90),
    },
    "mri": {
        "lost-trigger": FaultKind("readouts lost, so that the following lines move up", "lines", 1, 1, 3, whole=True),
        "drift": FaultKind("phase drift of the field during a scan of all lines", "degrees", 60, -360, 360),
        "saturation": FaultKind("the largest sample", "% of the converter's range", 200, 100, 1000),
        "dark": FaultKind("constant offset of every sample", "% of the largest sample", 1, 0, 20),
        "mirror": FaultKind("1: readout reversed, 2: phase encoding reversed", "", 1, 1, 2, whole=True),
        "shift": FaultKind("field of view shifted along phase encoding", "pixels", 3, -64, 64),
        "coil-loss": FaultKind("receive coils without signal", "coils", 1, 1, 64, whole=True),
        "trajectory-delay": FaultKind("echo behind the middle of the readout", "samples", 1.5, -8, 8),
        "line-offset": FaultKind("centre of k-space above the middle line", "lines", 2, -16, 16),
    },
    "mri-points": {
        "lost-trigger": FaultKind("readouts lost, so that the following points move up", "points", 1, 1, 3, whole=True),
        "drift": FaultKind("phase drift of the field during a scan of all points", "degrees", 60, -360, 360),
        "saturation": FaultKind("the largest sample", "% of the converter's range", 200, 100, 1000),
        "dark": FaultKind("constant offset of every sample", "% of the largest sample", 1, 0, 20),
        "coil-loss": FaultKind("receive coils without signal", "coils", 1, 1, 64, whole=True),
        "trajectory-delay": FaultKind("echo behind the middle of the readout", "samples", 1.5, -8, 8),
        "line-offset": FaultKind("centre of k-space above the middle line", "lines", 2, -16, 16),
    },
    "mri-shots": {
        "lost-trigger": FaultKind("shots lost, so that the following ones move up", "shots", 1, 1, 3, whole=True),
        "drift": FaultKind("phase drift of the field during the scan", "degrees", 60, -360, 360),
        "mirror": FaultKind("1: columns reversed, 2: rows reversed", "", 1, 1, 2, whole=True),
        "coil-loss": FaultKind("receive coils without signal", "coils", 1, 1, 64, whole=True),
        "trajectory-delay": FaultKind("gradients behind the samples", "us", 4, -100, 100),
    },
}


def fault_of(error: CidesignError) -> FaultName | None:
    """The fault that an error says it resembles, as a known name; None for one of no such kind."""
    return next((name for name in get_args(FaultName) if name == error.fault), None)


@dataclass(frozen=True)
class Fault:
    """A fault of a chosen strength, in the unit of its `FaultKind`."""

    name: FaultName
    strength: float


def parse_fault(text: str, modality: Modality) -> Fault:
    """`NAME` or `NAME=STRENGTH`; raises `InputError` that lists the known names, or the range of the strength."""
    word, equals, raw = text.partition("=")
    name = word.strip()
    kinds = FAULTS[modality]
    known = next((fault for fault in get_args(FaultName) if fault == name), None)
    if known is None or known not in kinds:
        about = "no such fault" if known is None else f"means nothing for a run of the modality {modality}"
        raise InputError(f"--fault {text}: {about}; known are {', '.join(kinds)}")
    kind = kinds[known]
    if not equals:
        return Fault(known, kind.default)
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
    return Fault(known, strength)


def parse_faults(texts: tuple[str, ...], modality: Modality) -> dict[FaultName, float]:
    """Faults by name; raises `InputError` for one that is named twice."""
    found: dict[FaultName, float] = {}
    for text in texts:
        fault = parse_fault(text, modality)
        if fault.name in found:
            raise InputError(f"--fault {text}: {fault.name} is given twice")
        found[fault.name] = fault.strength
    return found
