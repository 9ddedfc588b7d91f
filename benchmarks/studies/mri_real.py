"""Learned lines against fixed ones on real MR scans, each with a decoder of its own trained alike.

    python benchmarks/studies/mri_real.py --out /tmp/mri-real --real ../shared/data --seeds 1,2,3
    python benchmarks/studies/mri_real.py --out /tmp/mri-real --training spin --training gradient --row E2E

Training images are procedural; `--training` says with what phase, the setting `echo`.  No real scan is trained on.  All
rows of a seed share initialisation, images and their order; `E2E lines` and `distilled lines` are the lines of these
rows with a decoder that was trained for them alone, as those of the fixed lines are.  Every row is kept below --out as
soon as it is trained.

Scans of raw data go through the product's calibration and reconstruction, with the coil maps of 24 central lines
of the full scan for all designs, and are scored inside the object against their own full reconstruction.  They are cut
to the central 64 x 64 samples, a scan of lower resolution, unless --side is theirs.  Complex images are measured by one
simulated coil.  Magnitudes have no phase: theirs is made up, smooth or with the field of air, and the name says so.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cidesign.calibration.mri.kspace import RawKspace
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.calibration.mri.response import KspaceCalibration, calibrate_kspace
from cidesign.data.source import load_images
from cidesign.distill.alone import train_alone
from cidesign.distill.checkpoint import Progress
from cidesign.distill.loop import make_optimiser, train_phase
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.errors import CidesignError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.mri.data.images import measure_slices
from cidesign.modalities.mri.data.phantoms import phantom_slices
from cidesign.modalities.mri.reconstruct import full_reconstruction
from cidesign.modalities.mri.score import object_mask, score_mri
from cidesign.modalities.mri.settings import Echo
from cidesign.modalities.mri.solve import designed_total_variation, reconstructions
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.orientation import Orientation
from cidesign.pattern import CartesianLines
from cidesign.physics.metrics import magnitude, psnr_db

ROOT = Path(__file__).resolve().parents[2]
PROFILE = "mri-generic-3t"
VALIDATION_SEED = 2**32 + 17
MOST_SLICES = 16
ECHOES: tuple[Echo, ...] = ("spin", "any", "gradient")
LEARNED = ("E2E", "E2E lines", "distilled", "distilled lines")
# What is made up for magnitudes, and for slices that nobody trained on.
PHASES: tuple[tuple[str, Echo], ...] = (("smooth phase", "spin"), ("field of air", "gradient"))


@dataclass(frozen=True)
class Images:
    """Complex images (M, 2, n, n) of one coil, whose noise is that of the training."""

    name: str
    images: torch.Tensor

    def scores(self, system: ImagingSystem, design: CartesianLines, noise: float) -> dict[str, list[float]]:
        """PSNR of the magnitude of each image, by reconstruction."""
        encoder = system.encoder
        with torch.no_grad():
            y = encoder(self.images, torch.Generator().manual_seed(11))
            found = {
                "network": system.decoder(y, encoder).prediction,
                "linear": system.decoder.linear_estimate(y, encoder),
                "TV": designed_total_variation(y, encoder, system.decoder.prior),
            }
        wanted = magnitude(self.images)
        return {name: psnr_db(magnitude(image), wanted).tolist() for name, image in found.items()}


@dataclass(frozen=True)
class Raw:
    """A full scan of raw data."""

    name: str
    raw: RawKspace
    calibration: KspaceCalibration

    def scores(self, system: ImagingSystem, design: CartesianLines, noise: float) -> dict[str, list[float]]:
        """PSNR of the magnitude inside the object, by reconstruction; CG-SENSE too."""
        names = {system.decoder.column: "network", "total_variation": "TV", "cg_sense": "CG-SENSE"}
        k = self.calibration.measurements(self.raw)
        reference = full_reconstruction(self.calibration.coil_kspace(self.raw))
        mask = object_mask(reference)

        def score(image: Any) -> list[float]:
            return [float(score_mri(np.abs(image).astype(np.float32), reference, mask).psnr_db or np.inf)]

        found = reconstructions(system, k, design, self.calibration)
        values = {names[name]: score(image) for name, (image, _) in found.items() if name in names}
        return values | {"linear": score(self._linear(system, k, design))}

    def _linear(self, system: ImagingSystem, k: Any, design: CartesianLines) -> Any:
        from cidesign.modalities.mri.solve import batch, calibrated_encoder, to_numpy

        maps, norm = self.calibration.operator()
        encoder = calibrated_encoder(design, maps, self.calibration.noise_deviation)
        with torch.no_grad():
            image = to_numpy(system.decoder.linear_estimate(batch(k, design), encoder))
        return image * np.where(norm > 0, 1 / np.where(norm > 0, norm, 1), 0)


Scan = Images | Raw


def cut(raw: RawKspace, side: int) -> RawKspace:
    """The central `side` x `side` samples of a full scan, at whose resolution it might have been measured."""
    lines, samples = raw.matrix_lines, raw.k.shape[2]
    top, left = lines // 2 - side // 2, samples // 2 - side // 2
    edges = None if raw.edges is None else raw.edges[:, top : top + side]
    k = np.ascontiguousarray(raw.placed()[:, top : top + side, left : left + side])
    return replace(raw, k=k, lines=np.arange(side), matrix_lines=side, edges=edges, order=None, phantom=None)


def raw_scans(files: list[Path], side: int) -> list[Scan]:
    """Those of `files` that are full scans of at least `side` lines, with all coils and with the first alone."""
    found: list[Scan] = []
    whole = np.arange(side)
    for file in files:
        try:
            full = read_kspace(file)
            if not full.complete or min(full.matrix_lines, full.k.shape[2]) < side:
                raise CidesignError(f"{file}: not a full scan of {side} lines")
            one = cut(full, side)
        except CidesignError as error:
            print(f"left out: {error}")
            continue
        design = CartesianLines(side, side, whole, side, PROFILE, "0" * 64)
        some = replace(one, k=one.k[:1], edges=None if one.edges is None else one.edges[:1])
        for raw in (one, some):
            name = f"{file.name}, {'first coil' if raw is some else f'{raw.coils} coils'}"
            found.append(Raw(name, raw, calibrate_kspace(raw, design, Orientation(), min(24, side))))
    return found


def _stored(slices: Any) -> torch.Tensor:
    keep = np.linspace(0, len(slices) - 1, min(len(slices), MOST_SLICES)).round().astype(int)
    return torch.from_numpy(slices[keep].astype(np.float32))


def scans(real: Path | None, extra: list[Path], side: int) -> list[Scan]:
    """Procedural slices that were not trained on, and all real scans below the folder of shared samples."""
    found: list[Scan] = [
        Images(f"procedural, {name}", _stored(phantom_slices(64, side, VALIDATION_SEED, echo))) for name, echo in PHASES
    ]
    if real is None:
        return found + raw_scans(extra, side)
    mri, formats = real / "mri", real / "formats"

    def volume(name: str, echo: Echo) -> torch.Tensor:
        return _stored(measure_slices(mri / name, (side, side), 1, frozenset(), echo).images)

    found.append(Images("complex.nii.gz", volume("complex.nii.gz", "any")))
    for file in ("chris_t1.nii.gz", "S0_10slices.nii.gz", "someones_anatomy.nii.gz"):
        found += [Images(f"{file}, {name} made up", volume(file, echo)) for name, echo in PHASES]
    raws = [mri / "twix_gre.dat", mri / "cartesian_ksp.npy", formats / "bart" / "in.cfl", *extra]
    return found + raw_scans(raws, side)


class Bench:
    """One kind of training images with one seed."""

    def __init__(self, echo: Echo, seed: int, options: argparse.Namespace, out: Path) -> None:
        torch.use_deterministic_algorithms(True)
        self.profile = load_profile(PROFILE)
        self.settings = settings_for(
            self.profile, seed=seed, side=options.side, acceleration=options.acceleration, images=options.images,
            validation_images=8, batch=16, channels=16, teacher_epochs=options.epochs // 2,
            student_epochs=options.epochs - options.epochs // 2, threads=1, echo=echo,
        )  # fmt: skip
        self.file = out / f"{echo}-{options.side}-{seed}.json"
        self.rows: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}
        self._maker: SystemMaker | None = None

    @property
    def maker(self) -> SystemMaker:
        """The images are drawn when the first system is trained."""
        if self._maker is None:
            drawn = load_images(self.settings, self.profile).train
            self.train = torch.from_numpy(drawn)
            self._maker = SystemMaker(self.settings, self.profile, self.train)
        return self._maker

    def makers(self) -> dict[str, Callable[[], ImagingSystem]]:
        """How each row is trained."""
        epochs = self.settings.teacher_epochs + self.settings.student_epochs

        def fixed(name: str) -> ImagingSystem:
            design = modality("mri").fixed_designs(self.maker, self.profile)[name]
            return train_alone(self.maker, self.train, epochs, design)

        names = ("centre block", "variable density", "equispaced + centre", "partial Fourier")
        return {
            "E2E": lambda: train_alone(self.maker, self.train, epochs, None),
            "E2E lines": lambda: train_alone(self.maker, self.train, epochs, self.lines_of("E2E")),
            "distilled": self.distilled,
            "distilled lines": lambda: train_alone(self.maker, self.train, epochs, self.lines_of("distilled")),
            **{name: (lambda name=name: fixed(name)) for name in names},  # type: ignore[misc]
        }

    def lines_of(self, row: str) -> CartesianLines:
        """The lines of a learned row, for a decoder that is trained for them alone."""
        side, lines = self.settings.side, np.array(self.rows[row]["lines"], dtype=np.int64)
        return CartesianLines(side, side, lines, self.maker.optics.rule.calibration, PROFILE, self.profile.digest)  # type: ignore[attr-defined]

    def distilled(self) -> ImagingSystem:
        """A teacher of twice the lines, and the student that starts from it."""
        maker, teacher = self.maker, None
        for name in ("teacher", "student"):
            system = maker.system(name)
            if teacher is not None:
                maker.warm_start(system, teacher)
            progress, optimiser = Progress(name), make_optimiser(system, self.settings)
            for _ in train_phase(system, None, optimiser, self.train, self.settings, progress, lambda report: None):
                pass
            system.encoder.explore(1.0, None)
            teacher = system
        return system.eval().requires_grad_(False)

    def run(self, wanted: list[str] | None, measured: list[Scan]) -> None:
        """Train and measure what is not in the file yet."""
        for name, make in self.makers().items():
            if name in self.rows or (wanted and name not in wanted):
                continue
            system = make()
            system.decoder.training_dtype = None
            design = self.maker.optics.design(system.encoder)
            scores = {one.name: one.scores(system, design, self.settings.noise) for one in measured}  # type: ignore[attr-defined, arg-type]
            self.rows[name] = {"lines": [int(line) for line in design.acquired], "scores": scores}  # type: ignore[attr-defined]
            self.file.parent.mkdir(parents=True, exist_ok=True)
            partial = self.file.with_suffix(".partial")
            partial.write_text(json.dumps(self.rows))
            os.replace(partial, self.file)
            print(f"{self.file.stem}: {name}: lines {self.rows[name]['lines']}", flush=True)


def mean_and_error(values: list[float], sign: str = "") -> str:
    """The mean over seeds with its standard error."""
    if not values:
        return "-"
    error = f" ± {np.std(values, ddof=1) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.2f}{error}"


def print_tables(files: list[Path], title: str) -> None:
    """PSNR of each scan by lines and reconstruction, and the paired differences that the targets are about."""
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    if not found:
        return
    systems = [name for name in found[0] if all(name in rows for rows in found)]
    places = list(found[0][systems[0]]["scores"])

    def of(rows: dict[str, Any], system: str, place: str, method: str) -> float:
        return float(np.mean(rows[system]["scores"][place].get(method, [np.nan])))

    print(f"\n## Trained on {title}: {len(found)} seed(s)\n")
    for system in systems:
        print(f"- {system}: lines {'; '.join(' '.join(map(str, rows[system]['lines'])) for rows in found)}")
    print("\n| scan, PSNR / dB (network; linear; TV) | " + " | ".join(systems) + " |\n|---|" + "---|" * len(systems))
    for place in places:
        cells = [
            "; ".join(
                mean_and_error([of(rows, system, place, m) for rows in found]) for m in ("network", "linear", "TV")
            )
            for system in systems
        ]
        print(f"| {place} | " + " | ".join(cells) + " |")
    learned = [name for name in LEARNED if name in systems]
    fixed = [name for name in systems if name not in LEARNED]
    columns = [*fixed, "own linear", "TV, own lines"]
    print("\n| scan: learned lines' network less | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for place in places:
        for system in learned:
            own = [of(rows, system, place, "network") for rows in found]
            against = [[of(rows, name, place, "network") for rows in found] for name in fixed]
            against += [[of(rows, system, place, method) for rows in found] for method in ("linear", "TV")]
            cells = [mean_and_error([a - b for a, b in zip(own, other, strict=True)], "+") for other in against]
            print(f"| {place}: {system} | " + " | ".join(cells) + " |")


def main() -> None:
    """Train what is missing, then print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--real", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--raw", type=Path, action="append", default=[], help="further raw data")
    parser.add_argument("--training", choices=ECHOES, action="append")
    parser.add_argument("--row", action="append", help="only these rows [default: all]")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--acceleration", type=float, default=4.0)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--tables-only", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    trainings = options.training or ["spin", "gradient"]
    seeds = [int(seed) for seed in options.seeds.split(",")]
    benches = {name: [Bench(name, seed, options, options.out) for seed in seeds] for name in trainings}
    if not options.tables_only:
        real = options.real if options.real.is_dir() else None
        measured = scans(real, options.raw, options.side)
        for seed in range(len(seeds)):
            for name in trainings:
                benches[name][seed].run(options.row, measured)
    print(
        f"\n{datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, {options.side} lines, "
        f"R = {options.acceleration:g}, {options.images} slices, {options.epochs} epochs"
    )
    for name in trainings:
        print_tables([bench.file for bench in benches[name]], name)


if __name__ == "__main__":
    main()
