"""A sweep in Python: planned, run, and looked at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cidesign.errors import FileError, InputError
from cidesign.runs import RUNS_FOLDER, Run
from cidesign.sweep.entries import page_in, table_in
from cidesign.sweep.folder import RECORD_FILE, State, Sweep
from cidesign.sweep.local import Ran, Watcher, run_here
from cidesign.sweep.planning import Plan, plan
from cidesign.sweep.point import Point
from cidesign.sweep.search import next_points
from cidesign.sweep.slurm.submission import Submission, run_on_slurm
from cidesign.sweep.spec import SweepSpec, read_spec, spec_of
from cidesign.sweep.table import Table


class SweepHandle:
    """A spec and the folder of its sweep, which need not be there yet."""

    def __init__(self, spec: SweepSpec, path: Path) -> None:
        self.spec, self.path = spec, path

    def __repr__(self) -> str:
        return f"SweepHandle({str(self.path)!r}, {self.spec.size} combinations)"

    @property
    def folder(self) -> Sweep:
        """The folder as it is now; raises `FileError` where nothing was run yet."""
        return Sweep(self.path)

    def plan(self, *, accept_many: bool = False) -> Plan:
        """Points, digests, disk, memory and time; nothing is started.

        Raises `InputError` for what the spec asks wrongly, and for very many points unless they are accepted.
        """
        return plan(self.spec, self.path, accept_many)

    def run(
        self,
        *,
        workers: int | None = None,
        gpus: Sequence[str | int] = (),
        accept_many: bool = False,
        watcher: Watcher | None = None,
    ) -> Ran:
        """Train all points that are not done on this machine, `workers` at once (1, or one for each of the `gpus`).

        An interrupt leaves everything resumable; the same call finishes what is missing.
        """
        named = [str(gpu) for gpu in gpus]
        return self.run_plan(self.plan(accept_many=accept_many), workers=workers, gpus=named, watcher=watcher)

    def run_plan(
        self, plan: Plan, *, workers: int | None = None, gpus: Sequence[str] = (), watcher: Watcher | None = None
    ) -> Ran:
        """Train what a plan of this sweep has to do."""
        return run_here(plan, workers or max(1, len(gpus)), gpus, watcher, _propose if self.spec.search else None)

    def submit(self, *, accept_many: bool = False) -> Submission:
        """Give SLURM what is to do and not in its queue yet, as arrays, and return at once.

        Raises `InputError` where this machine has no SLURM, where [slurm] is missing, or where SLURM refuses.
        """
        return run_on_slurm(self.plan(accept_many=accept_many))[1]

    def status(self) -> dict[str, State]:
        """Where each point stands, by name."""
        return self.folder.states()

    def table(self, by: Sequence[str] | None = None, baseline: str | None = None, metric: str | None = None) -> Table:
        """Means and standard errors over seeds, `by` all that varies but the seed, and differences to a `baseline`
        (E2E, a fixed design, or a value as in `ladder=real`) seed by seed.

        Raises `InputError` for names that there are not, and `FileError` where nothing was run yet.
        """
        return table_in(self.folder, by, baseline, metric)

    def report(self, by: Sequence[str] | None = None, baseline: str | None = None, metric: str | None = None) -> Path:
        """Write `report.html` into the folder: the table, curves, what failed, and all points; returns its path."""
        return page_in(self.folder, self.table(by, baseline, metric))

    def runs(self) -> dict[str, Run]:
        """The finished runs, by the names of their points."""
        folder = self.folder
        return {point.name: Run(folder.run_path(point)) for point in folder.points if folder.done(point)}


def _propose(sweep: Sweep, wanted: int) -> tuple[tuple[Point, ...], bool]:
    found = next_points(sweep, wanted)
    return found.points, found.ended


def handle_of(spec: Path | Mapping[str, Any], out: Path | None = None) -> SweepHandle:
    """A sweep by its spec (a file, or sections as a mapping with `out`), or by the folder where it is."""
    if isinstance(spec, Mapping):
        if out is None:
            raise InputError("out: name the folder of a sweep whose spec is no file")
        return SweepHandle(spec_of(spec), out)
    if (spec / RECORD_FILE).is_file() or spec.is_dir():
        if out is not None and out.absolute() != spec.absolute():
            raise InputError(f"out {out}: {spec} is the folder of a sweep already; leave it out, or name a spec")
        return SweepHandle(Sweep(spec).spec, spec)
    if not spec.exists():
        raise FileError(f"{spec}: no such sweep spec; write one (TOML, with [base] and [grid]), or name a sweep folder")
    return SweepHandle(read_spec(spec), RUNS_FOLDER / spec.stem if out is None else out)
