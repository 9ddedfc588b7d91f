"""What a stored teacher is worth: epochs and processor seconds until a student is as good as end-to-end training (E2E).

    python benchmarks/studies/stored_teacher.py --scale cpu --out /tmp/stored
    python benchmarks/studies/stored_teacher.py --modality single-pixel --data PICTURES --out /tmp/stored

A teacher is trained for T epochs with images of a seed of its own, and is then there already.  Students start from it
and are trained for 1, 2, 4 ... epochs; E2E for 1, 2, 4 ... T + S.  Students and E2E of a seed share images, their
order and all noise; every row is a training of its own whose rates fall to zero over its own epochs.  Printed are PSNR
on validation images with mean and standard error over the seeds, the epochs that a student takes to reach E2E of T + S
epochs (between the rows: linear in the logarithm of the epochs), and what N students cost beside N such E2E trainings,
the teacher included, in epochs and in processor seconds.  With --family students of other limits (patterns, bit depth,
lines, coils, light) start from the same teacher too.  With --data the teacher never sees the pictures that are kept for
validation.  Every row is kept in a file below --out as soon as it is trained, and is not trained again.
"""

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

PROFILES = {"single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t"}
# Far from the students' seeds: the teacher has other images.
TEACHER_SEED = 1000
TARGET_SHARE, TARGET_COST = 0.25, 0.5
Rows = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Scale:
    """Sizes by modality: side, images, validation images, and settings of its own; then channels, T, S and the rows."""

    sizes: dict[str, tuple[int, int, int, dict[str, Any]]]
    channels: int
    teacher_epochs: int
    student_epochs: int
    students: tuple[int, ...]

    @property
    def total(self) -> int:
        """T + S."""
        return self.teacher_epochs + self.student_epochs

    @property
    def alone(self) -> list[int]:
        """What E2E trains for: 1, 2, 4 ... and T + S."""
        return [*(2**power for power in range(int(math.log2(self.total)) + 1) if 2**power < self.total), self.total]


SCALES = {
    "smoke": Scale(
        {
            "single-pixel": (8, 64, 16, {"patterns": 6}), "cassi": (12, 32, 8, {}), "mri": (16, 32, 8, {}),
        },
        4, 4, 1, (1, 2),
    ),
    "cpu": Scale(
        {
            "single-pixel": (32, 1200, 200, {"patterns": 51}), "cassi": (32, 320, 60, {}), "mri": (64, 400, 100, {}),
        },
        16, 8, 8, (1, 2, 4),
    ),
}  # fmt: skip

# Students of other limits than the teacher's run.
FAMILY: dict[str, dict[str, dict[str, Any]]] = {
    "single-pixel": {
        "half the patterns": {"patterns_share": 0.5}, "twice the patterns": {"patterns_share": 2},
        "2 bit": {"bit_depth": 2}, "1e4 photoelectrons": {"photoelectrons": 1e4},
    },
    "cassi": {"2,000 photoelectrons": {"photoelectrons": 2000.0}, "200 photoelectrons": {"photoelectrons": 200.0}},
    "mri": {
        "R = 2": {"acceleration": 2.0}, "R = 8": {"acceleration": 8.0, "acs_lines": 2}, "noise 0.05": {"noise": 0.05},
    },
}  # fmt: skip


