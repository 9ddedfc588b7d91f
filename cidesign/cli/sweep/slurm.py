"""What `cidesign sweep run --slurm` says."""

from pathlib import Path
from typing import TYPE_CHECKING

from cidesign.cli.output import next_step, quoted, result
from cidesign.text import counted

if TYPE_CHECKING:
    from cidesign.sweep.planning import Plan


def submitted(plan: "Plan", spec: Path, out: Path | None, as_json: bool) -> None:
    """Submit what a plan has to do, and say so."""
    from cidesign.sweep.slurm.submission import run_on_slurm

    sweep, done = run_on_slurm(plan)
    throttle = "" if plan.spec.slurm is None or not plan.spec.slurm.throttle else plan.spec.slurm.throttle
    lines = []
    for array in done.arrays:
        at_once = f", at most {throttle} at once" if throttle else ""
        waits = f", after {', '.join(array.after)}" if array.after else ""
        lines.append(f"job {array.job}: {counted(len(array.points), 'point')}{at_once}{waits}")
    lines += [f"{name}: waits for its teacher, which another process trains; repeat then" for name in done.waiting]
    numbers = (
        (done.done, "done"), (len(done.queued), "in the queue before"), (len(done.running), "running elsewhere"),
        (sum(len(array.points) for array in done.arrays), "submitted"),
    )  # fmt: skip
    told = ", ".join(f"{number} {word}" for number, word in numbers if number)
    lines.append(f"{sweep.path}: {told or 'no points'}")
    value = {
        "sweep": str(sweep.path), "done": done.done, "running": list(done.running), "waiting": list(done.waiting),
        "queued": {name: one.job for name, one in done.queued.items()},
        "submitted": [{"job": one.job, "points": list(one.points), "after": list(one.after)} for one in done.arrays],
    }  # fmt: skip
    result(value, "\n".join(lines), as_json)
    if done.arrays or done.queued:
        next_step(f"cidesign sweep status {quoted(spec)}{f' --out {quoted(out)}' if out else ''}")
