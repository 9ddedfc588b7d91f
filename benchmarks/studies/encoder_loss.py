"""The encoder loss alone: condition number of the student's operator over the epochs, with it and without.

    python benchmarks/studies/encoder_loss.py --scale cpu --out studies

`published`: the published recipe (Gram of the latent weights, optics from noise); `ours`: our start, network and rates,
with the scale-free distance of the operators as built.  In both a student begins anew and has no term on features; the
weights are 0.1 (task) and 0.8, or 1 and 0.1.  The condition number is sigma_max / sigma_min over the non-zero
singular values of A; lines of k-space have 1 whatever they are, so MRI is no part of this.  What the loss costs in time
and memory is printed by `benchmarks/sizes/encoder_cost.py`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from rows import Bench, Case, Study, at_epoch, differences, mean, names_of, shown_epochs, table

from cidesign.models.system import ImagingSystem
from cidesign.physics.encoder_metrics import condition_number, operator_matrix

SCALES = {
    "smoke": {"single-pixel": Case("single-pixel", 16, 64, 16, 4, 2), "cassi": Case("cassi", 12, 32, 8, 4, 1)},
    "small": {
        "single-pixel": Case("single-pixel", 32, 480, 200, 16, 8),
        "cassi": Case("cassi", 16, 320, 100, 16, 8),
    },
    "cpu": {
        "single-pixel": Case("single-pixel", 32, 1000, 200, 16, 16),
        "cassi": Case("cassi", 16, 500, 100, 16, 8),
    },
    "gpu": {
        "single-pixel": Case("single-pixel", 64, 60_000, 2000, 64, 50),
        "cassi": Case("cassi", 32, 8000, 400, 64, 50),
    },
}
FORMS: dict[str, tuple[dict[str, Any], float, float]] = {
    "published": ({"recipe": "published"}, 0.1, 0.8),
    "ours": ({"start": "fresh"}, 1.0, 0.1),
}
VALUE = "condition_number"


@torch.no_grad()
def conditioned(system: ImagingSystem) -> Mapping[str, float]:
    """The condition number of the operator as built."""
    system.encoder.explore(1.0, None)
    shape = tuple(system.decoder.prior.variance.shape)
    return {VALUE: condition_number(operator_matrix(system.encoder.A, shape, system.encoder.weight.device))}


def train(bench: Bench) -> None:
    """Teacher, and student with the task alone and with the encoder loss, of both forms."""
    for label, (named, task, encoder) in FORMS.items():
        settings = bench.settings(**named, weight_task=task, weight_decoder=0.0, weight_encoder=encoder)
        injected = f"{label}: with the encoder loss"
        teacher = bench.row(f"{label}: teacher", settings, "teacher", keep=injected not in bench.rows)
        bench.row(f"{label}: without", settings)
        bench.row(injected, settings, guide=teacher)


def show(case: str, rows: list[dict[str, Any]]) -> None:
    """Condition numbers from the start on, and what the loss does to condition and PSNR."""
    epochs = [0, *shown_epochs(max(len(found[name]["curves"]["psnr_db"]) for found in rows for name in found))]
    lines = [
        [
            name,
            *(mean(at_epoch(rows, name, VALUE, epoch + 1)) for epoch in epochs),
            mean(at_epoch(rows, name, "psnr_db", -1)),
        ]
        for name in names_of(rows)
    ]
    table(["condition number after epoch", *map(str, epochs), "PSNR / dB"], lines)
    print()
    for label in FORMS:
        names = [f"{label}: {which}" for which in ("with the encoder loss", "without")]
        found = [at_epoch(rows, name, VALUE, -1) for name in names]
        ratios = [loaded / plain for loaded, plain in zip(*found, strict=False)]
        gain = mean(differences(rows, *names))
        print(f"{label}: condition number with the loss over that without: {mean(ratios)}; PSNR: {gain} dB")


if __name__ == "__main__":
    Study("encoder_loss", SCALES, train, conditioned).main(__doc__, show)
