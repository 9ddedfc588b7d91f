"""Patterns that training starts from: the lowest cosines, or those that are searched for (`optics_start=searched`).

    python benchmarks/studies/searched.py --scale cpu --out studies
    python benchmarks/studies/searched.py --scale cpu --out studies --data PICTURES

`kept`: the start itself with a decoder that is trained for it; `E2E`: patterns and decoder are trained.  All rows train
for as many epochs, on the same images in the same order.  The search knows the training images' power spectrum and the
settings' light, nothing of the validation images.
"""

from typing import Any

from rows import Bench, Case, Study, at_epoch, differences, mean, names_of, table

SCALES = {
    "smoke": {"K = 6": Case("single-pixel", 16, 64, 16, 4, 1, {"patterns": 6})},
    "cpu": {
        "K = 10": Case("single-pixel", 32, 960, 200, 16, 4, {"patterns": 10}),
        "K = 51": Case("single-pixel", 32, 960, 200, 16, 4, {"patterns": 51}),
        "K = 102": Case("single-pixel", 32, 960, 200, 16, 4, {"patterns": 102}),
        "K = 51, 1e5": Case("single-pixel", 32, 960, 200, 16, 4, {"patterns": 51, "photoelectrons": 1e5}),
        "K = 51, 1e4": Case("single-pixel", 32, 960, 200, 16, 4, {"patterns": 51, "photoelectrons": 1e4}),
        "K = 51, 1e3": Case("single-pixel", 32, 960, 200, 16, 4, {"patterns": 51, "photoelectrons": 1e3}),
    },
}
STARTS = {"lowest": "designed", "searched": "searched"}


def train(bench: Bench) -> None:
    """Both starts, kept and trained."""
    for label, start in STARTS.items():
        settings = bench.settings(optics_start=start)
        maker = bench.maker(settings)
        bench.row(f"{label}, kept", settings, design=maker.optics.design(maker.system("student").encoder))
        bench.row(f"{label}, E2E", settings)


def show(case: str, rows: list[dict[str, Any]]) -> None:
    """PSNR of all, and what searching gains."""
    lines = [[name, mean(at_epoch(rows, name, "psnr_db", -1))] for name in names_of(rows)]
    table(["patterns", "PSNR / dB"], lines)
    print()
    for how in ("kept", "E2E"):
        print(f"searched less lowest, {how}: {mean(differences(rows, f'searched, {how}', f'lowest, {how}'))} dB")


if __name__ == "__main__":
    Study("searched", SCALES, train).main(__doc__, show)
