"""Time and peak memory of a training step under guidance, relative to end-to-end training, for each modality.

Times: all variants train in one process and take turns step by step, so that a busy machine slows all of them alike;
the ratios are medians over the rounds.  Memory: a process for every variant, the peak less what was held before.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cidesign.distill.choices.guiding import NO_TERMS

PROFILES = ("dlp4500", "chrome-laser-10um", "mri-generic-3t")
VARIANTS: dict[str, dict[str, Any]] = {
    "E2E": {},
    "start from the teacher, no guiding term": {},
    "decoder term": {"weight_decoder": 0.1},
    "encoder term": {"weight_encoder": 0.1},
    "both terms": {"weight_decoder": 0.1, "weight_encoder": 0.1},
    "both terms, gradient weighting": {"weight_decoder": 0.1, "weight_encoder": 0.1, "weighting": "gradient"},
    "both terms, published": {"weight_decoder": 0.1, "weight_encoder": 0.8, "losses": "published"},
}
STEPS, WARM_UP = 15, 3


def _training(profile_name: str, variant: str, steps: int) -> Iterator[float]:
    """The seconds of one step after the other."""
    import torch

    from cidesign.data.source import load_images
    from cidesign.distill.checkpoint import Progress
    from cidesign.distill.loop import make_optimiser, train_phase
    from cidesign.distill.presets import settings_for
    from cidesign.distill.systems import SystemMaker
    from cidesign.hardware_profiles.loader import load_profile

    profile = load_profile(profile_name)
    settings = settings_for(profile, weighting="fixed", **NO_TERMS)
    changes = {"images": settings.batch, "validation_images": 8, "student_epochs": steps, **VARIANTS[variant]}
    settings = settings.changed(**changes)
    train = torch.from_numpy(load_images(settings, profile).train)
    maker = SystemMaker(settings, profile, train)
    system = maker.system("student")
    teacher = None if variant == "E2E" else maker.system("teacher").eval().requires_grad_(False)
    optimiser = make_optimiser(system, settings)
    progress = Progress("student")
    # One step is one epoch here, and the phase hands over control after each.
    phase = train_phase(system, teacher, optimiser, train, settings, progress, lambda report: None)
    yield 0.0
    while True:
        started = time.perf_counter()
        if next(phase, None) is None:
            return
        yield time.perf_counter() - started


def time_ratios(profile_name: str) -> tuple[float, dict[str, float]]:
    """Seconds of an E2E step, and of every variant's in units of it."""
    running = {variant: _training(profile_name, variant, STEPS + WARM_UP) for variant in VARIANTS}
    for training in running.values():
        for _ in range(1 + WARM_UP):
            next(training)
    rounds = [{variant: next(training) for variant, training in running.items()} for _ in range(STEPS)]
    ratios = {name: statistics.median(found[name] / found["E2E"] for found in rounds) for name in VARIANTS}
    return statistics.median(found["E2E"] for found in rounds), ratios


def peak_memory_mb(profile_name: str, variant: str) -> float:
    """The peak of a few steps above what was held before them, in MB."""
    training = _training(profile_name, variant, WARM_UP)
    next(training)
    before_mb = _forget_peak()
    for _ in training:
        pass
    return _status_mb("VmHWM") - before_mb


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
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(peak_memory_mb(*options.memory)))
        return
    for profile in PROFILES:
        memory_mb = {}
        for variant in VARIANTS:
            command = [sys.executable, __file__, "--memory", profile, variant]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            memory_mb[variant] = float(json.loads(done.stdout.splitlines()[-1]))
        seconds, ratios = time_ratios(profile)
        print(f"\n### {profile}\n\nAn E2E step took {1000 * seconds:.0f} ms.\n")
        print("| step | time / E2E | peak memory / E2E |\n|---|---|---|")
        for name in VARIANTS:
            print(f"| {name} | {ratios[name]:.2f} | {memory_mb[name] / memory_mb['E2E']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
