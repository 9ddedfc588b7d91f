"""What tests of training share: a run that is stopped or killed at a step, and a student of a stored teacher."""

from pathlib import Path

from cidesign.distill.job import Listener, start_run
from cidesign.distill.loop import StepReport
from cidesign.distill.teachers import open_teacher
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run


class StopAt(Listener):
    """Stops at a step, counted over all phases from 1, with the given exception."""

    def __init__(self, step: int, exception: type[BaseException]) -> None:
        self.left, self.exception = step, exception

    def step(self, report: StepReport) -> None:
        """Count a step."""
        self.left -= 1
        if self.left == 0:
            raise self.exception


class Killed(BaseException):
    """As SIGKILL: nothing in the program catches this, and nothing is written any more."""


def student_of(
    store: Path, path: Path, settings: TrainingSettings, profile: HardwareProfile, listener: Listener | None = None
) -> Run:
    """A student in folder `path`, by `settings`, that starts from the teacher of the run `store`."""
    taken = settings.changed(teacher=str(store), teacher_epochs=0)
    return start_run(path, taken, profile, False, listener or Listener(), teacher=open_teacher(store))