class Bench:
    """One modality with one seed: its images, and the rows that are done already."""

    def __init__(self, modality: str, scale: str, seed: int, data: str, out: Path) -> None:
        import torch

        from cidesign.data.source import load_images
        from cidesign.distill.systems import SystemMaker

        torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
        self.scale = SCALES[scale]
        name = f"{scale}-{modality}-{Path(data).stem}-{seed}"
        self.file, self.weights = out / f"{name}.json", out / f"{name}-teacher.safetensors"
        self.rows: Rows = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.profile, self.settings = _settings(modality, self.scale, seed, data, only_teacher=False)
        _, self.teacher_settings = _settings(modality, self.scale, seed + TEACHER_SEED, data, only_teacher=True)
        self.modality, self.seed, self.data = modality, seed, data
        self.images = load_images(self.settings, self.profile)
        self.train = torch.from_numpy(self.images.train).to(self.settings.device)
        self.maker = SystemMaker(self.settings, self.profile, self.train)

    def member(self, changes: dict[str, Any]) -> None:
        """Go on with students of other limits, which see the same images."""
        from cidesign.distill.systems import SystemMaker

        changes = dict(changes)
        if "patterns_share" in changes:
            changes["patterns"] = round(changes.pop("patterns_share") * self.scale.sizes[self.modality][3]["patterns"])
        _, self.settings = _settings(self.modality, self.scale, self.seed, self.data, only_teacher=False, **changes)
        self.maker = SystemMaker(self.settings, self.profile, self.train)

    def row(self, name: str, make: Callable[[], Any]) -> None:
        """Train and measure a row that is not in the file yet."""
        if name in self.rows:
            return
        started = time.process_time()
        system = make()
        seconds = time.process_time() - started
        self.rows[name] = {"seconds": seconds, "psnr_db": self.measure(system)}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(self.rows, indent=1))
        os.replace(partial, self.file)
        print(f"{self.file.stem}: {name}: {self.rows[name]['psnr_db']:.2f} dB, {seconds:.0f} s", flush=True)

    def measure(self, system: Any) -> float:
        """PSNR on the validation images of this seed, in float32, with the noise that all systems get."""
        import torch

        from cidesign.distill.comparison.evaluate import image_metrics

        system.decoder.training_dtype = None
        validation = torch.from_numpy(self.images.validation).to(self.settings.device)
        return image_metrics(system.eval(), validation, self.settings)["psnr_db"]

    def teacher(self) -> Any:
        """The stored teacher, trained where it is not in its file yet."""
        from safetensors.torch import load_file

        from cidesign.distill.systems import SystemMaker

        if "teacher" in self.rows and self.weights.exists():
            maker = SystemMaker(self.teacher_settings, self.profile, self.train)
            system = maker.system("teacher")
            system.load_state_dict(load_file(self.weights))
            return system
        import torch

        from cidesign.data.source import load_images

        images = load_images(self.teacher_settings, self.profile)
        train = torch.from_numpy(images.train).to(self.settings.device)
        maker = SystemMaker(self.teacher_settings, self.profile, train)
        system = _trained(maker.system("teacher"), "teacher", train, self.teacher_settings)
        self.weights.parent.mkdir(parents=True, exist_ok=True)
        system.save(self.weights)
        return system

    def student(self, teacher: Any, epochs: int) -> Any:
        """A student that starts from the stored teacher."""
        system = self.maker.system("student")
        self.maker.warm_start(system, teacher)
        return _trained(system, "student", self.train, self.settings.changed(student_epochs=epochs))

    def alone(self, epochs: int) -> Any:
        """E2E: the same draws, from its own start."""
        from cidesign.distill.alone import train_alone

        return train_alone(self.maker, self.train, epochs, None)


def _settings(modality: str, scale: Scale, seed: int, data: str, only_teacher: bool, **changes: Any) -> tuple[Any, Any]:
    from cidesign.distill.presets import settings_for
    from cidesign.hardware_profiles.loader import load_profile

    side, images, validation, own = scale.sizes[modality]
    profile = load_profile(PROFILES[modality])
    sizes = {
        "side": side,
        "images": images,
        "validation_images": validation,
        "channels": scale.channels,
        **own,
        "optics_start": "designed",
        **changes,
    }
    # Students draw what E2E draws: as for a run with a stored teacher, theirs is the only phase.
    epochs = {"teacher_epochs": scale.teacher_epochs} if only_teacher else {"student_epochs": scale.student_epochs}
    teacher = None if only_teacher else "stored"
    return profile, settings_for(
        profile, "quick", None, teacher, only_teacher, seed=seed, data=data, batch=16, **sizes, **epochs
    )


def _trained(system: Any, phase: str, train: Any, settings: Any) -> Any:
    from cidesign.distill.checkpoint import Progress
    from cidesign.distill.loop import make_optimiser, train_phase

    optimiser = make_optimiser(system, settings)
    for _ in train_phase(system, None, optimiser, train, settings, Progress(phase), lambda report: None):
        pass
    system.encoder.explore(1.0, None)
    return system.eval().requires_grad_(False)


def fill(bench: Bench, family: bool) -> None:
    """Train what is missing of one modality and seed."""
    for epochs in bench.scale.alone:
        bench.row(f"E2E {epochs}", lambda epochs=epochs: bench.alone(epochs))
    bench.row("teacher", bench.teacher)
    wanted = [epochs for epochs in bench.scale.students if f"student {epochs}" not in bench.rows]
    members = FAMILY[bench.modality] if family else {}
    last, total = bench.scale.students[-1], bench.scale.total
    missing = {f"{name}: {row}" for name in members for row in (f"E2E {total}", f"student {last}")} - set(bench.rows)
    if not wanted and not missing:
        return
    teacher = bench.teacher()
    for epochs in wanted:
        bench.row(f"student {epochs}", lambda epochs=epochs: bench.student(teacher, epochs))
    for name, changes in members.items():
        bench.member(changes)
        bench.row(f"{name}: E2E {total}", lambda: bench.alone(total))
        bench.row(f"{name}: student {last}", lambda: bench.student(teacher, last))


def epochs_needed(rows: Rows, scale: Scale) -> float | None:
    """After how many epochs a student is as good as E2E of T + S, between the rows linear in the logarithm.

    At least the first row's; None where the last row is below.
    """
    wanted = rows[f"E2E {scale.total}"]["psnr_db"]
    found = [(epochs, rows[f"student {epochs}"]["psnr_db"]) for epochs in scale.students]
    if found[0][1] >= wanted:
        return float(found[0][0])
    for (before, low), (after, high) in pairwise(found):
        if high >= wanted:
            share = (wanted - low) / (high - low)
            return float(2 ** (math.log2(before) + share * math.log2(after / before)))
    return None


def mean(values: Sequence[float], digits: int = 2) -> str:
    """Mean and standard error."""
    error = f"{np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}" if len(values) > 1 else "?"
    return f"{np.mean(values):.{digits}f} +- {error}"


