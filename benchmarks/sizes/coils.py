"""What receive coils cost in training: time and memory beside one coil, at 64, 256 and 320 lines.

Times are those of the processor (`time.process_time`) with one thread; every row has a process of its own, for the peak
of memory.  A step is that of the student's training (`as built`: the lines rest; `exploring`: they are learnt), and the
estimate alone is the linear one without the network.

    python benchmarks/sizes/coils.py [--sides 64 256 320] [--coils 1 4 8 16 32] [--steps 1]
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from cidesign.data.source import load_images
from cidesign.distill.loop import as_floats, make_optimiser
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.hardware_profiles.loader import load_profile

# The table's columns, with their widths.
HEADER = ("lines", "coils", "used", "as built ms", "exploring ms", "estimate ms", "peak MB", "of one coil")


def seconds_of(steps: int, step: Callable[[], object]) -> float:
    """Mean processor time of a step, after one that is not counted."""
    step()
    started = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - started) / steps


def measure(side: int, coils: int, steps: int, batch: int | None) -> dict[str, Any]:
    """Milliseconds per image of the steps, and the peak of memory in MB."""
    torch.set_num_threads(1)
    profile = load_profile("mri-generic-3t")
    settings = settings_for(profile, device="cpu", side=side, coils=coils, batch=batch)
    settings = settings.changed(images=settings.batch, validation_images=1)
    images = torch.from_numpy(load_images(settings, profile).train)
    x = as_floats(images)
    system = SystemMaker(settings, profile, images).system("student")
    optimiser = make_optimiser(system, settings)

    def step() -> None:
        y = system.encoder(x, torch.Generator().manual_seed(1))
        loss = functional.mse_loss(system.decoder(y, system.encoder).prediction, x)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    found: dict[str, Any] = {"used": getattr(settings, "virtual_coils", None) or coils}
    system.encoder.explore(1.0, None)
    found["built"] = 1e3 * seconds_of(steps, step) / len(x)
    system.encoder.explore(0.1, torch.Generator().manual_seed(1))
    found["exploring"] = 1e3 * seconds_of(steps, step) / len(x)
    system.encoder.explore(1.0, None)
    with torch.no_grad():
        y = system.encoder(x, torch.Generator().manual_seed(1))
        found["estimate"] = 1e3 * seconds_of(steps, lambda: system.decoder.linear_estimate(y, system.encoder)) / len(x)
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 256, 320])
    parser.add_argument("--coils", type=int, nargs="+", default=[1, 4, 8, 16, 32])
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--batch", type=int, help="images of a step [default: the preset's]")
    parser.add_argument("--child", type=int, nargs=2)
    options = parser.parse_args()
    if options.child:
        side, coils = options.child
        print(json.dumps(measure(side, coils, options.steps, options.batch)))
        return
    print("".join(f"{name:>14s}" for name in HEADER))
    for side in options.sides:
        single = None
        for coils in options.coils:
            asked = [sys.executable, __file__, "--child", str(side), str(coils), "--steps", str(options.steps)]
            asked += [] if options.batch is None else ["--batch", str(options.batch)]
            one = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
            single = single or one["built"]
            print(
                f"{side:14d}{coils:14d}{one['used']:14d}{one['built']:14.1f}{one['exploring']:14.1f}"
                f"{one['estimate']:14.1f}{one['peak_mb']:14.0f}{one['built'] / single:14.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
