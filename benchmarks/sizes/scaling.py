"""How a training step grows with the side of an image: time per image, its parts, and memory.

Times are those of the processor (`time.process_time`) with one thread, so that other programs count little; they still
take their share of its caches, so figures are compared within one run alone.  Every row has processes of its own, for
the peak of memory; `U-Net` is forward and backward of the network alone on as many images, `the rest` is the step
without it: optics, noise, linear estimate and optimiser.  `growth` is the exponent of the time per image from one
side to the next, 2 for a time in proportion to the pixels.  With another checkout of cidesign the whole step of both
is timed in one run, row after row.

    python benchmarks/sizes/scaling.py [--only cassi] [--most 128] [--steps 2] [--old ../before]
"""

import argparse
import importlib.util
import json
import math
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from cidesign.data.source import load_images
from cidesign.distill.loop import as_floats, make_optimiser
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.hardware_profiles.loader import load_profile
from cidesign.models.system import ImagingSystem

# Profile, what is changed of its quick preset, and the sides.
ROWS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "single-pixel, 10 %": ("dlp4500", {"encoding": "offset"}, (32, 64, 128)),
    "the same, batch 16": ("dlp4500", {"encoding": "offset", "batch": 16}, (32, 64, 128)),
    "single-pixel, batch 4": ("dlp4500", {"encoding": "offset", "batch": 4}, (128, 256)),
    # Larger masks are trained in crops of 128 x 128, so a step is that of the crop.
    "cassi, 8 bands": ("chrome-laser-10um", {}, (32, 64, 128, 256, 512, 1024)),
    "mri, 1 coil": ("mri-generic-3t", {}, (64, 128, 256, 320)),
    "mri, 4 coils": ("mri-generic-3t", {"coils": 4}, (64, 128, 256, 320)),
    "mri, 8 coils": ("mri-generic-3t", {"coils": 8}, (64, 256)),
    "mri, 16 coils": ("mri-generic-3t", {"coils": 16}, (64, 256)),
    "mri, 32 coils": ("mri-generic-3t", {"coils": 32}, (64, 256)),
}


def peak_mb() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def network_step(system: ImagingSystem, x: torch.Tensor) -> None:
    """Forward and backward of the network alone."""
    padded = system.decoder._padded(x.clone().requires_grad_())
    with system.decoder._format(padded):
        correction, _ = system.decoder.unet(padded)
    correction.float().square().mean().backward()


def seconds_of(steps: int, step: Any) -> float:
    """Mean processor time of a step, after one that is not counted; with 0 steps, of that one."""
    started = time.process_time()
    step()
    if not steps:
        return time.process_time() - started
    started = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - started) / steps


def measure(name: str, side: int, part: str, steps: int) -> dict[str, Any]:
    """Seconds and peak memory of the whole step, or of the network alone."""
    if importlib.util.find_spec("cidesign.cli.memory"):  # older checkouts have none
        importlib.import_module("cidesign.cli.memory").keep_freed_memory()
    torch.set_num_threads(1)
    profile_name, changes, _ = ROWS[name]
    profile = load_profile(profile_name)
    settings = settings_for(profile, device="cpu", side=side, **changes)
    settings = settings.changed(images=settings.batch, validation_images=1)
    images = torch.from_numpy(load_images(settings, profile).train)
    x = as_floats(images)
    system = SystemMaker(settings, profile, images).system("student")
    optimiser = make_optimiser(system, settings)
    if hasattr(system.encoder, "places"):  # older checkouts look at all of every mask
        system.encoder.look_at(system.encoder.places(None)[-1])

    def whole() -> None:
        loss = functional.mse_loss(system(x, torch.Generator().manual_seed(1)).prediction, x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    seconds = seconds_of(steps, whole if part == "whole" else lambda: network_step(system, x))
    return {"seconds": seconds, "batch": len(x), "peak_mb": peak_mb()}


def child(name: str, side: int, part: str, steps: int, old: Path | None = None) -> dict[str, Any]:
    """The figures of a process of its own; with `old`, of that checkout."""
    asked = [sys.executable, __file__, "--child", name, str(side), part, "--steps", str(steps)]
    environment = {**os.environ, **({"PYTHONPATH": str(old)} if old else {})}
    done = subprocess.run(asked, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name begins so")
    parser.add_argument("--most", type=int, default=10_000, help="the largest side")
    parser.add_argument("--steps", type=int, default=2, help="0: the first alone, where one takes minutes")
    parser.add_argument("--old", type=lambda word: Path(word).resolve(), help="another checkout, timed beside this one")
    parser.add_argument("--child", nargs=3, metavar=("ROW", "SIDE", "PART"))
    options = parser.parse_args()
    if options.child:
        name, side, part = options.child
        print(json.dumps(measure(name, int(side), part, options.steps)))
        return
    print(f"processor time on one thread, batches of the quick presets, mean of {options.steps} steps")
    print(
        f"{'':20s}{'side':>5s}{'batch':>6s}{'ms/image':>10s}{'growth':>8s}{'U-Net':>9s}{'the rest':>9s}"
        f"{'rest/U-Net':>11s}{'peak MB':>9s}{'U-Net MB':>9s}" + (f"{'before ms':>11s}{'MB':>8s}" if options.old else "")
    )
    for name, (_, _, sides) in ROWS.items():
        before: tuple[int, float] | None = None
        for side in sides if name.startswith(options.only) else ():
            if side > options.most:
                continue
            whole, network = (child(name, side, part, options.steps) for part in ("whole", "network"))
            each = whole["seconds"] / whole["batch"]
            growth = f"{math.log(each / before[1]) / math.log(side / before[0]):.1f}" if before else ""
            rest = whole["seconds"] - network["seconds"]
            past = ""
            if options.old:
                old = child(name, side, "whole", options.steps, options.old)
                past = f"{1e3 * old['seconds'] / old['batch']:11.1f}{old['peak_mb']:8.0f}"
            print(
                f"{name:20s}{side:5d}{whole['batch']:6d}{1e3 * each:10.1f}{growth:>8s}{network['seconds']:8.2f}s"
                f"{rest:8.2f}s{rest / network['seconds']:11.2f}{whole['peak_mb']:9.0f}{network['peak_mb']:9.0f}{past}",
                flush=True,
            )
            before = side, each


if __name__ == "__main__":
    main()
