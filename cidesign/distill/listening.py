"""What a run tells while it trains, and to whom."""

from collections.abc import Sequence
from dataclasses import replace

from cidesign.data.source import TrainingImages
from cidesign.distill.checkpoint import Progress
from cidesign.distill.computing.ranks import Interrupted, Ranks
from cidesign.distill.computing.threads import Threads
from cidesign.distill.loop import StepReport, epochs_of, phases_of
from cidesign.distill.needs import Needs, Pace, steps_left
from cidesign.distill.run_folder import Ahead, EpochReport
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run
from cidesign.tracking.base import Tracker

# By then, counted from the first step, it is told how long training takes, even if threads are still being timed.
TOLD_AFTER_S, TOLD_AFTER_STEPS = 20.0, 5


class Listener:
    """What a run tells while it trains; the command line overrides what it shows."""

    def remark(self, text: str) -> None:
        """Something that the user should know and need not act on."""

    def needs(self, needs: Needs) -> None:
        """What training will take; there are no images yet."""

    def images(self, images: TrainingImages) -> None:
        """The training images are ready."""

    def pace(self, pace: Pace) -> None:
        """How long it will take, told after the first steps; twice where these are slow."""

    def step(self, report: StepReport) -> None:
        """A step is done; raise `Interrupted` to stop with a checkpoint of exactly this step."""

    def epoch(self, report: EpochReport) -> None:
        """An epoch is done."""


class Quiet(Listener):
    """Hears for a process that is not the first one: it may stop training, and tells nobody else's news again."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def images(self, images: TrainingImages) -> None:
        """Training begins."""
        self._listener.images(images)

    def step(self, report: StepReport) -> None:
        """Training may be stopped here."""
        self._listener.step(report)


class Told:
    """What a run tells its listener and its trackers: each step, and early how long all will take; each epoch; its end.

    Where the first steps are slow, it is told with the count that they have, and again when the count is chosen.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        per_epoch: int,
        listener: Listener,
        threads: Threads,
        ranks: Ranks,
        trackers: Sequence[Tracker],
    ) -> None:
        self.settings, self.per_epoch, self.listener = settings, per_epoch, listener
        self.threads, self.ranks, self.trackers = threads, ranks, trackers
        self._steps, self._since_s = 0, 0.0
        self._paced: set[bool] = set()

    def step(self, progress: Progress, report: StepReport) -> None:
        """A step is done; `Interrupted` is raised by all ranks after the step in which any of them is."""
        self._steps += 1
        self._since_s += self.threads.last_s
        chosen = self.threads.chosen is not None
        due = self._since_s >= TOLD_AFTER_S or (chosen and self._steps >= TOLD_AFTER_STEPS)
        if due and not self._paced & {True, chosen}:
            self._paced.add(chosen)
            step_s = self.threads.step_s or self.threads.last_s
            left = steps_left(self.settings, self.per_epoch, progress)
            count = self.threads.count if self.settings.device == "cpu" else None
            self.listener.pace(Pace(step_s * left, step_s, count, chosen))
        stops = False
        try:
            self.listener.step(report)
        except Interrupted:
            stops = True
        if self.ranks.any(stops):
            raise Interrupted

    def epoch(self, progress: Progress, report: EpochReport) -> None:
        """An epoch is done, and its line is in `metrics.jsonl`."""
        for tracker in self.trackers:
            tracker.epoch(report.line)
        self.listener.epoch(replace(report, ahead=self._ahead(progress, report)))

    def _ahead(self, progress: Progress, report: EpochReport) -> Ahead:
        phases = phases_of(self.settings)
        epochs = [epochs_of(self.settings, phase) for phase in phases]
        at, step_s = phases.index(report.phase), self.threads.step_s
        left_s = None if step_s is None else step_s * steps_left(self.settings, self.per_epoch, progress)
        return Ahead(epochs[at], sum(epochs[:at]) + report.epoch, sum(epochs), left_s)

    def finished(self, run: Run) -> None:
        """The record of the finished run is written."""
        for tracker in self.trackers:
            tracker.finish(run.record.metrics)
