"""Whether a change of the numerics costs quality: the same training with another checkout of cidesign, paired seeds.

Every seed trains in both checkouts with the same settings and images; the table gives the final validation PSNR of each
and the mean of the paired differences with its standard error.  The old checkout needs no installation: its folder
comes first on the path of modules.

    git worktree add ../before COMMIT
    python benchmarks/between_versions.py ../before [--seeds 3] [--only mri]
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# Quick sizes, fewer images.
ROWS = {
    "single-pixel 32": ("dlp4500", ["images=3000", "validation_images=500"]),
    "cassi 32": ("chrome-laser-10um", ["images=800", "validation_images=200"]),
    "mri 64, 1 coil": ("mri-generic-3t", ["images=1000", "validation_images=300"]),
    "mri 64, 4 coils": ("mri-generic-3t", ["images=1000", "validation_images=300", "coils=4"]),
}
HERE = Path(__file__).resolve().parents[1]


def trained(checkout: Path, profile: str, changes: list[str], seed: int, folder: Path) -> float:
    """PSNR in dB of the student of one training with one checkout."""
    options = [word for change in changes for word in ("--set", change)]
    command = [
        *(sys.executable, "-m", "cidesign", "distill", "--profile", profile, "--out", str(folder / "run")),
        *("--teacher-epochs", "2", "--student-epochs", "2", "--seed", str(seed), "--force", "--json", *options),
    ]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["metrics"]["student_psnr_db"])


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="the other checkout")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name begins so")
    options = parser.parse_args()
    print(f"{'':18s}{'before dB':>28s}{'now dB':>28s}{'now - before':>22s}")
    for name, (profile, changes) in ROWS.items():
        if not name.startswith(options.only):
            continue
        before, now = [], []
        for seed in range(1, options.seeds + 1):
            with tempfile.TemporaryDirectory() as folder:
                before.append(trained(options.old.resolve(), profile, changes, seed, Path(folder)))
                now.append(trained(HERE, profile, changes, seed, Path(folder)))
        gains = [new - old for new, old in zip(now, before, strict=True)]
        error = statistics.stdev(gains) / math.sqrt(len(gains))
        shown = [" ".join(f"{value:.2f}" for value in values) for values in (before, now)]
        print(f"{name:18s}{shown[0]:>28s}{shown[1]:>28s}{statistics.mean(gains):+12.3f} +- {error:.3f}", flush=True)


if __name__ == "__main__":
    main()
