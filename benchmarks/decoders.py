"""The unrolled decoder against the U-Net: parameters, time of training, memory, and the images that come out.

    python benchmarks/decoders.py --out /tmp/decoders
    python benchmarks/decoders.py --out /tmp/decoders --modality mri --optics learnt --seeds 0,1,2

Both decoders start from the same linear estimate, with the same images in the same order and the same noise.  The U-Net
is trained twice: for as many epochs as the unrolled one, and for as many as take its time, in processor
seconds of one thread.  `held` optics (a random mask, lines of variable density) take no gradient,
so decoders alone are compared; `learnt` ones are what the end-to-end row of `evaluate` trains.  Every training is a
process of its own, whose largest resident size is the memory; what is in a file below --out is not trained again.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

PROFILES = {"cassi": "chrome-laser-10um", "mri": "mri-generic-3t"}
HELD = {"cassi": "random 50 %", "mri": "variable density"}


@dataclass(frozen=True)
class Scale:
    """Side, training images, epochs of the unrolled decoder, batch, and what else the modality is told."""

    side: int
    images: int
    epochs: int
    batch: int
    others: dict[str, Any]


# Some 200 steps each; of the scans, which take longest, few images are taken in small batches.
SCALES = {"cassi": Scale(32, 1500, 4, 32, {}), "mri": Scale(64, 640, 3, 8, {"coils": 4})}
VALIDATION = 200


def train(modality: str, scale: Scale, decoder: str, seed: int, epochs: int, learnt: bool) -> dict[str, float]:
    """One training, measured."""
    import torch

    from cidesign.data.source import load_images
    from cidesign.distill.alone import train_alone
    from cidesign.distill.loop import evaluate
    from cidesign.distill.presets import settings_for
    from cidesign.distill.systems import SystemMaker
    from cidesign.hardware_profiles.loader import load_profile
    from cidesign.modality import modality as modality_named

    torch.set_num_threads(1)
    profile = load_profile(PROFILES[modality])
    settings = settings_for(
        profile, seed=seed, side=scale.side, images=scale.images, validation_images=VALIDATION, decoder=decoder,
        teacher_epochs=1, student_epochs=epochs, channels=16, batch=scale.batch, device="cpu", **scale.others,
    )  # fmt: skip
    found = load_images(settings, profile)
    images, validation = torch.from_numpy(found.train), torch.from_numpy(found.validation)
    maker = SystemMaker(settings, profile, images)
    design = None if learnt else modality_named(modality).fixed_designs(maker, profile)[HELD[modality]]
    started = time.process_time()
    system = train_alone(maker, images, epochs, design)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    system.decoder.training_dtype = None
    return {
        "epochs": epochs,
        "seconds": seconds,
        "parameters": sum(weight.numel() for weight in system.decoder.parameters()),
        "peak_gb": peak,
        **evaluate(system, validation, settings),
    }


class Bench:
    """The trainings of one modality, each from its file or made now."""

    def __init__(self, arguments: argparse.Namespace, modality: str) -> None:
        self.out, self.optics, self.modality = arguments.out, arguments.optics, modality
        self.given = [
            f"--{name}={value}" for name in ("side", "images", "batch") if (value := getattr(arguments, name))
        ]
        self.scale = scale_of(arguments, modality)

    def result(self, decoder: str, seed: int, epochs: int) -> dict[str, float]:
        """What a training gave."""
        size = f"{self.scale.side}-{self.scale.images}-{self.scale.batch}"
        file = self.out / f"{self.modality}-{self.optics}-{size}-{decoder}-{epochs}-{seed}.json"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            one = f"{self.modality},{decoder},{seed},{epochs}"
            command = [sys.executable, __file__, f"--one={one}", f"--optics={self.optics}", *self.given]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            file.write_text(done.stdout)
            print(f"{file.stem}: {done.stdout.strip()}", file=sys.stderr, flush=True)
        found: dict[str, float] = json.loads(file.read_text())
        return found

    def table(self, seeds: list[int]) -> None:
        """Print the rows and the paired differences."""
        epochs = self.scale.epochs
        unrolled = [self.result("unrolled", seed, epochs) for seed in seeds]
        equal = [self.result("unet", seed, epochs) for seed in seeds]
        # The same number for all seeds, by the times of the first.
        more = max(epochs, round(epochs * unrolled[0]["seconds"] / equal[0]["seconds"]))
        longer = [self.result("unet", seed, more) for seed in seeds]
        print(f"\n{self.modality}, {self.scale}, optics {self.optics}, {len(seeds)} seeds\n")
        print("| decoder | parameters | epochs | processor seconds | peak memory / GB | PSNR / dB |")
        print("|---|---|---|---|---|---|")
        print(f"| linear estimate | 0 | 0 | | | {mean_and_error([one['linear_psnr_db'] for one in unrolled])} |")
        for name, rows in (("U-Net", equal), ("U-Net, as long", longer), ("unrolled", unrolled)):
            first = rows[0]
            seconds, peak = (statistics.mean(one[key] for one in rows) for key in ("seconds", "peak_gb"))
            print(
                f"| {name} | {first['parameters']:,} | {first['epochs']} | {seconds:.0f} | {peak:.2f} | "
                f"{mean_and_error([one['psnr_db'] for one in rows])} |"
            )
        for name, rows in (("epochs", equal), ("training time", longer)):
            gained = [one["psnr_db"] - other["psnr_db"] for one, other in zip(unrolled, rows, strict=True)]
            print(f"\nunrolled - U-Net at equal {name}: {mean_and_error(gained)} dB", end="")
        print(flush=True)


def scale_of(arguments: argparse.Namespace, modality: str) -> Scale:
    """The modality's own, with what was asked for."""
    asked = {name: getattr(arguments, name) for name in ("side", "images", "epochs", "batch")}
    return replace(SCALES[modality], **{name: value for name, value in asked.items() if value})


def mean_and_error(values: list[float]) -> str:
    """Mean +- standard error, where there are several."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} +- {statistics.stdev(values) / len(values) ** 0.5:.2f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("decoders"))
    parser.add_argument("--modality", choices=list(PROFILES))
    parser.add_argument("--optics", choices=("held", "learnt"), default="held")
    parser.add_argument("--seeds", default="0,1,2")
    for name in ("side", "images", "epochs", "batch"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        modality, decoder, seed, epochs = arguments.one.split(",")
        scale = scale_of(arguments, modality)
        print(json.dumps(train(modality, scale, decoder, int(seed), int(epochs), arguments.optics == "learnt")))
        return
    for modality in [arguments.modality] if arguments.modality else list(PROFILES):
        Bench(arguments, modality).table([int(seed) for seed in arguments.seeds.split(",")])


if __name__ == "__main__":
    main()
