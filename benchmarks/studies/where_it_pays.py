"""Where distillation pays: a student and its teacher against E2E training with as many epochs as both, by regime.

    python benchmarks/studies/where_it_pays.py --out /tmp/pays
    python benchmarks/studies/where_it_pays.py --out /tmp/pays --modality mri --seeds 1,2,3,4,5 --data slices.nii.gz

A regime changes one thing of a usual setting: how hard the device's limit is, the light, the number of training images,
or the number of epochs.  The rows of a seed share images, their order, initialisation and noise.  `T` epochs train the
teacher and `S` the student that starts from it: `warm start` without guiding terms, `all terms` with features,
operators and soft labels, balanced by their gradients.  E2E is trained for S and for T + S, and with --fixed the
decoder of a strong fixed design for T + S.  Every row is kept in a file below --out as soon as it is trained, and is
not trained again.  Few images are shown more often, so that a regime of 96 images has about as many steps as the usual
one.

With --map the differences at equal total epochs are printed as the rows of `cidesign/distill/choices/where_it_pays.py`,
by which `cidesign distill` chooses: those of two seeds and more.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cidesign.data.source import load_images
from cidesign.distill.alone import train_alone
from cidesign.distill.checkpoint import Progress
from cidesign.distill.choices.guiding import NO_TERMS
from cidesign.distill.choices.strategy import conditions_of
from cidesign.distill.loop import evaluate, make_optimiser, train_phase
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality as modality_named
from cidesign.models.system import ImagingSystem
from cidesign.run_settings import TrainingSettings

PROFILES = {"single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t"}
# The fixed designs that come out best, and are trained beside.
STRONG = {"single-pixel": "low-pass cosines", "cassi": "blue noise", "mri": "partial Fourier"}
VALIDATION = 300
WARM, ALL = "warm start", "all terms"
TERMS = {"weighting": "gradient", "weight_decoder": 0.1, "weight_encoder": 0.1, "weight_output": 0.1}


@dataclass(frozen=True)
class Regime:
    """What is changed of the usual setting, and the smallest feature of an aperture in code pixels.

    A `long` one is trained where it is asked for.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    features_px: float | None = None
    long: bool = False


USUAL: dict[str, dict[str, Any]] = {
    "single-pixel": {"side": 32, "images": 960, "batch": 32, "patterns": 51, "channels": 16},
    "cassi": {"side": 32, "images": 480, "batch": 32, "channels": 16},
    "mri": {"side": 64, "images": 480, "batch": 32, "channels": 16, "acceleration": 4.0},
}
EPOCHS = {"teacher_epochs": 4, "student_epochs": 4}
REGIMES: dict[str, dict[str, Regime]] = {
    "single-pixel": {
        "K = 51 (5 %)": Regime(),
        "K = 10 (1 %)": Regime({"patterns": 10}),
        "K = 20 (2 %)": Regime({"patterns": 20}),
        "1e4 photoelectrons": Regime({"photoelectrons": 1e4}),
        "1e3 photoelectrons": Regime({"photoelectrons": 1e3}),
        "100 images": Regime({"images": 96, "teacher_epochs": 40, "student_epochs": 40}),
        "10,000 images": Regime({"images": 10_000, "teacher_epochs": 2, "student_epochs": 2}, long=True),
        "16 epochs": Regime({"teacher_epochs": 8, "student_epochs": 8}),
        "64 epochs": Regime({"teacher_epochs": 32, "student_epochs": 32}, long=True),
        "1 + 1 epochs": Regime({"teacher_epochs": 1, "student_epochs": 1}),
    },
    "cassi": {
        "features of 1 code pixel": Regime(),
        "features of 2 code pixels": Regime(features_px=2.0),
        "features of 4 code pixels": Regime(features_px=4.0),
        "2,000 photoelectrons": Regime({"photoelectrons": 2000.0}),
        "200 photoelectrons": Regime({"photoelectrons": 200.0}),
        "100 cubes": Regime({"images": 96, "teacher_epochs": 20, "student_epochs": 20}),
        "10,000 cubes": Regime({"images": 10_000, "teacher_epochs": 2, "student_epochs": 2}, long=True),
        "16 epochs": Regime({"teacher_epochs": 8, "student_epochs": 8}),
        "64 epochs": Regime({"teacher_epochs": 32, "student_epochs": 32}, long=True),
        "1 + 1 epochs": Regime({"teacher_epochs": 1, "student_epochs": 1}),
    },
    "mri": {
        "R = 4": Regime(),
        "R = 8": Regime({"acceleration": 8.0}),
        "R = 12.8": Regime({"acceleration": 12.8, "acs_lines": 2}),
        "R = 4, 4 coils": Regime({"coils": 4}),
        "R = 8, 4 coils": Regime({"acceleration": 8.0, "coils": 4}),
        "R = 12.8, 4 coils": Regime({"acceleration": 12.8, "acs_lines": 2, "coils": 4}),
        "noise 0.05": Regime({"noise": 0.05}),
        "noise 0.2": Regime({"noise": 0.2}),
        "100 slices": Regime({"images": 96, "teacher_epochs": 20, "student_epochs": 20}),
        "10,000 slices": Regime({"images": 10_000, "teacher_epochs": 2, "student_epochs": 2}, long=True),
        "16 epochs": Regime({"teacher_epochs": 8, "student_epochs": 8}),
        "64 epochs": Regime({"teacher_epochs": 32, "student_epochs": 32}, long=True),
        "1 + 1 epochs": Regime({"teacher_epochs": 1, "student_epochs": 1}),
    },
}


