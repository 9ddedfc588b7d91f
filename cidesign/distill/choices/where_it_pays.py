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


REGIMES: tuple[Regime, ...] = ()
