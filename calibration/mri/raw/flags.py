"""What the flags of a readout say of its samples, format by format: the whole 64 bits of ISMRMRD and of Siemens."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


class Kinds(NamedTuple):
    """Of readouts (R,): noise scans, those that are no image, and those that were sampled backwards.

    `phase_correction`: those without phase encoding, in both directions, that belong to the image; among `skip`.
    """

    noise: Flags
    skip: Flags
    reverse: Flags
    phase_correction: Flags


@dataclass(frozen=True)
class FlagTable:
    """Names of flags by the number of their bit (from 0).

    `noise`, `reverse`: of these kinds, and `phase_correction`, which is in `skip` too.  `skip`: no image.
    `calibration`: no image unless `calibration_and_imaging` is set as well.  `refused`: they change what a sample
    means, in a way that is not undone here.  `remarked`: they may change it, by a convention of the site; and so may
    bits that no list has.  `harmless`: the rest.
    """

    field: str
    noise: int
    reverse: int
    phase_correction: int
    calibration: int
    calibration_and_imaging: int
    skip: dict[int, str]
    refused: dict[int, str]
    remarked: dict[int, str]
    harmless: frozenset[int]

    def kinds(self, flags: NDArray[np.uint64]) -> Kinds:
        """What each readout (R,) is."""
        skip = _any(flags, self.skip) | (_any(flags, [self.calibration]) & ~_any(flags, [self.calibration_and_imaging]))
        noise = _any(flags, [self.noise])
        # Those of a reference scan are of other readouts.
        correction = _any(flags, [self.phase_correction]) & ~_any(flags, [self.calibration]) & ~noise
        return Kinds(noise, skip & ~noise, _any(flags, [self.reverse]), correction)

    def calibration_only(self, flags: NDArray[np.uint64]) -> Flags:
        """Which readouts (R,) are calibration lines and, by their flags, no lines of the image."""
        return _any(flags, [self.calibration]) & ~_any(flags, [self.calibration_and_imaging, *self.skip])

    def refusal(self, flags: NDArray[np.uint64]) -> str | None:
        """Why imaging readouts with these flags are not read: `SIGNREV (sign reversal)`; None where they are."""
        found = [name for bit, name in self.refused.items() if _any(flags, [bit]).any()]
        return ", ".join(found) or None

    def remark(self, flags: NDArray[np.uint64]) -> str | None:
        """What is ignored because only the site knows what it means; None where there is nothing."""
        named = {self.noise, self.reverse, self.calibration, self.calibration_and_imaging, *self.skip, *self.refused}
        others = [bit for bit in range(64) if bit not in named | self.harmless and _any(flags, [bit]).any()]
        if not others:
            return None
        names = ", ".join(self.remarked.get(bit, f"bit {bit} (no meaning known)") for bit in others)
        return f"flags whose meaning is the site's are ignored: {names} ({self.field})"


def _any(flags: NDArray[np.uint64], bits: Iterable[int]) -> Flags:
    mask = np.uint64(sum(1 << bit for bit in bits))
    found: Flags = (flags & mask) != 0
    return found


# Numbers of ismrmrd.h, which counts from 1.  1 to 18 and 25 mark the first and the last of something.
ISMRMRD_FLAGS = FlagTable(
    field="AcquisitionHeader.flags",
    noise=18,
    reverse=21,
    phase_correction=23,
    calibration=19,
    calibration_and_imaging=20,
    skip={
        22: "NAVIGATION", 23: "PHASECORR", 25: "HPFEEDBACK", 26: "DUMMYSCAN", 27: "RTFEEDBACK",
        28: "SURFACECOILCORRECTIONSCAN", 29: "PHASE_STABILIZATION_REFERENCE", 30: "PHASE_STABILIZATION",
    },
    refused={bit: f"COMPRESSION{bit - 51} (compressed samples)" for bit in range(52, 56)},
    remarked={bit: f"USER{bit - 55}" for bit in range(56, 64)},
    harmless=frozenset([*range(18), 24]),
)  # fmt: skip

# Bits of the evaluation information mask (MDH) of Siemens, from 0.
SIEMENS_FLAGS = FlagTable(
    field="mdh.EvalInfoMask",
    noise=25,
    reverse=24,
    phase_correction=21,
    calibration=22,
    calibration_and_imaging=23,
    skip={
        0: "ACQEND", 1: "RTFEEDBACK", 2: "HPFEEDBACK", 5: "SYNCDATA", 14: "REFPHASESTABSCAN", 15: "PHASESTABSCAN",
        21: "PHASCOR", 35: "CT_NORMALIZE", 38: "SLICE_ACCEL_REFSCAN", 39: "SLICE_ACCEL_PHASCOR", 44: "PACE",
        50: "RETRO_LASTHEARTBEAT", 51: "RETRO_DUMMYSCAN", 53: "B1_CONTROLLOOP", 56: "MDH_VOP", 60: "no image",
    },
    refused={
        12: "SCANSCALEFACTOR (a scale of its own)", 13: "2NDHADAMARPULSE (Hadamard-encoded slices)",
        16: "D3FFT (a 3-D scan)", 17: "SIGNREV (sign reversal)", 19: "SWAPPED (readout and phase exchanged)",
        32: "REF_POSITION (the table moves)", 33: "SLC_AVERAGED (averaged slices)", 34: "TAGFLAG1 (adjustment scan)",
        40: "FIRST_SCAN_IN_BLADE (turned blades)", 41: "LAST_SCAN_IN_BLADE (turned blades)",
        42: "LAST_BLADE_IN_TR (turned blades)", 47: "RETRO_REPEATTHISHEARTBEAT (measured again)",
        48: "RETRO_REPEATPREVHEARTBEAT (measured again)", 49: "RETRO_ABORTSCANNOW (aborted)",
    },
    remarked={10: "RAWDATACORRECTION (one factor for each coil, not applied)", 61: "WIP_1", 62: "WIP_2", 63: "WIP_3"},
    harmless=frozenset([3, 4, 8, 11, 18, 20, 26, 27, 28, 29, 30, 31, 36, 37, 45, 46, 52, 54, 55]),
)  # fmt: skip
