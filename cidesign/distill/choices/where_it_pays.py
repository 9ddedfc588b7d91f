"""Where distillation pays: a student against E2E training with as many epochs as teacher and student, as measured.

The rows are printed by `benchmarks/studies/where_it_pays.py --map` from what the study has trained (docs/results.md).
"""

from collections.abc import Mapping
from typing import NamedTuple


class Regime(NamedTuple):
    """One setting that was measured, with procedural images and the usual decoder.

    `conditions` are those of `conditions_of`, each > 0.  `gain_db` is the mean PSNR of the student minus that of E2E at
    equal total epochs over paired `seeds`, `standard_error_db` the standard error of this mean.
    """

    modality: str
    name: str
    conditions: Mapping[str, float]
    gain_db: float
    standard_error_db: float
    seeds: int


# fmt: off
REGIMES: tuple[Regime, ...] = (
    Regime(
        "single-pixel", "K = 51 (5 %)",
        {"pattern share": 0.0498, "levels": 2, "light": 10000000, "side": 32, "images": 960, "steps": 240},
        -0.063, 0.009, 3,
    ),
    Regime(
        "single-pixel", "K = 10 (1 %)",
        {"pattern share": 0.009766, "levels": 2, "light": 10000000, "side": 32, "images": 960, "steps": 240},
        -0.028, 0.019, 2,
    ),
    Regime(
        "single-pixel", "K = 20 (2 %)",
        {"pattern share": 0.01953, "levels": 2, "light": 10000000, "side": 32, "images": 960, "steps": 240},
        -0.087, 0.042, 2,
    ),
    Regime(
        "single-pixel", "1e4 photoelectrons",
        {"pattern share": 0.0498, "levels": 2, "light": 10000, "side": 32, "images": 960, "steps": 240},
        -0.053, 0.030, 2,
    ),
    Regime(
        "single-pixel", "1e3 photoelectrons",
        {"pattern share": 0.0498, "levels": 2, "light": 1000, "side": 32, "images": 960, "steps": 240},
        -0.002, 0.002, 3,
    ),
    Regime(
        "single-pixel", "100 images",
        {"pattern share": 0.0498, "levels": 2, "light": 10000000, "side": 32, "images": 96, "steps": 240},
        0.051, 0.098, 2,
    ),
    Regime(
        "single-pixel", "16 epochs",
        {"pattern share": 0.0498, "levels": 2, "light": 10000000, "side": 32, "images": 960, "steps": 480},
        -0.043, 0.005, 2,
    ),
    Regime(
        "single-pixel", "10,000 images",
        {"pattern share": 0.0498, "levels": 2, "light": 10000000, "side": 32, "images": 10000, "steps": 1248},
        0.042, 0.035, 3,
    ),
    Regime(
        "single-pixel", "64 epochs",
        {"pattern share": 0.0498, "levels": 2, "light": 10000000, "side": 32, "images": 960, "steps": 1920},
        0.012, 0.016, 3,
    ),
    Regime(
        "single-pixel", "1 + 1 epochs",
        {"pattern share": 0.0498, "levels": 2, "light": 10000000, "side": 32, "images": 960, "steps": 60},
        0.005, 0.003, 2,
    ),
    Regime(
        "cassi", "features of 1 code pixel",
        {"cell": 1, "light": 20000, "side": 32, "images": 480, "steps": 120},
        -0.063, 0.025, 2,
    ),
    Regime(
        "cassi", "features of 2 code pixels",
        {"cell": 2, "light": 20000, "side": 32, "images": 480, "steps": 120},
        0.067, 0.163, 2,
    ),
    Regime(
        "cassi", "features of 4 code pixels",
        {"cell": 4, "light": 20000, "side": 32, "images": 480, "steps": 120},
        0.001, 0.132, 3,
    ),
    Regime(
        "cassi", "2,000 photoelectrons",
        {"cell": 1, "light": 2000, "side": 32, "images": 480, "steps": 120},
        0.039, 0.068, 2,
    ),
    Regime(
        "cassi", "200 photoelectrons",
        {"cell": 1, "light": 200, "side": 32, "images": 480, "steps": 120},
        -0.034, 0.023, 2,
    ),
    Regime(
        "cassi", "100 cubes",
        {"cell": 1, "light": 20000, "side": 32, "images": 96, "steps": 120},
        -0.043, 0.051, 2,
    ),
    Regime(
        "cassi", "10,000 cubes",
        {"cell": 1, "light": 20000, "side": 32, "images": 10000, "steps": 1248},
        0.065, 0.051, 2,
    ),
    Regime(
        "cassi", "64 epochs",
        {"cell": 1, "light": 20000, "side": 32, "images": 480, "steps": 960},
        -0.162, 0.029, 2,
    ),
    Regime(
        "cassi", "1 + 1 epochs",
        {"cell": 1, "light": 20000, "side": 32, "images": 480, "steps": 30},
        0.079, 0.040, 2,
    ),
    Regime(
        "mri", "R = 4",
        {"acceleration": 4, "coils": 1, "noise": 0.01, "side": 64, "images": 480, "steps": 120},
        -0.319, 0.089, 3,
    ),
    Regime(
        "mri", "R = 8",
        {"acceleration": 8, "coils": 1, "noise": 0.01, "side": 64, "images": 480, "steps": 120},
        -0.176, 0.378, 3,
    ),
    Regime(
        "mri", "R = 4, 4 coils",
        {"acceleration": 4, "coils": 4, "noise": 0.01, "side": 64, "images": 480, "steps": 120},
        -0.109, 0.032, 2,
    ),
    Regime(
        "mri", "R = 8, 4 coils",
        {"acceleration": 8, "coils": 4, "noise": 0.01, "side": 64, "images": 480, "steps": 120},
        -0.236, 0.080, 2,
    ),
    Regime(
        "mri", "noise 0.05",
        {"acceleration": 4, "coils": 1, "noise": 0.05, "side": 64, "images": 480, "steps": 120},
        -0.092, 0.020, 2,
    ),
    Regime(
        "mri", "100 slices",
        {"acceleration": 4, "coils": 1, "noise": 0.01, "side": 64, "images": 96, "steps": 120},
        -0.326, 0.086, 2,
    ),
    Regime(
        "mri", "10,000 slices",
        {"acceleration": 4, "coils": 1, "noise": 0.01, "side": 64, "images": 10000, "steps": 1248},
        0.224, 0.006, 2,
    ),
    Regime(
        "mri", "64 epochs",
        {"acceleration": 4, "coils": 1, "noise": 0.01, "side": 64, "images": 480, "steps": 960},
        0.118, 0.020, 3,
    ),
    Regime(
        "mri", "1 + 1 epochs",
        {"acceleration": 4, "coils": 1, "noise": 0.01, "side": 64, "images": 480, "steps": 30},
        -0.000, 0.001, 2,
    ),
)
# fmt: on
