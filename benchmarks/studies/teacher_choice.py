"""Which teacher: numbers known before a student is trained, and how they rank teachers by the student's PSNR.

At least 12 teachers of each modality (relaxations, epochs, light; small images) are trained, and a student from each
of them, with the same seed.  Before the student's training every candidate below is computed from the teacher and the
student as it starts (optics and decoder inherited); larger should be better.  Printed are all of them with the
student's PSNR on validation images, and Spearman's rank correlation of each candidate for every modality and seed.  The
candidate that is best on the first modality and seed is then scored on all others, which it was not chosen on.

Run: python benchmarks/studies/teacher_choice.py [--modality NAME] [--seeds 1,2,3] [--epochs 2] [--out FILE]
         [--pictures PATH]
With PATH, pictures of one kind make a further single-pixel set.  Rows are kept in FILE (JSON lines) as they are found,
and not computed again.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from scipy.stats import spearmanr
from small import PROFILES, Small
from torch import Tensor

from cidesign.distill.comparison.evaluate import image_metrics
from cidesign.modalities.cassi.encoders.designed import SdCassiEncoder
from cidesign.modalities.cassi.merit import mask_model
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.mri.merit import coils_model
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.physics.base import Encoder, ImagePrior
from cidesign.physics.cosine_filter import dct_matrix
from cidesign.physics.linear_bound import Bound, LinearModel
from cidesign.text import table

# Training images that a decoder is tried on before the student's training.
TRIED_IMAGES = 200
TARGET = 0.8
AT_RANDOM = "(any teacher, at random)"


class Teacher(NamedTuple):
    """A teacher: its word of the ladder (None: a system of the student's own kind), and settings that differ."""

    name: str
    word: str | None
    changes: dict[str, Any]


class Part(NamedTuple):
    """A modality, and the images that its systems are trained on."""

    title: str
    modality: str
    data: str


def _of_words(words: str) -> list[Teacher]:
    return [Teacher(word, word, {}) for word in words.split()]


def _longer(word: str | None, title: str) -> list[Teacher]:
    return [
        Teacher(f"{title}, epochs {label}", word, {"factor": factor}) for label, factor in (("/ 2", 0.5), ("x 2", 2))
    ]


def _of_few(word: str) -> list[Teacher]:
    return [Teacher(f"{word}, {count} images", word, {"images": count}) for count in (64, 128, 256)]


def teachers_of(name: str) -> list[Teacher]:
    """The teachers of a modality."""
    if name == "single-pixel":
        words = "real 1-bit 2-bit 4-bit real@39 real@52 real@104 1-bit@52 1-bit@104 2-bit@52 4-bit@104"
        dim = [Teacher("real, 1e4 photoelectrons", "real", {"photoelectrons_per_frame": 1e4})]
        return [*_of_words(words), *_longer("real", "real"), *dim, *_of_few("real")]
    if name == "mri":
        words = "R1 R1.33 R1.6 R2 R2.67 R3.2 R4 soft"
        noisy = [Teacher(f"R2, noise {noise:g}", "R2", {"noise": noise}) for noise in (0.05, 0.002)]
        return [*_of_words(words), *_longer("R2", "R2"), *_longer("soft", "soft"), *noisy, *_of_few("R2")]
    lights = [
        Teacher(f"real, {light:g} photoelectrons", "real", {"photoelectrons_full_scale": light})
        for light in (200.0, 2e3, 2e5)
    ]
    dim = [Teacher("binary, 2000 photoelectrons", None, {"photoelectrons_full_scale": 2e3})]
    real, binary = Teacher("real", "real", {}), Teacher("binary", None, {})
    return [real, binary, *lights, *_of_few("real"), *dim, *_longer("real", "real"), *_longer(None, "binary")]


class Rows(NamedTuple):
    """An operator in the basis in which the prior's covariance is diagonal: rows (M, N), and variances (N,)."""

    rows: Tensor
    variance: Tensor

    @property
    def expected(self) -> Tensor:
        """A C^1/2: what the readings hold of images of the prior."""
        return self.rows * self.variance.sqrt()


def rows_of(encoder: Encoder, prior: ImagePrior) -> Rows:
    """The rows of any encoder."""
    if isinstance(encoder, SinglePixelEncoder):
        dct = dct_matrix(encoder.side).double()
        patterns = encoder.matrix().double().reshape(-1, encoder.side, encoder.side)
        return Rows((dct @ patterns @ dct.T).flatten(1), prior.variance.flatten().double())
    if isinstance(encoder, SdCassiEncoder):
        return _rows(mask_model(encoder, prior))
    return _rows(coils_model(cast(CartesianEncoder, encoder), prior))


def _rows(model: LinearModel) -> Rows:
    units = torch.eye(len(model.noise), dtype=torch.float64)
    return Rows(model.transform(model.adjoint(units)).flatten(1), model.variance.flatten())


def overlap(student: Tensor, teacher: Tensor) -> float:
    """The mean squared cosine of the principal angles of two row spaces (K, N) and (L, N), of the student's K."""
    own, other = (_basis(rows) for rows in (student, teacher))
    return float((own @ other.T).square().sum()) / len(own)


def _basis(rows: Tensor) -> Tensor:
    """An orthonormal basis (rank, N) of the row space, by the Gram of the rows."""
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    kept = values > 1e-9 * values[-1]
    return (vectors[:, kept] / values[kept].sqrt()).T @ rows


def gram_likeness(student: Tensor, teacher: Tensor) -> float:
    """- | S^T S / |S^T S| - T^T T / |T^T T| |^2, in [-2, 0]."""
    norms = (student @ student.T).norm() * (teacher @ teacher.T).norm()
    return float(2 * (student @ teacher.T).square().sum() / norms - 2)


def spectrum_likeness(student: Tensor, teacher: Tensor) -> float:
    """Minus the distance of the singular values, each set of unit norm, the shorter one filled with zeros."""
    own, other = (torch.linalg.eigvalsh(rows @ rows.T).clamp_min(0).sqrt().flip(0) for rows in (student, teacher))
    size = max(len(own), len(other))
    own, other = (torch.nn.functional.pad(values / values.norm(), (0, size - len(values))) for values in (own, other))
    return -float((own - other).norm())


def candidates(student: ImagingSystem, teacher: ImagingSystem, small: Small, taught: Any) -> dict[str, float]:
    """Every candidate, of the student as it starts and its teacher; `taught` are the teacher's settings."""
    kind, prior = modality(small.settings.modality), student.decoder.prior
    own, other = (rows_of(system.encoder, prior) for system in (student, teacher))
    bounds = [kind.linear_bound(system.encoder, prior) for system in (student, teacher)]
    tried = small.train[:TRIED_IMAGES]
    return {
        "overlap": overlap(own.rows, other.rows),
        "overlap, prior": overlap(own.expected, other.expected),
        "Gram distance": gram_likeness(own.rows, other.rows),
        "Gram distance, prior": gram_likeness(own.expected, other.expected),
        "spectrum gap": spectrum_likeness(own.rows, other.rows),
        "spectrum gap, prior": spectrum_likeness(own.expected, other.expected),
        "bound of the start": _db(bounds[0]),
        "bound of the teacher": _db(bounds[1]),
        "PSNR of the start": image_metrics(student, tried, small.settings)["psnr_db"],
        "PSNR of the teacher": image_metrics(teacher, tried, taught)["psnr_db"],
    }


def _db(bound: Any) -> float:
    if not isinstance(bound, Bound):
        raise SystemExit(bound.why)
    return bound.db


def found_rows(part: Part, seed: int, epochs: int, known: dict[str, Any], keep: Callable[[Any], None]) -> Iterator[Any]:
    """A row for each teacher: its name, the candidates, and the student's PSNR on validation images."""
    small: Small | None = None
    for teacher in teachers_of(part.modality):
        key = f"{part.title} / {seed} / {epochs} / {teacher.name}"
        if key not in known:
            small = small or Small.of(part.modality, seed, epochs, part.data)
            keep({"key": key, "teacher": teacher.name, **_found(small, teacher, epochs)})
        yield known[key]


def _found(small: Small, teacher: Teacher, epochs: int) -> dict[str, Any]:
    started = time.monotonic()
    changes = dict(teacher.changes)
    span = max(1, round(epochs * changes.pop("factor", 1)))
    if teacher.word is None:
        maker, phase = small.maker(student_epochs=span, **changes), "student"
    else:
        maker, phase = small.maker(teacher_epochs=span, ladder=(teacher.word,), **changes), "teacher"
    origin = small.trained(maker, phase, None)
    own = small.maker()
    start = own.system("student")
    own.warm_start(start, origin)
    start.encoder.explore(1.0, None)
    numbers = candidates(start.eval().requires_grad_(False), origin, small, maker.settings)
    student = small.trained(own, "student", origin)
    reached = image_metrics(student, small.validation, small.settings)["psnr_db"]
    return {"numbers": numbers, "psnr_db": reached, "seconds": round(time.monotonic() - started, 1)}


def rank_correlations(rows: list[Any]) -> dict[str, float]:
    """Spearman's rho of each candidate with the student's PSNR; 0 for one that is the same for all teachers."""
    reached = [row["psnr_db"] for row in rows]
    found = {}
    for name in rows[0]["numbers"]:
        values = [round(row["numbers"][name], 9) for row in rows]
        found[name] = 0.0 if len(set(values)) == 1 else float(spearmanr(values, reached).statistic)
    return found


def losses_db(rows: list[Any]) -> dict[str, float]:
    """How far below the best student that of each candidate's first choice is, the mean of those that it puts first;
    and that of a teacher taken at random."""
    reached = np.array([row["psnr_db"] for row in rows])
    found = {}
    for name in rows[0]["numbers"]:
        values = np.array([round(row["numbers"][name], 9) for row in rows])
        found[name] = float(reached.max() - reached[values == values.max()].mean())
    return {**found, AT_RANDOM: float(reached.max() - reached.mean())}


def main() -> None:
    """Compute what is missing; print the rows, the rank correlations, and the choice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modality", choices=PROFILES, action="append")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("teacher_choice.jsonl"))
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    parts = [Part(name, name, "procedural") for name in options.modality or PROFILES]
    if options.pictures is not None:
        parts.append(Part(f"single-pixel, {options.pictures.stem}", "single-pixel", str(options.pictures)))
    torch.set_num_threads(1)
    known = {}
    if options.out.exists():
        known = {row["key"]: row for row in map(json.loads, options.out.read_text().splitlines())}

    def keep(row: Any) -> None:
        known[row["key"]] = row
        with options.out.open("a") as lines:
            print(json.dumps(row), file=lines)

    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, 1 of {os.cpu_count()} cores")
    table_of: dict[str, dict[str, float]] = {}
    lost: dict[str, dict[str, float]] = {}
    # All modalities of one seed before the next seed: a run that is cut short has something of each.
    for seed in map(int, options.seeds.split(",")):
        for part in parts:
            rows = list(found_rows(part, seed, options.epochs, known, keep))
            table_of[f"{part.title}, seed {seed}"] = rank_correlations(rows)
            lost[f"{part.title}, seed {seed}"] = losses_db(rows)
            _print_rows(part.title, seed, rows)
    _print_choice(table_of)
    print("\nHow far below the best student that of the first choice is, dB")
    cells = [(key, *(f"{lost[where][key]:.3f}" for where in lost)) for key in next(iter(lost.values()))]
    print(table(cells, ("candidate", *lost)))


def _print_rows(name: str, seed: int, rows: list[Any]) -> None:
    numbers = list(rows[0]["numbers"])
    spread = np.ptp([row["psnr_db"] for row in rows])
    seconds = sum(row["seconds"] for row in rows)
    print(f"\n{name}, seed {seed}: {len(rows)} teachers, students within {spread:.2f} dB, {seconds:.0f} s")
    cells = [
        (row["teacher"], f"{row['psnr_db']:.3f}", *(f"{row['numbers'][key]:.4g}" for key in numbers))
        for row in sorted(rows, key=lambda row: -row["psnr_db"])
    ]
    print(table(cells, ("teacher", "student dB", *numbers)), flush=True)


def _print_choice(table_of: dict[str, dict[str, float]]) -> None:
    sets = list(table_of)
    numbers = list(table_of[sets[0]])
    print("\nSpearman's rank correlation with the student's PSNR")
    cells = [(key, *(f"{table_of[where][key]:+.2f}" for where in sets)) for key in numbers]
    print(table(cells, ("candidate", *sets)))
    for chosen_on in sets:
        best = max(numbers, key=lambda key: table_of[chosen_on][key])
        others = {where: table_of[where][best] for where in sets if where != chosen_on}
        if not others:
            continue
        least = min(others, key=lambda where: others[where])
        verdict = "reached" if others[least] >= TARGET else "missed"
        print(
            f"chosen on {chosen_on}: {best} ({table_of[chosen_on][best]:+.2f}); on the {len(others)} others "
            f"{np.mean(list(others.values())):+.2f} in the mean, least {others[least]:+.2f} ({least}): the target "
            f"{TARGET:g} is {verdict}"
        )


if __name__ == "__main__":
    main()
