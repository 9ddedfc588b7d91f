"""Learned points of 3-D scans against fixed ones, each with a decoder of its own trained alike.

    python benchmarks/studies/points.py --out studies --real ../shared/data/mri
    python benchmarks/studies/points.py --out studies --scale cpu --case "R = 8, 4 coils" --seeds 1

Training images are procedural slices; with --real all systems are measured on slices of the T1 volumes (chris_t1,
someones_anatomy) in that folder too, after every epoch.  They are magnitudes: a phase with the field of air is made up
for them.  The rows of a seed share initialisation, images, their order and noise; a teacher of R = 2 and its student
have as many epochs together as E2E training and as every decoder of fixed points.
Target: learned points 1 dB above the Poisson disc on the real slices at R = 4, 8 and 12.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import Bench, Case, Study, at_epoch, differences, mean, names_of, table

from cidesign.modalities.mri.data.images import measure_slices
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.physics.metrics import magnitude, psnr_db

T1_VOLUMES = ("chris_t1.nii.gz", "someones_anatomy.nii.gz")
SLICES_OF_EACH = 12
POISSON, TARGET_DB, REAL = "fixed: Poisson disc", 1.0, "real_db"


def _cases(coils: int, side: int, images: int, validation: int, channels: int, epochs: int) -> dict[str, Case]:
    named = f"{coils} coil{'s' * (coils > 1)}"
    return {
        f"R = {r}, {named}": Case(
            "mri-points", side, images, validation, channels, epochs, {"acceleration": float(r), "coils": coils}
        )
        for r in (4, 8, 12)
    }


SCALES = {
    "smoke": {"R = 4, 1 coil": Case("mri-points", 24, 32, 8, 4, 1, {"acceleration": 4.0})},
    # With one coil nothing is left to learn after 60 steps; with four, points still move after 160.
    "minutes": {**_cases(1, 48, 160, 40, 8, 3), **_cases(4, 48, 160, 40, 8, 8)},
    "cpu": {**_cases(1, 96, 480, 100, 16, 6), **_cases(4, 96, 480, 100, 16, 12)},
}


def on_real(folder: Path) -> Callable[[ImagingSystem], Mapping[str, float]]:
    """Measures a system on the slices of the T1 volumes: PSNR of the magnitude."""
    stored: dict[tuple[int, int], torch.Tensor] = {}

    def slices(matrix: tuple[int, int]) -> torch.Tensor:
        if matrix not in stored:
            parts = []
            for name in T1_VOLUMES:
                found = measure_slices(folder / name, matrix, 1, frozenset(), "gradient").images
                keep = np.linspace(0, len(found) - 1, min(len(found), SLICES_OF_EACH)).round().astype(int)
                parts.append(found[keep].astype(np.float32))
            stored[matrix] = torch.from_numpy(np.concatenate(parts))
        return stored[matrix]

    @torch.no_grad()
    def measured(system: ImagingSystem) -> Mapping[str, float]:
        truth = slices(tuple(system.encoder.coil_maps.shape[1:]))
        y = system.encoder(truth, torch.Generator().manual_seed(11))
        image = system.decoder(y, system.encoder).prediction
        return {REAL: float(psnr_db(magnitude(image), magnitude(truth)).mean())}

    return measured


def train(bench: Bench) -> None:
    """All rows of a case and seed."""
    ours = bench.settings()
    both = ours.changed(student_epochs=2 * bench.case.epochs)
    bench.row("E2E", both)
    teacher = bench.row("teacher", ours, "teacher", keep="student" not in bench.rows)
    bench.row("student", ours, guide=teacher, warm=True)
    for name, design in modality(ours.modality).fixed_designs(bench.maker(ours), bench.profile).items():
        bench.row(f"fixed: {name}", both, design=design)


def show(case: str, rows: list[dict[str, Any]]) -> None:
    """All rows on procedural and real slices, and what they gain over the Poisson disc."""
    order = sorted(names_of(rows), key=lambda name: -float(np.mean(at_epoch(rows, name, "psnr_db", -1))))
    values = [value for value in ("psnr_db", REAL) if any(at_epoch(rows, name, value, -1) for name in order)]
    titles = {"psnr_db": "procedural", REAL: "real T1"}
    head = ["row"]
    for value in values:
        head += [f"{titles[value]}: PSNR / dB", "less Poisson disc / dB"]
    lines = []
    for name in order:
        cells = [name]
        for value in values:
            gain = "" if name == POISSON else mean(differences(rows, name, POISSON, value))
            cells += [mean(at_epoch(rows, name, value, -1)), gain]
        lines.append(cells)
    table(head, lines)
    if REAL in values:
        for name in ("E2E", "student"):
            if gains := differences(rows, name, POISSON, REAL):
                verdict = "reached" if np.mean(gains) >= TARGET_DB else "missed"
                print(f"\n{case}: {name} less Poisson disc on real T1: {mean(gains)} dB ({TARGET_DB:g} dB: {verdict})")


if __name__ == "__main__":
    Study("points", SCALES, train, real=on_real).main(__doc__, show)