def profile_of(kind: str, regime: Regime) -> HardwareProfile:
    """The profile of a regime: an aperture's smallest feature and gap in code pixels."""
    profile = load_profile(PROFILES[kind])
    if regime.features_px is None:
        return profile
    raw = profile.model_dump(mode="json")
    smallest_um = regime.features_px * raw["pixel_pitch_um"]["value"]
    for name in ("min_feature_um", "min_gap_um"):
        raw["lithography"][name]["value"] = smallest_um
    return ApertureProfile.model_validate(raw)


class Study:
    """One regime with one seed."""

    def __init__(self, kind: str, name: str, regime: Regime, seed: int, data: str, out: Path) -> None:
        safe = "".join(letter if letter.isalnum() else "-" for letter in name)
        self.file = out / f"{kind}-{safe}-{seed}.json"
        self.kind, self.name, self.regime, self.seed, self.data = kind, name, regime, seed, data
        self.rows: dict[str, dict[str, float]] = json.loads(self.file.read_text()) if self.file.exists() else {}

    def run(self, smoke: bool, fixed: bool) -> None:
        """Train the rows that are not in the file."""
        if {ALL, WARM, "teacher", "E2E, S", "E2E, T + S", *(["fixed"] if fixed else [])} <= set(self.rows):
            return
        settings, profile = self.settings(smoke)
        found = load_images(settings, profile)
        self.train, self.validation = torch.from_numpy(found.train), torch.from_numpy(found.validation)
        self.maker = SystemMaker(settings, profile, self.train)
        student, both = settings.student_epochs, settings.teacher_epochs + settings.student_epochs
        teacher: list[ImagingSystem] = []

        def first() -> ImagingSystem:
            teacher.append(self.taught("teacher", None, settings))
            return teacher[0]

        alone = settings.changed(weighting="fixed", **NO_TERMS)
        self.row("teacher", first, always=not {ALL, WARM} <= set(self.rows))
        self.row(WARM, lambda: self.taught("student", teacher[0], alone))
        self.row(ALL, lambda: self.taught("student", teacher[0], settings.changed(**TERMS)))
        self.row("E2E, S", lambda: train_alone(self.maker, self.train, student, None))
        self.row("E2E, T + S", lambda: train_alone(self.maker, self.train, both, None))
        designs = modality_named(self.kind).fixed_designs(self.maker, profile) if fixed else {}
        if STRONG[self.kind] in designs:
            self.row("fixed", lambda: train_alone(self.maker, self.train, both, designs[STRONG[self.kind]]))

    def settings(self, smoke: bool = False) -> tuple[TrainingSettings, HardwareProfile]:
        """What is trained, and for which device."""
        small = {"images": 64, "teacher_epochs": 1, "student_epochs": 1, "channels": 4} if smoke else {}
        asked = {"optics_start": "designed", **USUAL[self.kind], **EPOCHS, **self.regime.changes, **small}
        profile = profile_of(self.kind, self.regime)
        return settings_for(profile, seed=self.seed, data=self.data, validation_images=VALIDATION, **asked), profile

    def taught(self, phase: str, origin: ImagingSystem | None, settings: TrainingSettings) -> ImagingSystem:
        """One phase: a teacher, or a student that starts from it."""
        system = self.maker.system(phase)
        if origin is not None:
            self.maker.warm_start(system, origin)
            origin.eval().requires_grad_(False)
        progress = Progress(phase)
        optimiser = make_optimiser(system, settings)
        for _ in train_phase(system, origin, optimiser, self.train, settings, progress, lambda report: None):
            pass
        system.encoder.explore(1.0, None)
        return system

    def row(self, name: str, make: Callable[[], ImagingSystem], always: bool = False) -> None:
        """Train and measure a row, where it is not in the file; `always`: others start from it."""
        if name in self.rows and not always:
            return
        started = time.process_time()
        system = make()
        if name in self.rows:
            return
        system.decoder.training_dtype = None
        seconds = time.process_time() - started
        self.rows[name] = {"seconds": seconds, **evaluate(system.eval(), self.validation, self.maker.settings)}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(self.rows, indent=1))
        os.replace(partial, self.file)
        print(f"{self.file.stem}: {name} {self.rows[name]['psnr_db']:.2f} dB, {seconds:.0f} s", flush=True)