def print_tables(modality: str, scale_name: str, data: str, seeds: Sequence[int], students: int, out: Path) -> None:
    """Quality over epochs, epochs needed, and the cost of N students; of the seeds that are whole."""
    scale = SCALES[scale_name]
    files = [out / f"{scale_name}-{modality}-{Path(data).stem}-{seed}.json" for seed in seeds]
    needed = {"teacher", *(f"E2E {n}" for n in scale.alone), *(f"student {n}" for n in scale.students)}
    found: list[Rows] = [json.loads(path.read_text()) for path in files if path.exists()]
    whole = [rows for rows in found if needed <= set(rows)]
    if not whole:
        print(f"\n## {modality}: no seed is whole")
        return
    side, images, _, own = scale.sizes[modality]
    words = "".join(f", {name} {value}" for name, value in own.items())
    print(f"\n## {modality}: side {side}{words}, {images} images ({data}), {len(whole)} seeds\n")
    print("| epochs | E2E / dB | student from a stored teacher / dB | difference, same seed / dB |\n|---|---|---|---|")
    for epochs in scale.alone:
        alone = [rows[f"E2E {epochs}"]["psnr_db"] for rows in whole]
        taught = [rows[f"student {epochs}"]["psnr_db"] for rows in whole] if epochs in scale.students else []
        gains = [one - other for one, other in zip(taught, alone, strict=False)]
        print(f"| {epochs} | {mean(alone)} | {mean(taught) if taught else ''} | {mean(gains) if gains else ''} |")
    teacher = mean([rows["teacher"]["psnr_db"] for rows in whole])
    print(f"\nteacher, {scale.teacher_epochs} epochs on images of its own: {teacher} dB")
    last = scale.students[-1]
    gains = [rows[f"student {last}"]["psnr_db"] - rows[f"E2E {scale.total}"]["psnr_db"] for rows in whole]
    print(f"student of {last} epochs - E2E of {scale.total}: {mean(gains)} dB")
    _print_family(modality, whole, scale)
    _print_cost(whole, scale, students)


def _print_family(modality: str, whole: Sequence[Rows], scale: Scale) -> None:
    last, total = scale.students[-1], scale.total
    for name in FAMILY[modality]:
        wanted, own = f"{name}: E2E {total}", f"{name}: student {last}"
        pairs = [(rows[own]["psnr_db"], rows[wanted]["psnr_db"]) for rows in whole if {wanted, own} <= set(rows)]
        if pairs:
            ours, alone = (mean(values) for values in zip(*pairs, strict=True))
            gain = mean([one - other for one, other in pairs])
            print(f"same teacher, {name}: student of {last} epochs {ours}, E2E of {total} {alone}; {gain} dB")


def _print_cost(whole: Sequence[Rows], scale: Scale, students: int) -> None:
    reached = [epochs_needed(rows, scale) for rows in whole]
    shares = [epochs / scale.total for epochs in reached if epochs is not None]
    missed = f"; not within {scale.students[-1]} in {reached.count(None)} of {len(whole)} seeds" * (None in reached)
    share = mean(shares) if shares else "-"
    print(
        f"epochs to reach E2E of {scale.total} ({scale.teacher_epochs} + {scale.student_epochs}), as a share of these: "
        f"{share}{missed} (target: at most {TARGET_SHARE})"
    )
    # What one would type: the row of the last student, whatever it needed.
    last = scale.students[-1]
    epochs = (scale.teacher_epochs + students * last) / (students * scale.total)
    seconds = [
        (rows["teacher"]["seconds"] + students * rows[f"student {last}"]["seconds"])
        / (students * rows[f"E2E {scale.total}"]["seconds"])
        for rows in whole
    ]
    print(
        f"{students} students of {last} epochs and their teacher, over {students} times E2E of {scale.total}: "
        f"{epochs:.2f} of the epochs, {mean(seconds)} of the processor seconds (target: at most {TARGET_COST})"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Train what is missing, then print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    parser.add_argument("--modality", choices=PROFILES, action="append")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--data", default="procedural", help="images of one modality instead of procedural ones")
    parser.add_argument("--family", action="store_true", help="students of other limits too")
    parser.add_argument("--students", type=int, default=8, help="N of the cost of a family")
    parser.add_argument("--out", type=Path, default=Path("stored_teacher"))
    parser.add_argument("--tables-only", action="store_true")
    options = parser.parse_args(words)
    modalities = options.modality or list(PROFILES)
    if options.data != "procedural" and len(modalities) != 1:
        parser.error("--data: images of one modality; name it with --modality")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    started = time.monotonic()
    # Seed by seed: what is printed early is whole.
    for seed in seeds if not options.tables_only else ():
        for modality in modalities:
            fill(Bench(modality, options.scale, seed, options.data, options.out), options.family)
    print(
        f"\n{datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"scale {options.scale}, {time.monotonic() - started:.0f} s"
    )
    for modality in modalities:
        print_tables(modality, options.scale, options.data, seeds, options.students, options.out)


if __name__ == "__main__":
    main()
