"""What the studies of training share: systems of one case and seed, kept row by row in a file, and tables of them.

A row is trained once: its curve over the epochs is in OUT/STUDY-SCALE-CASE-SEED.json as soon as it is done.  All rows
of a seed see the same images in the same order, and measure with the same noise.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from cidesign.data.source import load_images
from cidesign.distill.checkpoint import Progress
from cidesign.distill.loop import epochs_of, evaluate, make_optimiser, train_phase
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.pattern import Design
from cidesign.run_settings import TrainingSettings

PROFILES = {
    "single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t", "mri-points": "mri-generic-3t",
    "mri-shots": "mri-siemens-prisma",
}  # fmt: skip
# One value of a row: its value after each epoch.
Curves = dict[str, list[float]]


@dataclass(frozen=True)
class Case:
    """A modality with its sizes, and other settings by name; teachers train for as many epochs as students.

    `profile`: where it is not that of `PROFILES`.
    """

    modality: str
    side: int
    images: int
    validation: int
    channels: int
    epochs: int
    changes: dict[str, Any] = field(default_factory=dict)
    profile: str | None = None


class Bench:
    """One case with one seed: its images, and the rows that are done already.

    `beside` is measured of a system after each epoch, beside the PSNR.  `data` is where the images are; None:
    procedural ones.  `name` is that of the case.
    """

    def __init__(
        self,
        file: Path,
        case: Case,
        seed: int,
        beside: Callable[[ImagingSystem], Mapping[str, float]] = lambda system: {},
        data: str | None = None,
        name: str = "",
    ) -> None:
        torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
        self.file, self.case, self.seed, self.beside, self.data, self.name = file, case, seed, beside, data, name
        self.profile = load_profile(case.profile or PROFILES[case.modality])
        self.named = {
            "seed": seed, "side": case.side, "images": case.images, "validation_images": case.validation,
            "channels": case.channels, "teacher_epochs": case.epochs, "student_epochs": case.epochs, **case.changes,
        }  # fmt: skip
        if words := modality(case.modality).samplings:
            self.named.setdefault("sampling", words[0])
        self.rows: dict[str, Any] = {}
        if file.exists():
            stored = json.loads(file.read_text())
            if Case(**stored["case"]) != case:
                raise SystemExit(f"{file}: rows of other sizes are here ({stored['case']}); choose another --out")
            if stored.get("data") != data:
                raise SystemExit(f"{file}: rows of other images are here ({stored.get('data')}); choose another --out")
            self.rows = stored["rows"]
        self.images: tuple[torch.Tensor, torch.Tensor] | None = None

    def settings(self, **changes: Any) -> TrainingSettings:
        """Settings of the case; `recipe` and all others by their names.

        Optics start from a fixed design, not from what a search finds, unless a row or its recipe names another start.
        """
        usual = {} if "recipe" in changes else {"optics_start": "designed"}
        return settings_for(self.profile, **{**usual, **self.named, **changes})

    def stored(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Training and validation images."""
        if self.images is None:
            settings = self.settings(data=self.data)
            found = load_images(settings, self.profile)
            train, validation = (torch.from_numpy(part).to(settings.device) for part in (found.train, found.validation))
            self.images = train, validation
        return self.images

    def maker(self, settings: TrainingSettings) -> SystemMaker:
        """Makes the systems of settings."""
        return SystemMaker(settings, self.profile, self.stored()[0])

    def row(
        self,
        name: str,
        settings: TrainingSettings,
        phase: str = "student",
        *,
        guide: ImagingSystem | None = None,
        warm: bool = False,
        design: Design | None = None,
        keep: bool = False,
    ) -> ImagingSystem | None:
        """Train what is not in the file yet: end to end, for a `design`, or guided by a teacher, which a `warm` student
        also starts from.  The system itself is returned only with `keep`, which keeps its weights in a file."""
        weights = self.file.with_name(f"{self.file.stem}-{_slug(name)}.safetensors")
        if name in self.rows and not keep:
            return None
        system = self.maker(settings).system(phase)
        if name in self.rows and weights.exists():
            system.load_state_dict(load_file(weights))
            return finished(system)
        if design is not None:
            self.maker(settings).place(system, design)
        if warm and guide is not None:
            self.maker(settings).warm_start(system, guide)
        started = time.monotonic()
        curves = self._train(system, settings, phase, guide)
        seconds = time.monotonic() - started
        if keep:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            system.save(weights)
        self.record(name, curves, seconds)
        return finished(system)

    def record(self, name: str, curves: Curves, seconds: float) -> None:
        """Keep a row that is trained, and print it."""
        self.rows[name] = {"seconds": seconds, "curves": curves}
        self._write()
        final = ", ".join(f"{key} {values[-1]:.2f}" for key, values in curves.items())
        print(f"{self.file.stem}: {name}: {final}, {seconds:.0f} s", flush=True)

    def _train(
        self, system: ImagingSystem, settings: TrainingSettings, phase: str, guide: ImagingSystem | None
    ) -> Curves:
        train, validation = self.stored()
        curves: Curves = {name: [value] for name, value in self.beside(system).items()}
        optimiser, progress = make_optimiser(system, settings), Progress(phase)
        for _ in train_phase(system, guide, optimiser, train, settings, progress, lambda report: None):
            found = {"psnr_db": evaluate(system, validation, settings)["psnr_db"], **self.beside(system)}
            for name, value in found.items():
                curves.setdefault(name, []).append(value)
        assert len(curves["psnr_db"]) == epochs_of(settings, phase)
        return curves

    def _write(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps({"case": asdict(self.case), "data": self.data, "rows": self.rows}, indent=1))
        os.replace(partial, self.file)


