"""Weights of the guiding terms: automatic ones against a grid of fixed ones, and against none.

    python benchmarks/studies/weights.py --scale cpu --out studies

All students of a seed start from the same teacher's optics and decoder.  The grid has 12 pairs of fixed weights of the
decoder term (features) and the encoder term (operators), all effective forms.  `gradient`: each guiding term's gradient
has a tenth of the task's where it acts; `uncertainty`: all terms over variances that are learnt, nothing to choose;
with soft labels the teacher's predictions are a term too.  Target: an automatic weighting within 0.1 dB of the best of
the grid in every modality.  The best of 12 is chosen on the images that it is measured on, which flatters it.
"""

from typing import Any

import numpy as np
from rows import Bench, Case, Study, at_epoch, differences, mean, names_of, table

from cidesign.distill.choices.guiding import NO_TERMS

SCALES = {
    "smoke": {
        "single-pixel": Case("single-pixel", 16, 64, 16, 4, 4),
        "cassi": Case("cassi", 16, 32, 8, 4, 1),
        "mri": Case("mri", 16, 32, 8, 4, 1),
    },
    "cpu": {
        "single-pixel": Case("single-pixel", 32, 960, 200, 16, 4),
        "cassi": Case("cassi", 32, 480, 100, 16, 4),
        "mri": Case("mri", 64, 480, 200, 16, 4),
    },
    "gpu": {
        "single-pixel": Case("single-pixel", 64, 60_000, 2000, 64, 25),
        "cassi": Case("cassi", 128, 8000, 400, 64, 25),
        "mri": Case("mri", 256, 6000, 400, 32, 25),
    },
}
DECODER, ENCODER = (0.03, 0.1, 0.3, 1.0), (0.03, 0.1, 0.3)
GRID = {
    f"fixed: decoder {decoder:g}, encoder {encoder:g}": {"weight_decoder": decoder, "weight_encoder": encoder}
    for decoder in DECODER
    for encoder in ENCODER
}
AUTOMATIC: dict[str, dict[str, Any]] = {
    "gradient": {"weighting": "gradient", "weight_decoder": 0.1, "weight_encoder": 0.1},
    "gradient, soft labels": {
        "weighting": "gradient", "weight_decoder": 0.1, "weight_encoder": 0.1, "weight_output": 0.1,
    },
    "uncertainty": {"weighting": "uncertainty", "weight_decoder": 1.0, "weight_encoder": 1.0},
    "uncertainty, soft labels": {
        "weighting": "uncertainty", "weight_decoder": 1.0, "weight_encoder": 1.0, "weight_output": 1.0,
    },
}  # fmt: skip
SINGLE: dict[str, dict[str, Any]] = {
    "fixed: soft labels 0.3": {"weight_output": 0.3},
    "fixed: soft labels 1": {"weight_output": 1.0},
}
NONE = "no guiding term"
TARGET_DB = 0.1


def train(bench: Bench) -> None:
    """A teacher, and a student of each weighting that starts from it."""
    settings = bench.settings(weighting="fixed", **NO_TERMS)
    rows = {NONE: {}, **AUTOMATIC, **SINGLE, **GRID}
    teacher = bench.row("teacher", settings, "teacher", keep=not set(rows) <= set(bench.rows))
    for name, changes in rows.items():
        bench.row(name, settings.changed(**changes), guide=teacher, warm=True)


def show(case: str, rows: list[dict[str, Any]]) -> None:
    """PSNR of all, and each automatic weighting against the best of the grid and against none."""
    lines = [
        [
            name,
            mean(at_epoch(rows, name, "psnr_db", -1)),
            "-" if name in (NONE, "teacher") else mean(differences(rows, name, NONE), 3),
            mean([found[name]["seconds"] / found[NONE]["seconds"] for found in rows if {name, NONE} <= set(found)]),
        ]
        for name in names_of(rows)
    ]
    table(["student", "PSNR / dB", f"less {NONE} / dB", f"time over {NONE}"], lines)
    grid = [name for name in GRID if any(name in found for found in rows)]
    if not grid:
        return
    best = max(grid, key=lambda name: float(np.mean(at_epoch(rows, name, "psnr_db", -1))))
    print(f"\nbest of the grid: {best}")
    for name in AUTOMATIC:
        if found := differences(rows, name, best):
            print(f"{name} less the best of the grid: {mean(found, 3)} dB (target: -{TARGET_DB} or better)")


if __name__ == "__main__":
    Study("weights", SCALES, train).main(__doc__, show)
