"""The memory that a training is said to take, beside the peak of a process that does it.

Every row is a process of its own: teacher and student for one epoch of two batches each, with validation, checkpoints
and the finished run.  `said` is what `distill` tells before it starts.

    python benchmarks/sizes/memory.py [--only cassi]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cidesign.distill.job import Listener, start_run
from cidesign.distill.needs import Needs
from cidesign.distill.presets import settings_for
from cidesign.hardware_profiles.loader import load_profile

# Name, profile, what is changed of its quick preset.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "single-pixel 32": ("dlp4500", {}),
    "single-pixel 64": ("dlp4500", {"side": 64, "encoding": "offset"}),
    "single-pixel 64, teacher of 4096": ("dlp4500", {"side": 64, "encoding": "offset", "ladder": "real@4096"}),
    "single-pixel 64, unrolled": ("dlp4500", {"side": 64, "encoding": "offset", "decoder": "unrolled"}),
    "cassi 32": ("chrome-laser-10um", {}),
    "cassi 64": ("chrome-laser-10um", {"side": 64}),
    "cassi 128": ("chrome-laser-10um", {"side": 128}),
    "cassi 64, 64 channels": ("chrome-laser-10um", {"side": 64, "channels": 64}),
    "mri 64": ("mri-generic-3t", {}),
    "mri 128, 4 coils": ("mri-generic-3t", {"side": 128, "coils": 4}),
    "mri 256": ("mri-generic-3t", {"side": 256}),
    "mri 256, 8 coils, batch 8": ("mri-generic-3t", {"side": 256, "coils": 8, "batch": 8}),
    "mri 64, 8 coils, unrolled": ("mri-generic-3t", {"coils": 8, "decoder": "unrolled"}),
    "mri 128, float32": ("mri-generic-3t", {"side": 128, "precision": "float32"}),
    "single-pixel 128": ("dlp4500", {"side": 128, "encoding": "offset", "patterns": 1000, "batch": 16}),
}


class Hears(Listener):
    """Keeps what is said."""

    def needs(self, needs: Needs) -> None:
        """The one memory of a training on the processor."""
        self.said_bytes = needs.memories[0].needed_bytes


def measure(name: str) -> dict[str, int]:
    """What is said, and the most that this process has had."""
    profile_name, changes = ROWS[name]
    profile = load_profile(profile_name)
    settings = settings_for(profile, device="cpu", threads=1, **changes)
    settings = settings.changed(
        images=2 * settings.batch, validation_images=2 * settings.batch, teacher_epochs=1, student_epochs=1
    )
    hears = Hears()
    with tempfile.TemporaryDirectory() as folder:
        start_run(Path(folder) / "run", settings, profile, False, hears)
    return {"said": hears.said_bytes, "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name begins so")
    parser.add_argument("--child", metavar="ROW")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child)))
        return
    print(f"{'quick preset, changed':36s}{'said':>9s}{'peak':>9s}{'said / peak':>13s}")
    for name in ROWS:
        if name.startswith(options.only):
            asked = [sys.executable, __file__, "--child", name]
            found = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
            said, peak = found["said"], found["peak"]
            print(f"{name:36s}{said / 1e9:6.2f} GB{peak / 1e9:6.2f} GB{said / peak:13.2f}", flush=True)


if __name__ == "__main__":
    main()