def finished(system: ImagingSystem) -> ImagingSystem:
    """A system whose training is over."""
    system.encoder.explore(1.0, None)
    return system.eval().requires_grad_(False)


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


class Study:
    """A study: its cases at each scale, and what it trains of a case and seed."""

    def __init__(
        self,
        name: str,
        scales: Mapping[str, Mapping[str, Case]],
        train: Callable[[Bench], None],
        beside: Callable[[ImagingSystem], Mapping[str, float]] = lambda system: {},
        real: "Callable[[Path], Callable[[ImagingSystem], Mapping[str, float]]] | None" = None,
    ) -> None:
        """`real` makes of a folder of real images, the option --real, what is measured beside."""
        self.name, self.scales, self.train, self.beside, self.real = name, scales, train, beside, real

    def main(self, description: str | None, show: Callable[[str, list[dict[str, Any]]], None]) -> None:
        """Train what is missing, then `show` the rows of all seeds of each case."""
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--scale", choices=self.scales, default="cpu")
        parser.add_argument("--case", action="append", help="only this case; repeatable")
        parser.add_argument("--seeds", default="1,2,3")
        parser.add_argument("--out", type=Path, default=Path("studies"))
        parser.add_argument("--threads", type=int, default=None, help="threads that compute [default: torch's]")
        parser.add_argument("--data", action="append", default=[], metavar="CASE=PATH", help="images; repeatable")
        parser.add_argument("--tables-only", action="store_true")
        if self.real is not None:
            parser.add_argument("--real", type=Path, help="folder of real images that systems are measured on too")
        options = parser.parse_args()
        beside = self.beside
        if self.real is not None and options.real is not None:
            beside = self.real(options.real)
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        cases, started = self.scales[options.scale], time.monotonic()
        if unknown := set(options.case or ()) - set(cases):
            parser.error(f"--case {', '.join(sorted(unknown))}: {options.scale} has {', '.join(cases)}")
        data = dict(word.partition("=")[::2] for word in options.data)
        if unknown := set(data) - set(cases):
            parser.error(f"--data {', '.join(sorted(unknown))}: {options.scale} has {', '.join(cases)}")
        chosen = {name: case for name, case in cases.items() if name in (options.case or cases)}
        seeds = [int(seed) for seed in options.seeds.split(",")]
        benches = {
            name: [
                Bench(
                    options.out / f"{self.name}-{options.scale}-{_slug(name)}-{seed}.json",
                    case,
                    seed,
                    beside,
                    data.get(name),
                    name,
                )
                for seed in seeds
            ]
            for name, case in chosen.items()
        }
        for number in range(0 if options.tables_only else len(seeds)):  # whole seeds first: tables of few beat none
            for of_case in benches.values():
                self.train(of_case[number])
                of_case[number].images = None
        print(
            f"\n{datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
            f"{torch.get_num_threads()} thread(s), scale {options.scale}, {time.monotonic() - started:.0f} s"
        )
        for name, case in chosen.items():
            rows = [bench.rows for bench in benches[name] if bench.rows]
            if rows:
                print(
                    f"\n## {name}\n\n{case.images} images of {case.side} x {case.side}, {case.channels} channels, "
                    f"S = T = {case.epochs} epochs; mean +- standard error over {len(rows)} seed(s)\n"
                )
                show(name, rows)


def shown_epochs(last: int) -> list[int]:
    """1, 2, 4 ... and the last."""
    return [*(2**power for power in range(last.bit_length()) if 2**power < last), last]


def mean(values: list[float], digits: int = 2) -> str:
    """Mean and standard error; of one value only itself."""
    if not values:
        return "-"
    text = f"{np.mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} +- {np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}"


def table(head: list[str], lines: list[list[str]]) -> None:
    """Print a table in Markdown."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for line in lines:
        print("| " + " | ".join(line) + " |")


def names_of(rows: list[dict[str, Any]]) -> list[str]:
    """All rows of all seeds, in the order in which they were trained."""
    return list(dict.fromkeys(name for found in rows for name in found))


def at_epoch(rows: list[dict[str, Any]], name: str, value: str, epoch: int) -> list[float]:
    """A value of a row after an epoch, of each seed that has it; -1: after the last."""
    curves = [found[name]["curves"].get(value, []) for found in rows if name in found]
    return [curve[epoch - 1 if epoch > 0 else epoch] for curve in curves if len(curve) >= max(epoch, 1)]


def differences(rows: list[dict[str, Any]], name: str, other: str, value: str = "psnr_db") -> list[float]:
    """Final PSNR of a row, or another value, less that of another, seed by seed."""
    pairs = [
        [found[one]["curves"].get(value) for one in (name, other)] for found in rows if {name, other} <= set(found)
    ]
    return [own[-1] - others[-1] for own, others in pairs if own and others]
