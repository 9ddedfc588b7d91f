"""Learning on one's own images against the best fixed design, with the same decoder, on held-out images of the kind.

    python benchmarks/studies/own_images.py --out studies --data clothing=fmnist.npz --data digits=mnist_5k.csv.gz \\
        --data "photographs=pictures,others" --data "one organ=a_head.nii.gz,another_head.nii.gz"

A path is a folder or file that `cidesign distill --data` takes; an npz of small pictures under `images`, or rows of
their pixels and a label as csv, are framed by zeros to the side of the patterns.  Of `A,B` training has A, and B is
measured; else some pictures are kept back, others for each seed.  Low light and few patterns have the clothing too.
End-to-end training (E2E) and the decoders of all fixed designs train for as many epochs as teacher and student
together.  `search first`: the optics begin as a search for these images has chosen them (`means.py`), in the rows
without it as those of a usual run.  Fixed designs that are far below the others (docs/results.md) are trained with the
first seed alone, for the first kind of images of each modality.
Target: a student 1 dB above the best fixed design in three cases of five, and below it in none.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from means import Hard
from numpy.typing import NDArray
from rows import Bench, Case, Study, at_epoch, differences, mean, names_of, table

from cidesign.modality import modality

UPRIGHT = {"augmentation": "shifts"}
SCALES = {
    "smoke": {
        "clothing": Case("single-pixel", 16, 64, 16, 4, 1, {"patterns": 12, **UPRIGHT}),
        "one organ": Case("mri", 16, 32, 8, 4, 1, UPRIGHT),
    },
    "cpu": {
        "clothing": Case("single-pixel", 32, 450, 150, 16, 5, {"patterns": 51, **UPRIGHT}),
        "few patterns": Case("single-pixel", 32, 450, 150, 16, 5, {"patterns": 10, **UPRIGHT}),
        "low light": Case("single-pixel", 32, 450, 150, 16, 5, {"patterns": 51, "photoelectrons": 1e4, **UPRIGHT}),
        "digits": Case("single-pixel", 32, 450, 300, 16, 5, {"patterns": 51, **UPRIGHT}),
        "one organ": Case("mri", 64, 240, 60, 16, 5, {"acceleration": 4.0, **UPRIGHT}),
        "photographs": Case("single-pixel", 32, 450, 300, 16, 5, {"patterns": 51}),
    },
}
WEAK = {
    "fixed: random", "fixed: Hadamard, natural", "fixed: Hadamard, cake-cutting", "fixed: equispaced + centre",
    "fixed: variable density",
}  # fmt: skip
WITH_WEAK = ("clothing", "one organ")
TARGET_DB = 1.0


def train(bench: Bench) -> None:
    """All rows of a case and seed."""
    if bench.data is None:
        print(f"{bench.file.stem}: not measured: no --data of its own", flush=True)
        return
    bench.images = _images(bench)
    ours = bench.settings()
    both = ours.changed(student_epochs=2 * bench.case.epochs)
    bench.row("E2E, T + S epochs", both)
    teacher = bench.row("teacher", ours, "teacher", keep="student" not in bench.rows)
    bench.row("student", ours, guide=teacher, warm=True)
    if bench.case.modality == "single-pixel":  # a search hardly changes lines
        _searched(bench)
    for name, design in modality(ours.modality).fixed_designs(bench.maker(ours), bench.profile).items():
        row = f"fixed: {name}"
        if row not in WEAK or (bench.seed == 1 and bench.name in WITH_WEAK):
            bench.row(row, both, design=design)


def _searched(bench: Bench) -> None:
    """Rows whose patterns begin as a search chose them."""
    hard = Hard(bench)
    hard.row("search first, then E2E", lambda: hard.alone(hard.searched[0]), lambda: hard.searched[1])
    hard.row("search first, then student", lambda: hard.taught_from(hard.searched[0]), lambda: hard.searched[1])


def _images(bench: Bench) -> tuple[torch.Tensor, torch.Tensor]:
    """Images for training, and those that are measured."""
    assert bench.data is not None
    first, _, other = bench.data.partition(",")
    if _framed(first):
        return _kept_back(_small_pictures(Path(first), bench.case.side), bench)
    if not other:
        return bench.stored()
    settings, kind = bench.settings(data=first), modality(bench.case.modality)
    found = kind.images(settings, bench.profile)
    measured = kind.measured_images(settings, bench.profile, Path(other), found.trained).images
    return torch.from_numpy(found.train), torch.from_numpy(measured)


def _framed(path: str) -> bool:
    return path.endswith((".npz", ".csv", ".csv.gz"))


def _small_pictures(path: Path, side: int) -> NDArray[np.uint8]:
    """Pictures (M, side, side), darkness around them; larger ones lose their border."""
    if path.suffix == ".npz":
        pictures = np.load(path)["images"]
    else:
        rows = np.loadtxt(path, delimiter=",", dtype=np.uint8)
        size = round((rows.shape[1] - 1) ** 0.5)
        pictures = rows[:, : size * size].reshape(-1, size, size)
    missing = side - pictures.shape[-1]
    if missing < 0:
        return np.ascontiguousarray(pictures[:, -missing // 2 :, -missing // 2 :][:, :side, :side])
    before = missing // 2
    return np.pad(pictures, ((0, 0), *2 * [(before, missing - before)]))


def _kept_back(pictures: NDArray[np.uint8], bench: Bench) -> tuple[torch.Tensor, torch.Tensor]:
    """Of pictures in random order the first are measured, and those after them trained on."""
    case = bench.case
    if len(pictures) < case.images + case.validation:
        raise SystemExit(f"{bench.data}: {len(pictures)} pictures; {case.images + case.validation} are needed")
    order = np.random.default_rng([bench.seed, 0]).permutation(len(pictures))
    held, trained = np.split(order[: case.validation + case.images], [case.validation])
    return torch.from_numpy(pictures[trained][:, None]), torch.from_numpy(pictures[held][:, None])


def show(case: str, rows: list[dict[str, Any]]) -> None:
    """All rows, and what learning gains over the fixed design that is best on these very images."""
    order = sorted(names_of(rows), key=lambda name: -float(np.mean(at_epoch(rows, name, "psnr_db", -1))))
    whole = [name for name in order if name.startswith("fixed: ") and all(name in found for found in rows)]
    if not whole:
        return
    best = whole[0]
    lines = [
        [
            name,
            str(sum(name in found for found in rows)),
            mean(at_epoch(rows, name, "psnr_db", -1)),
            mean(differences(rows, name, best)) if name != best else "",
        ]
        for name in order
    ]
    table(["row", "seeds", "PSNR / dB", f"less {best} / dB"], lines)
    for name in ("student", "search first, then student", "E2E, T + S epochs", "search first, then E2E"):
        gains = differences(rows, name, best)
        if gains:
            verdict = "reached" if np.mean(gains) >= TARGET_DB else "missed"
            print(f"\n{case}: {name} less {best}: {mean(gains)} dB ({TARGET_DB:g} dB: {verdict})")


if __name__ == "__main__":
    Study("own_images", SCALES, train).main(__doc__, show)
