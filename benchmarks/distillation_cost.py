"""Time and peak memory of a training step under guidance, relative to end-to-end training, for each modality.

Every variant runs in a process of its own (peak memory is that of the process, less what it held before training); the
variants take turns over several rounds, so that a busy machine slows all of them, and medians are shown.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROFILES = ("dlp4500", "chrome-laser-10um", "mri-generic-3t")
VARIANTS: dict[str, dict[str, Any]] = {
    "E2E": {},
    "ours (start from the teacher, no guiding term)": {"weight_decoder": 0.0, "weight_encoder": 0.0},
    "decoder term": {"weight_decoder": 0.1, "weight_encoder": 0.0},
    "encoder term": {"weight_decoder": 0.0, "weight_encoder": 0.1},
    "both terms": {"weight_decoder": 0.1, "weight_encoder": 0.1},
    "both terms, gradient weighting": {"weight_decoder": 0.1, "weight_encoder": 0.1, "weighting": "gradient"},
    "both terms, published": {"weight_decoder": 0.1, "weight_encoder": 0.8, "losses": "published"},
}
STEPS, WARM_UP = 15, 3
ROUNDS = 3


def measure(profile_name: str, variant: str) -> dict[str, float]:
    """Seconds of a step and MB above what was held before training."""
    import torch

    from cidesign.data.source import load_images
    from cidesign.distill.checkpoint import Progress
    from cidesign.distill.job import SystemMaker
    from cidesign.distill.loop import make_optimiser, train_phase
    from cidesign.distill.presets import Request, settings_for
    from cidesign.hardware_profiles.loader import load_profile

    profile = load_profile(profile_name)
    settings = settings_for(Request(), profile)
    batch = settings.batch
    settings = settings.model_copy(
        update={"images": batch * (STEPS + WARM_UP), "validation_images": 8, "student_epochs": 1, **VARIANTS[variant]}
    )
    train = torch.from_numpy(load_images(settings, profile).train)
    maker = SystemMaker(settings, profile, train)
    system = maker.system("student")
    teacher = None
    if variant != "E2E":
        teacher = maker.system("teacher").eval().requires_grad_(False)
    before_mb = _forget_peak()
    moments: list[float] = []
    phase = train_phase(
        system,
        teacher,
        make_optimiser(system, settings),
        train,
        settings,
        Progress("student"),
        lambda report: moments.append(time.perf_counter()),
    )
    for _ in phase:
        pass
    steps = [after - before for before, after in zip(moments[WARM_UP:], moments[WARM_UP + 1 :], strict=False)]
    return {"seconds": statistics.median(steps), "megabytes": _status_mb("VmHWM") - before_mb}


def _forget_peak() -> float:
    """Start a new peak of the memory (Linux); returns what is held now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_mb("VmRSS")


def _status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main() -> None:
    """Print a table for each modality."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one)))
        return
    for profile in PROFILES:
        found: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
        for _ in range(ROUNDS):
            for variant in VARIANTS:
                command = [sys.executable, __file__, "--one", profile, variant]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found[variant].append(json.loads(done.stdout.splitlines()[-1]))
        seconds = {name: statistics.median(row["seconds"] for row in rows) for name, rows in found.items()}
        memory = {name: statistics.median(row["megabytes"] for row in rows) for name, rows in found.items()}
        print(f"\n{profile}\n\n| step | ms | time / E2E | MB above start | memory / E2E |\n|---|---|---|---|---|")
        for name in VARIANTS:
            print(
                f"| {name} | {1000 * seconds[name]:.0f} | {seconds[name] / seconds['E2E']:.2f} | {memory[name]:.0f} | "
                f"{memory[name] / memory['E2E']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
