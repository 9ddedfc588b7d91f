"""Where plain distillation does not gain over E2E training at equal total epochs: do the means of the field?

    python benchmarks/studies/means.py --scale cpu --out studies

Hard regimes of `where_it_pays.py`.  E2E trains for T + S epochs, a teacher for T and its student for S; seconds are
those of both.  Beside them, all in as many epochs:

- `E2E, 2 (T + S)`: twice as many epochs, where a search takes about as long as training.
- `real optics`: E2E without the device's limits, which is what a student can at the most hope to inherit.
- `soft labels`: the teacher's predictions weigh 0.5; `all terms`: every guiding term, with learnt variances.
- `averaged`: weights averaged over the last half of the training; `averaged teacher`: the teacher's so.
- `operators`: for T epochs the decoder sees other feasible optics in every step; then both train for S.  With `search`,
  changes of the optics that this frozen decoder likes on a batch are made in between.
- `row space`: the student's patterns are the signs of the teacher's, rotated among each other so that signs lose
  little (iterative quantisation; Gong et al., TPAMI 35, 2916, 2013), where `ours` takes the signs as they are.
- `search first`: optics begin with the patterns that a greedy choice by the closed-form linear bound takes of low-pass
  ones, each as often as it pays; masks and lines with the changes that the linear estimate of a batch likes.
- `ours, then search`: what the finished student's own decoder likes on a batch of training images is changed.

Rows that were hopeless with the first seed are trained with that seed alone.
"""

import copy
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from rows import Bench, Case, Study, at_epoch, differences, finished, mean, names_of, table
from torch import Tensor
from where_it_pays import Regime, profile_of

from cidesign.distill.checkpoint import Progress
from cidesign.distill.loop import as_floats, evaluate, make_optimiser, train_phase
from cidesign.modalities.mri.fixed_designs import variable_density_lines
from cidesign.modalities.mri.optics import MriOptics
from cidesign.modalities.single_pixel.fixed_designs import low_frequency_cosines
from cidesign.modalities.single_pixel.search import searched_patterns
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.physics.linear_bound import Bound
from cidesign.run_settings import TrainingSettings

FEW, FEATURES = "96 images", "features of 4"
AVERAGED = ", averaged"
ALL_TERMS: dict[str, Any] = {
    "weight_decoder": 0.1, "weight_encoder": 0.1, "weight_output": 0.5, "weighting": "uncertainty",
}  # fmt: skip
SCALES = {
    "smoke": {
        "single-pixel, 1e3 photoelectrons": Case(
            "single-pixel", 16, 32, 8, 4, 1, {"patterns": 12, "photoelectrons": 1e3, "batch": 16}
        ),
        f"SD-CASSI, {FEATURES}": Case("cassi", 16, 16, 8, 4, 1, {"batch": 16}),
        "MRI, R = 8": Case("mri", 16, 32, 8, 4, 1, {"acceleration": 4.0, "batch": 16}),
    },
    "cpu": {
        "single-pixel, K = 10 (1 %)": Case("single-pixel", 32, 480, 200, 16, 4, {"patterns": 10}),
        "single-pixel, 1e3 photoelectrons": Case(
            "single-pixel", 32, 480, 200, 16, 4, {"patterns": 51, "photoelectrons": 1e3}
        ),
        f"SD-CASSI, {FEATURES}": Case("cassi", 32, 320, 100, 16, 4),
        "MRI, R = 8": Case("mri", 64, 320, 100, 16, 4, {"acceleration": 8.0}),
        f"single-pixel, {FEW}": Case("single-pixel", 32, 96, 200, 16, 20, {"patterns": 51}),
        f"SD-CASSI, {FEW}": Case("cassi", 32, 96, 100, 16, 12),
        f"MRI, {FEW}": Case("mri", 64, 96, 100, 16, 12, {"acceleration": 4.0}),
    },
}
E2E = "E2E, T + S"
DECAY = 0.95
PROPOSALS, JUDGED = 150, 64
ROTATIONS = 100
# After one seed.
HOPELESS = {
    "real optics, T + S", "start of ours", "soft labels", "all terms", "averaged teacher", "ours, then search",
    "start of row space", "row space", "operators",
}  # fmt: skip
Start = Callable[[ImagingSystem], None]


def _as_it_is(system: ImagingSystem) -> None:
    """A start, or a step, that changes nothing."""


