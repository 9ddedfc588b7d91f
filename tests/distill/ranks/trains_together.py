"""What two processes do together, for `test_together.py`: each writes what it saw to FOLDER/RANK.json."""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cidesign.distill import job
from cidesign.distill.checkpoint import Progress
from cidesign.distill.computing.ranks import ALONE, Ranks, joined
from cidesign.distill.examples import Examples
from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.loop import StepReport, make_optimiser, train_phase
from cidesign.distill.systems import SystemMaker
from cidesign.distill.teachers import open_teacher
from cidesign.errors import CidesignError, DeviceError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modality import modality
from cidesign.models.optics import optics_for
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run
from cidesign.testing.training import Killed


def _noiseless(*size: Any, **rest: Any) -> torch.Tensor:
    rest.pop("generator", None)
    return torch.zeros(*size, **rest)


def gradients(case: dict[str, Any], ranks: Ranks) -> list[torch.Tensor]:
    """Of the first step of a student without noise, on all images of a batch together or on parts of them."""
    settings = settings_of(case)
    draw, torch.randn = torch.randn, _noiseless
    try:
        profile = load_profile(case["profile"])
        optics = optics_for(settings, profile)
        images = torch.rand(22, optics.bands, *optics.size, generator=torch.Generator().manual_seed(3))
        maker = SystemMaker(settings, profile, images)
        student, teacher = maker.system("student"), maker.system("teacher")
        maker.warm_start(student, teacher)
        with torch.no_grad():
            for weight in student.parameters():
                weight.add_(0.02 * torch.rand(weight.shape, generator=torch.Generator().manual_seed(4)))
        optimiser, progress = make_optimiser(student, settings), Progress("student")
        guide = teacher.eval().requires_grad_(False)
        steps = train_phase(student, guide, optimiser, Examples(images), settings, progress, _until(1), ranks=ranks)
        try:
            for _ in steps:
                pass
        except Interrupted:
            pass
        found = [weight.grad for weight in student.parameters() if weight.grad is not None]
        return [
            *found,
            torch.tensor([progress.first_task_loss, *progress.epoch_terms.values(), *progress.log_variances.values()]),
        ]
    finally:
        torch.randn = draw


def _until(step: int) -> Callable[[StepReport], None]:
    def stop(report: StepReport) -> None:
        if report.step == step:
            raise Interrupted

    return stop


def settings_of(case: dict[str, Any]) -> TrainingSettings:
    """The settings in a case, by its modality."""
    return modality(case["settings"]["modality"]).settings_type(**case["settings"])


class Told(Listener):
    """What a process hears; at a step it raises what it is told to, where it is told to."""

    def __init__(self, step: int = 0, error: BaseException | None = None) -> None:
        self.left, self.error, self.heard = step, error, dict.fromkeys(("remark", "needs", "pace", "epoch", "steps"), 0)

    def step(self, report: StepReport) -> None:
        self.heard["steps"] += 1
        self.left -= 1
        if self.left == 0 and self.error is not None:
            raise self.error

    def remark(self, text: str) -> None:
        self.heard["remark"] += 1

    def needs(self, needs: Any) -> None:
        self.heard["needs"] += 1

    def epoch(self, report: Any) -> None:
        self.heard["epoch"] += 1


def files_of(path: Path) -> dict[str, str]:
    """The digests of what a run is, without times."""
    found = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in path.glob("*.safetensors")}
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    kept = [{key: value for key, value in line.items() if key not in ("seconds", "threads")} for line in lines]
    return {**found, "metrics": json.dumps(kept)}


def ended(work: Callable[[], Any]) -> list[str]:
    """How some work ended: the class of what it raised, and what that says."""
    try:
        work()
    except BaseException as error:
        return [type(error).__name__, str(error)]
    return ["", ""]


