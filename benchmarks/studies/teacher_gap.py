"""The student against the gap to its teacher: relaxations from none at all to the freest, and where it breaks.

    python benchmarks/studies/teacher_gap.py --scale cpu --out studies

The gap is the teacher's PSNR less that of end-to-end training (E2E) under the student's limits, in as many epochs.
`ours` starts from the teacher's optics and decoder, `published` is `--recipe published`.  It breaks at the first
teacher, in the order of the gaps, whose student and all of those with larger gaps are below E2E in as many epochs,
or below the best student by two standard errors.
"""

import math
from typing import Any

import numpy as np
from rows import Bench, Case, Study, at_epoch, differences, mean, table

SCALES = {
    "smoke": {"single-pixel": Case("single-pixel", 16, 64, 16, 4, 1), "mri": Case("mri", 16, 32, 8, 4, 1)},
    "small": {
        "single-pixel": Case("single-pixel", 32, 480, 200, 16, 4),
        "cassi": Case("cassi", 32, 320, 100, 16, 4),
        "mri": Case("mri", 64, 320, 200, 16, 4),
    },
    "cpu": {
        "single-pixel": Case("single-pixel", 32, 1000, 200, 16, 8),
        "cassi": Case("cassi", 32, 500, 100, 16, 8),
        "mri": Case("mri", 64, 500, 200, 16, 8),
    },
    "gpu": {
        "single-pixel": Case("single-pixel", 64, 60_000, 2000, 64, 50),
        "cassi": Case("cassi", 128, 8000, 400, 64, 50),
        "mri": Case("mri", 256, 6000, 400, 32, 50),
    },
}
# Patterns as multiples of the student's; MRI students have R = 4.
GAPS = {
    "single-pixel": ("1-bit", "4-bit", "real", "1-bit@2", "real@1.5", "real@2", "real@4"),
    "cassi": ("real",),
    "mri": ("R4", "soft", "R3", "R2", "R1.5", "R1"),
}
RECIPES: dict[str, dict[str, Any]] = {"ours": {}, "published": {"recipe": "published"}}


def train(bench: Bench) -> None:
    """E2E, and a teacher and a student for each relaxation, by both recipes."""
    for label, named in RECIPES.items():
        usual = bench.settings(**named)
        bench.row(f"{label}: E2E", usual)
        for relaxation in GAPS[bench.case.modality]:
            settings = usual.changed(ladder=(_counted(relaxation, usual),))
            student = f"{label}: student of {relaxation}"
            teacher = bench.row(f"{label}: {relaxation}", settings, "teacher", keep=student not in bench.rows)
            bench.row(student, settings, guide=teacher, warm=settings.start == "teacher")


def _counted(relaxation: str, settings: Any) -> str:
    """Multiples of the student's patterns as numbers of patterns."""
    word, at, factor = relaxation.partition("@")
    return f"{word}@{round(float(factor) * settings.patterns)}" if at else relaxation


def show(case: str, rows: list[dict[str, Any]]) -> None:
    """Gap and student, in the order of the gaps."""
    for label in RECIPES:
        relaxations = [
            name.removeprefix(f"{label}: student of ")
            for name in dict.fromkeys(name for found in rows for name in found)
            if name.startswith(f"{label}: student of ")
        ]
        gaps = {one: differences(rows, f"{label}: {one}", f"{label}: E2E") for one in relaxations}
        order = sorted(relaxations, key=lambda one: float(np.mean(gaps[one])))
        lines = [
            [
                one,
                mean(at_epoch(rows, f"{label}: {one}", "psnr_db", -1)),
                mean(gaps[one]),
                mean(at_epoch(rows, f"{label}: student of {one}", "psnr_db", -1)),
                mean(differences(rows, f"{label}: student of {one}", f"{label}: E2E")),
            ]
            for one in order
        ]
        print(f"{label} (E2E {mean(at_epoch(rows, f'{label}: E2E', 'psnr_db', -1))} dB)\n")
        table(["teacher", "its PSNR / dB", "gap / dB", "student / dB", "student less E2E / dB"], lines)
        print(f"\nit breaks at: {_breaks(label, order, rows) or 'none of these'}\n")


def _breaks(label: str, order: list[str], rows: list[dict[str, Any]]) -> str | None:
    """The first teacher from which on every student falls behind."""
    students = {one: f"{label}: student of {one}" for one in order}
    best = max(order, key=lambda one: float(np.mean(at_epoch(rows, students[one], "psnr_db", -1))))
    found = None
    for one in reversed(order):
        behind = max(
            _behind(differences(rows, students[best], students[one])),
            _behind(differences(rows, f"{label}: E2E", students[one])),
        )
        if behind <= 0:
            return found
        found = one
    return found


def _behind(values: list[float]) -> float:
    """Mean less two standard errors; of one seed, the value."""
    error = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(np.mean(values) - 2 * error)


if __name__ == "__main__":
    Study("teacher_gap", SCALES, train).main(__doc__, show)