def said(values: list[float]) -> str:
    """Mean +- standard error."""
    if not values:
        return "-"
    error = f" +- {statistics.stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{error}"


# What is told of a regime: a row less another.
DIFFERENCES = ((WARM, "E2E, S"), (WARM, "E2E, T + S"), (ALL, "E2E, T + S"), (ALL, WARM), (ALL, "fixed"))


def print_table(kind: str, studies: list[Study]) -> None:
    """The rows of all regimes, and the paired differences."""
    shown = ("fixed", "E2E, S", "E2E, T + S", "teacher", WARM, ALL)
    head = [*shown, *(f"{one} - {other}" for one, other in DIFFERENCES)]
    print(f"\n## {kind}\n\n| regime | seeds | {' | '.join(head)} |\n" + "|---" * (2 + len(head)) + "|")
    for name in dict.fromkeys(study.name for study in studies):
        rows = [study.rows for study in studies if study.name == name and ALL in study.rows]
        if not rows:
            continue
        cells = [said([found[row]["psnr_db"] for found in rows if row in found]) for row in shown]
        gains = [
            said([found[one]["psnr_db"] - found[other]["psnr_db"] for found in rows if {one, other} <= set(found)])
            for one, other in DIFFERENCES
        ]
        print(f"| {name} | {len(rows)} | {' | '.join(cells + gains)} |")


def map_rows(studies: list[Study]) -> list[str]:
    """The rows of the map: those of two seeds and more, in the form of its module.

    The student has a warm start and no guiding terms, with which the default ones are level.
    """
    rows = []
    for name in dict.fromkeys(study.name for study in studies):
        of_name = [study for study in studies if study.name == name]
        done = [study for study in of_name if {WARM, "E2E, T + S"} <= set(study.rows)]
        if len(done) < 2:
            continue
        gains = [study.rows[WARM]["psnr_db"] - study.rows["E2E, T + S"]["psnr_db"] for study in done]
        conditions = {key: float(f"{value:.4g}") for key, value in conditions_of(*done[0].settings()).items()}
        error = statistics.stdev(gains) / len(gains) ** 0.5
        kind = done[0].kind
        inside = ", ".join(f'"{key}": {value:.10g}' for key, value in conditions.items())
        numbers = f"{statistics.mean(gains):.3f}, {error:.3f}, {len(done)}"
        rows += [
            "    Regime(",
            f'        "{kind}", "{name}",',
            f"        {{{inside}}},",
            f"        {numbers},",
            "    ),",
        ]
    return rows


def _wanted(name: str, regime: Regime, asked: argparse.Namespace) -> bool:
    return name.startswith(asked.regime) and (asked.long or not regime.long)


def main() -> None:
    """Train what is missing, seed by seed, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--modality", choices=list(PROFILES), action="append")
    parser.add_argument("--regime", default="", help="regimes whose name begins so")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--data", default="procedural", help="images to train and validate on")
    parser.add_argument("--scale", choices=("smoke", "cpu"), default="cpu")
    parser.add_argument("--fixed", action="store_true", help="a fixed design beside them")
    parser.add_argument("--long", action="store_true", help="regimes of many images or epochs too")
    parser.add_argument("--table", action="store_true", help="only print what is done")
    parser.add_argument("--map", action="store_true", help="only print what is done, as the rows of the map")
    asked = parser.parse_args()
    rows: list[str] = []
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for kind in asked.modality or list(PROFILES):
        regimes = {name: one for name, one in REGIMES[kind].items() if _wanted(name, one, asked)}
        studies = [
            Study(kind, name, regime, int(seed), asked.data, asked.out)
            for seed in asked.seeds.split(",")
            for name, regime in regimes.items()
        ]
        for study in [] if asked.table or asked.map else studies:
            study.run(asked.scale == "smoke", asked.fixed)
        if asked.map:
            rows += map_rows(studies)
        else:
            print_table(kind, studies)
    if asked.map:
        print("\n".join(["# fmt: off", "REGIMES: tuple[Regime, ...] = (", *rows, ")", "# fmt: on"]))


if __name__ == "__main__":
    main()
