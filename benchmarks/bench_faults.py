"""Faults of a bench: is each one found and named, and what does the calibration give back?

For each fault alone, and some together: whether the checks name exactly what is wrong, and the PSNR (dB) of the student
with the designed operator (uncalibrated), with the calibration, and with the true operator, lamp and triggers (oracle).
A calibration that fails is refused, and has no image.  Then clean benches: how many raise any finding at all.

    python benchmarks/bench_faults.py RUN [--seeds 5] [--clean 200]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from faults.cassi import cassi_case, cassi_missing
from faults.common import Case, Missing, Result, mean_and_error
from faults.mri import mri_case, mri_missing
from faults.spc import spc_case, spc_missing

from cidesign.checks import FaultName
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modality import modality
from cidesign.runs import Run
from cidesign.text import table

# Records of the scene that are shifted, by readings and by whole pairs.
SHIFTS: dict[str, list[dict[FaultName, float]]] = {
    "single-pixel": [{"record-shift": early} for early in (1, -2, 2, -3, 3, -5, 5, -8)],
}
TOGETHER: dict[str, list[dict[FaultName, float]]] = {
    "single-pixel": [
        {"flicker": 5, "drift": 5, "lost-trigger": 1},
        {"mirror": 1, "rotation": 3, "gain-map": 30},
        {"inversion": 1, "shift": 1, "dark": 2, "flicker": 3},
        {"record-shift": -1, "flicker": 5, "drift": 5},
    ],
    "cassi": [{"mirror": 1, "rotation": 0.5}, {"shift": 0.7, "wrong-step": 4, "gain-map": 30}],
    "mri": [{"coil-loss": 1, "trajectory-delay": 1.5}, {"shift": 3, "drift": 60}],
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--clean", type=int, default=200)
    options = parser.parse_args()
    name = Run(options.run).settings.modality
    case: Case[SinglePixelRun] | Case[CassiRun] | Case[MriRun]
    if name == "single-pixel":
        case = Case(SinglePixelRun(options.run), spc_case, spc_missing)
    elif name == "cassi":
        case = Case(CassiRun(options.run), cassi_case, cassi_missing)
    else:
        case = Case(MriRun(options.run), mri_case, mri_missing)
    kinds = modality(Run(options.run).settings.modality).bench().faults
    alone: list[dict[FaultName, float]] = [{name: kind.default} for name, kind in kinds.items()]
    shifts = SHIFTS.get(name, [])
    rows = (
        [_row(faults, case, options.seeds) for faults in [{}, *alone, *shifts, *TOGETHER[name]]]
        if options.seeds
        else []
    )
    header = ("fault", "found", "named", "only that", "uncalibrated", "calibrated", "oracle", "cal. - oracle")
    print(f"{options.run.name}: {name}, {options.seeds} seeds, mean +- standard error, PSNR in dB")
    print(table(rows, header), flush=True)
    _print_missing([case.without_targets(seed) for seed in range(options.seeds)])
    alarms: dict[int, str] = {}
    for seed in range(1000, 1000 + options.clean):
        result = case({}, seed, False)
        if result.findings:
            alarms[seed] = ", ".join(result.findings)
    print(f"false alarms on clean benches: {len(alarms)} of {options.clean} {alarms or ''}")


def _print_missing(found: list[Missing]) -> None:
    """Verdicts where a calibration target is missing; "passed" would be wrong in every row."""
    counts: dict[tuple[str, str], list[str]] = {}
    for left_out, faults, verdict in (one for each in found for one in each):
        name = " + ".join(f"{fault}={strength:g}" for fault, strength in faults.items()) or "none"
        counts.setdefault((left_out, name), []).append(verdict)
    rows = [
        (*key, *(f"{verdicts.count(verdict)}/{len(verdicts)}" for verdict in ("passed", "not verified", "failed")))
        for key, verdicts in counts.items()
    ]
    print(table(rows, ("left out", "fault", "passed", "not verified", "failed")) if rows else "", flush=True)


def _row(
    faults: dict[FaultName, float], case: Callable[[dict[FaultName, float], int, bool], Result], seeds: int
) -> tuple[str, ...]:
    results = [case(faults, seed, True) for seed in range(seeds)]
    name = " + ".join(f"{fault}={strength:g}" for fault, strength in faults.items()) or "none"
    found = sum(bool(result.findings) for result in results)
    # A record that begins late has lost its first triggers, and is called so.
    wanted: set[FaultName] = {"lost-trigger" if fault == "record-shift" else fault for fault in faults}
    named = sum(wanted <= set(result.faults) for result in results)
    only = sum(wanted == set(result.faults) for result in results)
    gaps = [r.calibrated_db - r.oracle_db for r in results if r.calibrated_db is not None and r.oracle_db is not None]
    return (
        name,
        f"{found}/{seeds}",
        f"{named}/{seeds}",
        f"{only}/{seeds}",
        mean_and_error([result.uncalibrated_db for result in results]),
        mean_and_error([result.calibrated_db for result in results]),
        mean_and_error([result.oracle_db for result in results]),
        f"{np.mean(gaps):+.2f}" if gaps else "refused",
    )


if __name__ == "__main__":
    main()
