"""What distillation gains over end-to-end training, for the three modalities, beside strong fixed designs.

    python benchmarks/distillation_gain.py --scale cpu --out /tmp/gain
    python benchmarks/distillation_gain.py --scale cpu --out /tmp/gain --part ablation --modality mri

Every row of every seed is kept in a file below --out as soon as it is trained, and is not trained again.  All rows of a
seed share initialisation, images and their order.  `S` epochs are the student's, `T` the teacher's; rows with T + S
epochs have the same total as the student and its teacher.  Real images are never trained on; they are read
from a folder given with --real, and skipped when there is none.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PROFILES = {"single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t"}
SMOOTH = {"mri": {"echo": "spin"}}  # as the tables of docs/results.md are, where nothing guides unless it is named
TARGET_DB = {"single-pixel": 1.05, "cassi": 1.53, "mri": 1.47}


@dataclass(frozen=True)
class Scale:
    """Sizes by modality: side, images, validation images, U-Net channels; then teacher and student epochs."""

    sizes: dict[str, tuple[int, int, int, int]]
    teacher_epochs: int
    student_epochs: int
    lines_r: float = 4.0


SCALES = {
    "smoke": Scale({"single-pixel": (16, 128, 32, 4), "cassi": (16, 64, 16, 4), "mri": (16, 64, 16, 4)}, 1, 1),
    "cpu": Scale({"single-pixel": (32, 4000, 400, 16), "cassi": (32, 1500, 200, 16), "mri": (64, 1200, 200, 16)}, 4, 4),
    "gpu": Scale(
        {"single-pixel": (64, 60_000, 2000, 64), "cassi": (128, 8000, 400, 64), "mri": (256, 6000, 400, 32)}, 50, 50
    ),
}


class Bench:
    """One modality with one seed: images, settings, and the rows that are done already."""

    def __init__(self, modality: str, scale_name: str, seed: int, real: Path | None, out: Path, **changes: Any) -> None:
        import torch

        from cidesign.data.source import load_images
        from cidesign.distill.choices.guiding import NO_TERMS
        from cidesign.distill.presets import settings_for
        from cidesign.distill.systems import SystemMaker
        from cidesign.hardware_profiles.loader import load_profile

        torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
        scale = SCALES[scale_name]
        side, images, validation, channels = scale.sizes[modality]
        self.profile = load_profile(PROFILES[modality])
        usual = {**NO_TERMS, "weighting": "fixed", "optics_start": "designed", **SMOOTH.get(modality, {})}
        self.settings = settings_for(
            self.profile,
            seed=seed,
            side=side,
            images=images,
            validation_images=validation,
            channels=channels,
            teacher_epochs=scale.teacher_epochs,
            student_epochs=scale.student_epochs,
            **usual,
            **changes,
        )
        self.modality, self.file = modality, out / f"{scale_name}-{modality}-{seed}.json"
        self.rows: dict[str, dict[str, float]] = json.loads(self.file.read_text()) if self.file.exists() else {}
        found = load_images(self.settings, self.profile)
        device = self.settings.device
        self.train, self.validation = (torch.from_numpy(part).to(device) for part in (found.train, found.validation))
        self.real = None if real is None else torch.from_numpy(_real_images(modality, side, real, self)).to(device)
        self.maker = SystemMaker(self.settings, self.profile, self.train)
        self.trained: dict[str, Any] = {}
        self.start: Callable[[str | None, Any], Any] | None = None

    def row(self, name: str, make: Callable[[], Any], keep: bool = False) -> None:
        """Train and measure a row that is not in the file yet; `keep` its system for others to start from."""
        if name in self.rows and not keep:
            return
        started = time.monotonic()
        system = make()
        if keep:
            self.trained[name] = system
        if name not in self.rows:
            self.rows[name] = {"seconds": time.monotonic() - started, **self.measure(system)}
            self.file.parent.mkdir(parents=True, exist_ok=True)
            partial = self.file.with_suffix(".partial")
            partial.write_text(json.dumps(self.rows, indent=1))
            os.replace(partial, self.file)
            print(f"{self.file.stem}: {name}: {_short(self.rows[name])}", flush=True)

    def measure(self, system: Any) -> dict[str, float]:
        """Metrics on procedural and real images, in float32."""
        import torch

        from cidesign.distill.comparison.evaluate import image_metrics

        system.decoder.training_dtype = None
        system.eval()
        values = {}
        with torch.no_grad():
            for where, images in (("procedural", self.validation), ("real", self.real)):
                if images is not None:
                    metrics = image_metrics(system, images, self.settings)
                    values |= {f"{where}_{name}": value for name, value in metrics.items()}
        return values

    def alone(self, epochs: int, design: Any = None) -> Any:
        """E2E, or a decoder for a fixed design."""
        from cidesign.distill.alone import train_alone

        if self.start is not None:
            self.maker.optics.start = self.start  # type: ignore[method-assign]
        return train_alone(self.maker, self.train, epochs, design)

    def taught(self, phase: str, origin: Any, guide: Any, **changes: Any) -> Any:
        """One phase of a run: a teacher, or a student that starts from `origin` and is guided by `guide`."""
        from cidesign.distill.checkpoint import Progress
        from cidesign.distill.loop import make_optimiser, train_phase
        from cidesign.distill.systems import SystemMaker

        settings = self.settings.changed(**changes)
        maker = SystemMaker(settings, self.profile, self.train)
        if self.start is not None:
            maker.optics.start = self.start  # type: ignore[method-assign]
        system = maker.system(phase)
        if origin is not None:
            maker.warm_start(system, origin)
        if guide is not None:
            guide.eval().requires_grad_(False)
        progress = Progress(phase)
        optimiser = make_optimiser(system, settings)
        for _ in train_phase(system, guide, optimiser, self.train, settings, progress, lambda report: None):
            pass
        system.encoder.explore(1.0, None)
        return system


def _real_images(modality: str, side: int, folder: Path, bench: Bench) -> Any:
    """Crops of real photographs, cubes or slices below the folder of shared samples, as stored for training."""
    from cidesign.data.folders import read_folder
    from cidesign.modalities.cassi.data.images import read_cubes
    from cidesign.modalities.mri.data.images import read_slices

    if modality == "single-pixel":
        parts = [read_folder(folder / "images" / name, side, 150, 50, 0) for name in ("kodak", "outdoor", "skimage")]
        return np.concatenate([images for part in parts for images in (part.train, part.validation)])[:, None]
    if modality == "cassi":
        bands = bench.profile.spectrograph.wavelengths_nm.value  # type: ignore[attr-defined]
        cubes = read_cubes(folder / "hsi", side, bands, 150, 50, 0)
        return np.concatenate([cubes.train, cubes.validation])
    slices = read_slices(folder / "mri" / "chris_t1.nii.gz", side, 75, 25, 0)
    return np.concatenate([slices.train, slices.validation])


def main_rows(bench: Bench) -> None:
    """Fixed designs, E2E, published distillation, ours, and the teacher."""
    from cidesign.modality import modality

    teacher_epochs, student_epochs = bench.settings.teacher_epochs, bench.settings.student_epochs
    both = teacher_epochs + student_epochs
    for name, design in modality(bench.modality).fixed_designs(bench.maker, bench.profile).items():
        bench.row(f"fixed: {name}", lambda design=design: bench.alone(both, design))
    bench.row("E2E, S epochs", lambda: bench.alone(student_epochs))
    bench.row("E2E, T + S epochs", lambda: bench.alone(both))
    wanted = {"published distillation", "ours", "teacher"}
    if wanted <= set(bench.rows):
        return
    bench.row("teacher", lambda: bench.taught("teacher", None, None), keep=True)
    teacher = bench.trained["teacher"]
    published = {
        "start": "fresh",
        "losses": "published",
        "weight_task": 0.1,
        "weight_decoder": 0.1,
        "weight_encoder": 0.8,
    }
    bench.row("published distillation", lambda: bench.taught("student", None, teacher, **published))
    bench.row("ours", lambda: bench.taught("student", teacher, teacher))


def ablation_rows(bench: Bench) -> None:
    """The warm-started student with each of the guiding terms, and with gradient weighting."""
    names = {
        f"ablation: {label}": {"weight_decoder": decoder, "weight_encoder": encoder, "weighting": weighting}
        for label, decoder, encoder, weighting in (
            ("no guiding term", 0.0, 0.0, "fixed"),
            ("decoder 0.1", 0.1, 0.0, "fixed"),
            ("encoder 0.1", 0.0, 0.1, "fixed"),
            ("both 0.1", 0.1, 0.1, "fixed"),
            ("both 0.1, gradient weighting", 0.1, 0.1, "gradient"),
        )
    }
    if set(names) <= set(bench.rows):
        return
    teacher = bench.taught("teacher", None, None)
    for name, changes in names.items():
        bench.row(name, lambda changes=changes: bench.taught("student", teacher, teacher, **changes))


GAPS = {
    "single-pixel": ("1-bit", "4-bit", "real", "real@2K", "real@4K"),
    "cassi": ("real",),
    "mri": ("R4", "soft", "R3", "R2", "R1.5", "R1"),
}


def gap_rows(bench: Bench) -> None:
    """The student against the relaxation of its teacher; where the first is none at all, two E2E runs in a row."""
    for relaxation in GAPS[bench.modality]:
        name = f"gap: {relaxation}"
        if name not in bench.rows:
            ladder = {"ladder": (_patterns(relaxation, bench),)}
            teacher = bench.taught("teacher", None, None, **ladder)
            bench.row(f"{name} (teacher)", lambda teacher=teacher: teacher)
            bench.row(name, lambda teacher=teacher, ladder=ladder: bench.taught("student", teacher, teacher, **ladder))


def _patterns(relaxation: str, bench: Bench) -> str:
    """2K and 4K patterns, as numbers."""
    count = getattr(bench.settings, "patterns", 0)
    return relaxation.replace("2K", str(2 * count)).replace("4K", str(4 * count))


NOISE = {
    "single-pixel": ("photoelectrons_per_frame", (1e4, 1e5, 1e6, 1e7)),
    "cassi": ("photoelectrons_full_scale", (200.0, 2000.0, 20_000.0)),
    "mri": ("noise", (0.05, 0.02, 0.005)),
}


def noise_rows(bench: Bench) -> None:
    """E2E and ours at equal total epochs, trained and measured at several noise levels."""
    from cidesign.distill.systems import SystemMaker

    field, levels = NOISE[bench.modality]
    usual = bench.settings
    both = usual.teacher_epochs + usual.student_epochs
    for level in levels:
        if f"noise {level:g}: ours" in bench.rows:
            continue
        bench.settings = usual.changed(**{field: level})
        bench.maker = SystemMaker(bench.settings, bench.profile, bench.train)
        bench.row(f"noise {level:g}: E2E, T + S epochs", lambda: bench.alone(both))
        teacher = bench.taught("teacher", None, None)
        bench.row(f"noise {level:g}: ours", lambda teacher=teacher: bench.taught("student", teacher, teacher))


def random_start_rows(bench: Bench) -> None:
    """The same comparison when the optics start from noise, as published baselines do."""
    import torch

    def noise(relaxation: str | None, images: torch.Tensor) -> torch.Tensor:
        blank = bench.maker.optics.encoder(relaxation).weight
        return 0.1 * torch.randn(blank.shape, generator=torch.Generator().manual_seed(bench.settings.seed))

    teacher_epochs, student_epochs = bench.settings.teacher_epochs, bench.settings.student_epochs
    if bench.modality == "cassi" or "random start: ours" in bench.rows:
        return  # a mask starts from noise anyway
    bench.start = noise
    bench.row("random start: E2E, S epochs", lambda: bench.alone(student_epochs))
    bench.row("random start: E2E, T + S epochs", lambda: bench.alone(teacher_epochs + student_epochs))
    teacher = bench.taught("teacher", None, None)
    bench.row("random start: teacher", lambda: teacher)
    bench.row("random start: ours", lambda: bench.taught("student", teacher, teacher))


PARTS = {
    "main": main_rows,
    "ablation": ablation_rows,
    "random-start": random_start_rows,
    "gap": gap_rows,
    "noise": noise_rows,
}


def _work(modality: str, scale: str, seed: int, part: str, real: Path | None, out: Path, threads: int) -> str:
    import torch

    torch.set_num_threads(threads)
    PARTS[part](Bench(modality, scale, seed, real, out))
    return f"{modality}, seed {seed}, {part}"


def _short(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items() if "psnr" in name or name == "seconds")


def _mean(values: list[float]) -> str:
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.2f} +- {error:.2f}"


def print_tables(modality: str, scale: str, seeds: list[int], out: Path) -> None:
    """Means with standard errors over the seeds that are done, and the paired differences against the targets."""
    files = [out / f"{scale}-{modality}-{seed}.json" for seed in seeds]
    rows = [json.loads(path.read_text()) for path in files if path.exists()]
    if not rows:
        return
    names = list(dict.fromkeys(name for found in rows for name in found))
    metrics = list(dict.fromkeys(key for found in rows for values in found.values() for key in values))
    metrics = [key for key in metrics if key != "seconds"]
    print(f"\n## {modality}\n\n| row | seeds | " + " | ".join(key.replace("_", " ") for key in metrics) + " |")
    print("|---|---|" + "---|" * len(metrics))
    for name in names:
        values = [found[name] for found in rows if name in found]
        cells = [_mean([value[key] for value in values]) for key in metrics]
        print(f"| {name} | {len(values)} | " + " | ".join(cells) + " |")
    whole = [found for found in rows if "ours" in found and "E2E, T + S epochs" in found]
    if not whole:
        return
    _print_random_start(rows)
    fixed = [name for name in names if name.startswith("fixed")]
    print("\n| paired difference, PSNR / dB | procedural | real |\n|---|---|---|")
    for against in ("E2E, S epochs", "E2E, T + S epochs", "published distillation", "teacher", *fixed):
        cells = []
        for where in ("procedural_psnr_db", "real_psnr_db"):
            pairs = [found for found in whole if against in found and where in found["ours"]]
            cells.append(_mean([found["ours"][where] - found[against][where] for found in pairs]) if pairs else "-")
        print(f"| ours - {against} | {cells[0]} | {cells[1]} |")
    for name in fixed:
        pairs = [
            found["E2E, T + S epochs"]["real_psnr_db"] - found[name]["real_psnr_db"]
            for found in whole
            if name in found and "real_psnr_db" in found[name]
        ]
        if pairs:
            print(f"| E2E, T + S epochs - {name} | | {_mean(pairs)} |")
    print(
        f"\ntargets: ours - E2E, S epochs at least +{TARGET_DB[modality]} dB; ours - E2E, T + S epochs above 0 by two "
        "standard errors"
    )


def _print_random_start(rows: list[dict[str, dict[str, float]]]) -> None:
    prefix = "random start: "
    for against in ("E2E, S epochs", "E2E, T + S epochs"):
        for where in ("procedural_psnr_db", "real_psnr_db"):
            pairs = [
                found[f"{prefix}ours"][where] - found[prefix + against][where]
                for found in rows
                if f"{prefix}ours" in found and where in found[f"{prefix}ours"]
            ]
            if pairs:
                print(f"{prefix}ours - {against}, {where.replace('_', ' ')}: {_mean(pairs)}")


def main() -> None:
    """Train what is missing, then print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    parser.add_argument("--modality", choices=PROFILES, action="append")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--out", type=Path, default=Path("gain"))
    parser.add_argument("--real", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument(
        "--processes", type=int, default=2, help="trainings at a time, each with an even share of cores"
    )
    parser.add_argument("--tables-only", action="store_true")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    modalities = options.modality or list(PROFILES)
    real = options.real if options.real.is_dir() else None
    started = time.monotonic()
    if not options.tables_only:
        threads = max(1, (os.cpu_count() or 1) // options.processes)
        with ProcessPoolExecutor(options.processes) as pool:
            waiting = [
                pool.submit(_work, modality, options.scale, seed, part, real, options.out, threads)
                for part in options.part or ["main"]
                for seed in seeds
                for modality in modalities
            ]
            for done in as_completed(waiting):
                print(f"done: {done.result()} after {time.monotonic() - started:.0f} s", flush=True)
    print(
        f"\n{datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"scale {options.scale}, {time.monotonic() - started:.0f} s"
    )
    for modality in modalities:
        print_tables(modality, options.scale, seeds, options.out)


if __name__ == "__main__":
    main()
