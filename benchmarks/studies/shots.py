"""Learned free shots against radial and spiral ones of the same readout, each with a decoder of its own trained alike.

    python benchmarks/studies/shots.py --out studies --real ../shared/data/mri
    python benchmarks/studies/shots.py --out studies --scale minutes --case "16 shots" --seeds 1

Training images are procedural slices; with --real all systems are measured on slices of the T1 volumes in that folder
too, after every epoch, with a phase that is made up for them.  The rows of a seed share initialisation, images, their
order and noise; all shots have the same samples and dwell time, and free ones begin as the spiral.  A teacher of twice
the shots and its student have as many epochs together as E2E training and as every decoder of fixed shots.
`E2E shots` and `student shots` are the shots of these rows with a decoder that was trained for them alone.
Target: learned shots 1 dB above radial ones on the real slices.
"""

from typing import Any

import numpy as np
from points import REAL, on_real
from rows import Bench, Case, Study, at_epoch, differences, finished, mean, names_of, table

from cidesign.modality import modality

FIXED, TARGET_DB = ("fixed: radial", "fixed: spiral"), 1.0
LEARNED = ("E2E", "E2E shots", "student", "student shots")


def _cases(side: int, images: int, validation: int, channels: int, epochs: int) -> dict[str, Case]:
    return {
        f"{shots} shots": Case(
            "mri-shots", side, images, validation, channels, epochs, {"shots": shots, "sampling": "free"}
        )
        for shots in (16, 32)
    }


SCALES = {
    "smoke": {"4 shots": Case("mri-shots", 16, 32, 8, 4, 1, {"shots": 4, "sampling": "free"})},
    "minutes": _cases(64, 160, 40, 8, 3),
    "cpu": _cases(128, 480, 100, 16, 6),
}


def train(bench: Bench) -> None:
    """All rows of a case and seed."""
    ours = bench.settings()
    both = ours.changed(student_epochs=2 * bench.case.epochs)
    learned = {"E2E": bench.row("E2E", both, keep="E2E shots" not in bench.rows)}
    teacher = bench.row("teacher", ours, "teacher", keep="student" not in bench.rows)
    learned["student"] = bench.row("student", ours, guide=teacher, warm=True, keep="student shots" not in bench.rows)
    for name, system in learned.items():
        if system is not None:
            design = bench.maker(ours).optics.design(finished(system).encoder)
            bench.row(f"{name} shots", both, design=design)
    for name, design in modality(ours.modality).fixed_designs(bench.maker(ours), bench.profile).items():
        bench.row(f"fixed: {name}", both, design=design)


def show(case: str, rows: list[dict[str, Any]]) -> None:
    """All rows on procedural and real slices, and what they gain over radial and spiral shots."""
    order = sorted(names_of(rows), key=lambda name: -float(np.mean(at_epoch(rows, name, "psnr_db", -1))))
    values = {"psnr_db": "procedural", REAL: "real T1"}
    for value, title in values.items():
        if not any(at_epoch(rows, name, value, -1) for name in order):
            continue
        print(f"\n{case}, {title} slices, PSNR / dB")
        head = ["row", "PSNR", *(f"less {name.removeprefix('fixed: ')}" for name in FIXED)]
        lines = [
            [name, mean(at_epoch(rows, name, value, -1))]
            + ["" if name == fixed else mean(differences(rows, name, fixed, value)) for fixed in FIXED]
            for name in order
        ]
        table(head, lines)
        for name in LEARNED if value == REAL else ():
            if gains := differences(rows, name, FIXED[0], value):
                verdict = "reached" if np.mean(gains) >= TARGET_DB else "missed"
                print(f"{name} less radial: {mean(gains)} dB ({TARGET_DB:g} dB: {verdict})")


if __name__ == "__main__":
    Study("shots", SCALES, train, real=on_real).main(__doc__, show)