class Hard:
    """The systems of one regime and seed; each mean is a row."""

    def __init__(self, bench: Bench, features_px: float | None = None) -> None:
        if features_px is not None:
            bench.profile = profile_of("cassi", Regime(features_px=features_px))
        self.bench, self.settings = bench, bench.settings()
        self.train, self.validation = bench.stored()
        self.maker = bench.maker(self.settings)
        self.kind = bench.case.modality
        self.both, self.twice = (
            self.settings.changed(teacher_epochs=times * bench.case.epochs, student_epochs=times * bench.case.epochs)
            for times in (2, 4)
        )

    def trained(
        self,
        settings: TrainingSettings,
        phase: str,
        start: Start = _as_it_is,
        guide: ImagingSystem | None = None,
        each_step: Start = _as_it_is,
    ) -> tuple[ImagingSystem, ImagingSystem]:
        """A system that begins as `start` makes it, and the same with averaged weights."""
        system = self.bench.maker(settings).system(phase)
        start(system)
        averages: list[ImagingSystem] = []

        def on_step(report: Any) -> None:
            if not averages and 2 * report.step >= report.steps:
                averages.append(copy.deepcopy(system))
            elif averages:
                with torch.no_grad():
                    for average, own in zip(averages[0].parameters(), system.parameters(), strict=True):
                        average.lerp_(own, 1 - DECAY)
            each_step(system)

        each_step(system)
        optimiser, progress = make_optimiser(system, settings), Progress(phase)
        for _ in train_phase(system, guide, optimiser, self.train, settings, progress, on_step):
            pass
        return finished(system), finished(averages[0])

    def row(
        self, name: str, make: Callable[[], dict[str, ImagingSystem]], before_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        """Train and measure the systems that `make` returns, by what follows the name of the row; `before_s`: seconds
        of what it starts from."""
        if name in self.bench.rows or (self.bench.seed > 1 and name in HOPELESS):
            return
        before = before_s()
        started = time.process_time()
        found = make()
        seconds = before + time.process_time() - started
        for ending, system in found.items():
            psnr_db = evaluate(system, self.validation, self.settings)["psnr_db"]
            self.bench.record(name + ending, {"psnr_db": [psnr_db], **self._bound(system)}, seconds)

    def _bound(self, system: ImagingSystem) -> dict[str, list[float]]:
        if self.kind == "cassi" or system.encoder.weight.numel() > 2**17:
            return {}
        bound = modality(self.kind).linear_bound(system.encoder, system.decoder.prior)
        return {"bound_db": [bound.db]} if isinstance(bound, Bound) else {}

    @cached_property
    def teacher(self) -> tuple[ImagingSystem, ImagingSystem, float]:
        """The teacher, the same with averaged weights, and its seconds."""
        started = time.process_time()
        found = self.trained(self.settings, "teacher")
        return *found, time.process_time() - started

    @cached_property
    def ours(self) -> tuple[ImagingSystem, ImagingSystem, float]:
        """The student, the same with averaged weights, and its seconds."""
        started = time.process_time()
        found = self.student(self.teacher[0])
        return *found, time.process_time() - started

    def taught_s(self) -> float:
        """Seconds until there is a teacher."""
        return self.teacher[2]

    def learnt_s(self) -> float:
        """Seconds until there is a student."""
        return self.teacher[2] + self.ours[2]

    def alone(self, origin: ImagingSystem | None = None) -> dict[str, ImagingSystem]:
        """E2E for T + S epochs, from the optics of `origin` on."""
        found = self.trained(self.both, "student", _as_it_is if origin is None else self.with_optics(origin))
        return {"": found[0], AVERAGED: found[1]}

    def with_optics(self, origin: ImagingSystem) -> Start:
        """A start that has the optics of `origin`."""
        return lambda system: self.maker.optics.inherit(system.encoder, origin.encoder)

    def warm(self, teacher: ImagingSystem) -> ImagingSystem:
        """A student before training, with what it takes of a teacher."""
        system = self.maker.system("student")
        self.maker.warm_start(system, teacher)
        return system

    def student(self, teacher: ImagingSystem) -> tuple[ImagingSystem, ImagingSystem]:
        """A student that starts from a teacher, or from the student that is given as one."""
        return self.trained(self.settings, "student", lambda system: self.maker.warm_start(system, teacher))

    def taught_from(self, origin: ImagingSystem) -> dict[str, ImagingSystem]:
        """The student of a teacher, both from the optics of `origin` on."""
        teacher, _ = self.trained(self.settings, "teacher", self.with_optics(origin))
        return {"": self.student(teacher)[0]}

    def guided(self, **terms: Any) -> dict[str, ImagingSystem]:
        """A student that starts from the teacher and is guided by it."""
        teacher = self.teacher[0]
        settings = self.settings.changed(**terms)
        found = self.trained(settings, "student", lambda system: self.maker.warm_start(system, teacher), teacher)
        return {"": found[0]}

    def changed(self, system: ImagingSystem, seed: int, linear: bool) -> ImagingSystem:
        """The same system with the proposals made that lower its error on a batch, by its network or linearly."""
        rng = np.random.default_rng([self.bench.seed, seed])
        x = as_floats(self.train[:JUDGED])
        weight = system.encoder.weight

        @torch.no_grad()
        def error() -> float:
            with system.encoder.unchanged():
                y = system.encoder(x, torch.Generator().manual_seed(self.bench.seed))
                decode = system.decoder.linear_estimate if linear else system.decoder.image
                return float((decode(y, system.encoder) - x).square().mean())

        system.encoder.explore(1.0, None)
        system.eval()
        least = error()
        for _ in range(PROPOSALS):
            before = weight.detach().clone()
            with torch.no_grad():
                self._propose(weight, rng)
            found = error()
            if found < least:
                least = found
            else:
                with torch.no_grad():
                    weight.copy_(before)
        return system

    def _propose(self, weight: Tensor, rng: np.random.Generator) -> None:
        """Flip a block of a pattern or a cell of the mask, or swap a line for another."""
        if self.kind == "single-pixel":
            number, (down, right) = rng.integers(len(weight)), rng.integers(0, weight.shape[-1] // 4, 2) * 4
            weight[number, down : down + 4, right : right + 4] *= -1
        elif self.kind == "cassi":
            place = tuple(rng.integers(0, weight.shape))
            weight[place] = 1 - weight[place]
        else:
            rule = cast(MriOptics, self.maker.optics).rule
            order = [line for line in weight.argsort(descending=True).tolist() if not rule.always[line]]
            free = rule.acquired - int(rule.always.sum())
            # Lines next to those that are taken are the likeliest to pay.
            one, other = order[rng.integers(free)], order[min(free + int(rng.exponential(free + 4)), len(order) - 1)]
            weight[[one, other]] = weight[[other, one]]

    @cached_property
    def searched(self) -> tuple[ImagingSystem, float]:
        """A student before training whose optics a search has chosen, and its seconds."""
        started = time.process_time()
        system = self.maker.system("student")
        if self.kind == "single-pixel":
            count, side, _ = system.encoder.weight.shape
            prior, noise = system.decoder.prior, cast(Any, system.encoder).noise
            variance = noise.typical_variance(float(prior.mean[0]), side)
            with torch.no_grad():
                found = searched_patterns(side, count, prior.variance[0], variance)
                system.encoder.weight.copy_(found * system.encoder.weight.abs().max())
        else:
            self.changed(system, 1, linear=True)
            system.train()
        return system, time.process_time() - started

    def random_optics(self, rng: np.random.Generator) -> Start:
        """What gives a system other feasible optics each time."""
        low_pass = None
        if self.kind == "single-pixel":
            count, side, _ = self.maker.system("student").encoder.weight.shape
            low_pass = torch.from_numpy(low_frequency_cosines(side, min(side**2, 4 * count)))

        @torch.no_grad()
        def change(system: ImagingSystem) -> None:
            weight = system.encoder.weight.requires_grad_(False)
            if low_pass is not None:
                chosen = np.arange(len(weight))
                others = rng.random(len(weight)) < 0.25
                chosen[others] = rng.integers(0, len(low_pass), int(others.sum()))
                flips = torch.from_numpy(np.where(rng.random(weight.shape) < 0.05, -0.5, 0.5))
                weight.copy_(low_pass[chosen] * flips)
            elif self.kind == "cassi":
                weight.copy_(torch.from_numpy(rng.random(weight.shape)))
            else:
                rule = cast(MriOptics, self.maker.optics).rule
                power = float(rng.choice([2.0, 4.0, 8.0, 16.0]))
                lines = variable_density_lines(rule, int(rng.integers(2**31)), power)
                weight.zero_()
                weight[torch.from_numpy(lines)] = 1.0

        return change

    @cached_property
    def generic(self) -> tuple[ImagingSystem, float]:
        """A decoder that has seen other optics in every step, in front of a student's start, and its seconds."""
        started = time.process_time()
        change = self.random_optics(np.random.default_rng([self.bench.seed, 2]))
        taught, _ = self.trained(self.settings, "student", each_step=change)
        system = self.maker.system("student")
        system.decoder.take_over(taught.decoder)
        return system, time.process_time() - started


def rotated(patterns: Tensor) -> Tensor:
    """Q W of patterns W (K, n, n) with the orthogonal Q for which signs lose least, as weights of signs."""
    rows = patterns.flatten(1).double()
    scale = rows.square().mean().sqrt()
    turned = rows
    for _ in range(ROTATIONS):
        left, _, right = torch.linalg.svd(turned.sign() @ rows.T)
        turned = left @ right @ rows
    return (0.5 * turned / scale).clamp(-1, 1).float().reshape(patterns.shape)


def train(bench: Bench) -> None:
    """All rows of a case and seed."""
    regime = Hard(bench, 4.0 if FEATURES in bench.name else None)
    row, taught = regime.row, regime.taught_s

    row(E2E, regime.alone)
    if regime.kind != "single-pixel":
        row("E2E, 2 (T + S)", lambda: {"": regime.trained(regime.twice, "student")[0]})
    if regime.kind != "mri":
        row("real optics, T + S", lambda: {"": regime.trained(regime.both, "teacher")[0]})
    row("teacher, T", lambda: {"": regime.teacher[0]}, taught)
    row("start of ours", lambda: {"": finished(regime.warm(regime.teacher[0]))}, taught)
    row("ours", lambda: {"": regime.ours[0], AVERAGED: regime.ours[1]}, taught)
    row("soft labels", lambda: regime.guided(weight_output=0.5), taught)
    row("all terms", lambda: regime.guided(**ALL_TERMS), taught)
    row("averaged teacher", lambda: {"": regime.student(regime.teacher[1])[0]}, taught)
    row("ours, then search", lambda: {"": regime.changed(copy.deepcopy(regime.ours[0]), 3, False)}, regime.learnt_s)
    if regime.kind == "single-pixel":
        row("start of row space", lambda: {"": finished(_row_space(regime))}, taught)
        row("row space", lambda: {"": regime.student(_row_space(regime))[0]}, taught)

    generic, generic_s = lambda: regime.generic[0], lambda: regime.generic[1]
    row("operators", lambda: {"": regime.student(generic())[0]}, generic_s)
    row(
        "operators, search",
        lambda: {"": regime.student(regime.changed(copy.deepcopy(generic()), 4, False))[0]},
        generic_s,
    )
    searched, searched_s = lambda: regime.searched[0], lambda: regime.searched[1]
    row("start of search first", lambda: {"": finished(copy.deepcopy(searched()))}, searched_s)
    row("search first, then E2E", lambda: regime.alone(searched()), searched_s)
    row("search first, then ours", lambda: regime.taught_from(searched()), searched_s)


def _row_space(regime: Hard) -> ImagingSystem:
    """A student before training with the rotated patterns of the teacher, and its decoder."""
    system = regime.warm(regime.teacher[0])
    with torch.no_grad():
        system.encoder.weight.copy_(rotated(regime.teacher[0].encoder.weight.detach().clamp(-1, 1)))
    return system


def show(case: str, rows: list[dict[str, Any]]) -> None:
    """Every mean beside E2E."""
    lines = []
    for name in names_of(rows):
        gains = differences(rows, name, E2E)
        ahead = len(gains) > 2 and np.mean(gains) > 2 * np.std(gains, ddof=1) / len(gains) ** 0.5
        shares = [found[name]["seconds"] / found[E2E]["seconds"] for found in rows if {name, E2E} <= set(found)]
        lines.append(
            [
                name,
                str(len(gains)),
                mean(at_epoch(rows, name, "psnr_db", -1)),
                mean(gains) + (" *" if ahead else ""),
                mean(at_epoch(rows, name, "bound_db", -1)),
                mean([found[name]["seconds"] for found in rows if name in found], 0),
                mean(shares, 1),
            ]
        )
    table(
        ["row", "seeds", "PSNR / dB", f"less {E2E} / dB", "linear bound / dB", "processor seconds", "of E2E's"], lines
    )
    print("\n*: above 0 by two standard errors of three seeds or more")


if __name__ == "__main__":
    Study("means", SCALES, train).main(__doc__, show)