def runs(told: dict[str, Any], folder: Path, rank: int) -> dict[str, Any]:
    """Whole, interrupted and failed runs, one after the other."""
    settings, profile = settings_of(told["run"]), load_profile(told["run"]["profile"])
    seen: dict[str, Any] = {}
    whole = Told()
    run = start_run(folder / "whole", settings, profile, False, whole)
    seen["whole"], seen["heard"], seen["metrics"] = files_of(run.path), whole.heard, run.record.metrics

    # Process 1 is asked to stop, and both stop; later both are killed.
    stopped = Told(4, Interrupted() if rank == 1 else None)
    seen["stopped"] = ended(lambda: start_run(folder / "broken", settings, profile, False, stopped))
    ended(lambda: start_run(folder / "left", settings, profile, False, Told(2, Interrupted())))
    seen["stopped after"] = stopped.heard["steps"]
    seen["killed"] = ended(lambda: resume_run(folder / "broken", Told(5, Killed())))
    resume_run(folder / "broken", Told())
    seen["broken"] = files_of(folder / "broken")

    alone = {
        **told["run"],
        "settings": {
            **told["run"]["settings"],
            "only_teacher": True,
            "student_epochs": 0,
            "weight_decoder": 0.0,
            "weight_encoder": 0.0,
        },
    }
    start_run(folder / "teacher", settings_of(alone), profile, False, Told())
    taken = settings.changed(teacher=str(folder / "teacher"), teacher_epochs=0)
    teacher = open_teacher(folder / "teacher")
    start_run(folder / "student", taken, profile, False, Told(), teacher=teacher)
    seen["student"] = files_of(folder / "student")

    start_run(folder / "classes", settings_of(told["classify"]), profile, False, Told())
    seen["classes"] = Run(folder / "classes").record.metrics

    digest = job.trained_digest
    if rank == 1:
        job.trained_digest = lambda system, optimiser: "of other weights"
    seen["apart"] = ended(lambda: start_run(folder / "apart", settings, profile, False, Told()))
    job.trained_digest = digest

    failing = Told(3, DeviceError("the third step of process 1") if rank == 1 else None)
    seen["failed"] = ended(lambda: start_run(folder / "failed", settings, profile, False, failing))
    broken = ValueError("a fault of the program") if rank == 0 else None
    seen["fault"] = ended(lambda: start_run(folder / "fault", settings, profile, False, Told(2, broken)))
    seen["in the way"] = ended(lambda: start_run(folder / "whole", settings, profile, False, Told()))
    other = settings.changed(seed=settings.seed + rank)
    seen["unlike"] = ended(lambda: start_run(folder / "unlike", other, profile, False, Told()))
    seen["small"] = ended(lambda: start_run(folder / "small", settings.changed(batch=1), profile, False, Told()))
    return seen


def main() -> None:
    """Do what FOLDER/told.json says."""
    torch.set_num_threads(1)
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    told = json.loads((folder / "told.json").read_text())
    if "die" in told:  # without a word, as the system ends a process that takes too much memory
        case = told["run"]
        last = Told()
        # torchrun ends the others at once; this one is to say what it saw before.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if rank == 1:
            last.step = lambda report: os._exit(9)  # type: ignore[method-assign]
        how = ended(lambda: start_run(folder / "run", settings_of(case), load_profile(case["profile"]), False, last))
        (folder / f"{rank}.json").write_text(json.dumps(how))
        return
    seen: dict[str, Any] = {"differences": {}}
    for name, case in told["cases"].items():
        with joined() as ranks:
            own = gradients(case, ranks)
            try:
                ranks.require_same("gradients", repr([one.tolist() for one in own]))
            except CidesignError as error:
                seen["differences"][name] = str(error)
                continue
        alone = gradients(case, ALONE)
        # Of a bias before a normalisation the gradient is 0 but for rounding.
        least = 1e-3 * max(float(one.norm()) for one in alone)
        apart = [float((a - b).norm() / b.norm().clamp_min(least)) for a, b in zip(own, alone, strict=True)]
        seen["differences"][name] = [max(apart), sum(float(one.norm()) > 0 for one in alone), len(alone)]
    seen |= runs(told, folder, rank)
    (folder / f"{rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
