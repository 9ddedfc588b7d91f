"""Time and size of an MRI export with every check: 64 and all of 256 lines of a 256 x 256 gradient echo, two scanners.

Run: python benchmarks/mri/export.py    (needs the extra `mri`)
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from cidesign.export.mri.checks import check_sequence
from cidesign.export.mri.lines import DEFAULT_FORMATS, plan_scan, verify_mri_export, write_mri_export
from cidesign.export.mri.protocol import GreProtocol
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines

LINES, CALIBRATION, REPEATS = 256, 24, 3
PROTOCOL = GreProtocol(
    fov_mm=256.0,
    slice_thickness_mm=5.0,
    flip_angle_deg=15.0,
    te_ms=5.0,
    tr_ms=12.0,
    bandwidth_hz_per_px=300.0,
    t1_ms=1000.0,
)


def lines_of(count: int, profile: MriProfile) -> CartesianLines:
    """`count` lines: the calibration block, and others at random."""
    centre = np.arange(LINES // 2 - CALIBRATION // 2, LINES // 2 + CALIBRATION // 2)
    others = np.setdiff1d(np.arange(LINES), centre)
    chosen = np.random.default_rng(1).choice(others, count - CALIBRATION, replace=False)
    acquired = np.sort(np.concatenate([centre, chosen])).astype(np.int64)
    return CartesianLines(LINES, LINES, acquired, CALIBRATION, profile.id, profile.digest)


def measure(count: int, profile: MriProfile, folder: Path) -> str:
    """One row of the table: the shortest of several runs."""
    design = lines_of(count, profile)
    times: dict[str, list[float]] = {"plan": [], "export": [], "check": [], "verify": []}

    def timed(name: str, start: float) -> None:
        times[name].append(time.perf_counter() - start)

    for _ in range(REPEATS):
        start = time.perf_counter()
        plan = plan_scan(design, PROTOCOL, profile)
        timed("plan", start)
        start = time.perf_counter()
        manifest = write_mri_export(design, profile, folder, PROTOCOL, DEFAULT_FORMATS, force=True)
        timed("export", start)
        start = time.perf_counter()
        check_sequence(folder / f"{manifest.name}_v150.seq", profile, design, "design")
        timed("check", start)
        start = time.perf_counter()
        list(verify_mri_export(folder))
        timed("verify", start)
    seq_kb = manifest.files[f"{manifest.name}_v150.seq"].bytes / 1000
    all_kb = sum(record.bytes for record in manifest.files.values()) / 1000
    best = {name: min(found) for name, found in times.items()}
    return (
        f"{profile.id:20} {count:5} {manifest.scan.dummies:7} {len(plan.blocks):6} {best['plan'] * 1e3:8.0f} "
        f"{best['export']:9.2f} {best['check']:8.2f} {best['verify']:9.2f} {seq_kb:9.0f} {all_kb:9.0f}"
    )


def main() -> None:
    """Print the table."""
    print(
        f"{'profile':20} {'lines':>5} {'dummies':>7} {'blocks':>6} {'plan/ms':>8} {'export/s':>9} {'check/s':>8} "
        f"{'verify/s':>9} {'seq/kB':>9} {'all/kB':>9}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("mri-generic-3t", "mri-ge-uhp"):
            profile = load_profile(name)
            assert isinstance(profile, MriProfile)
            for count in (64, LINES):
                print(measure(count, profile, Path(temporary) / f"{name}-{count}"))


if __name__ == "__main__":
    main()
