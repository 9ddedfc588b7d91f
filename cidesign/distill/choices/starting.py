"""How good a student is before its training, with what it inherits of a teacher: what teachers are chosen by.

Of the numbers that are known before a student is trained this one ranks teachers best (docs/results.md).
"""

from functools import cached_property

from cidesign.data.source import load_images
from cidesign.distill.examples import Examples, training_examples
from cidesign.distill.finish import exact
from cidesign.distill.loop import evaluate
from cidesign.distill.systems import SystemMaker
from cidesign.distill.tasks.base import Column, task_named
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.models.system import ImagingSystem
from cidesign.pattern import Design
from cidesign.run_settings import TrainingSettings

# So many training images tell the statistics that estimates need, and the first of them are looked at.  Validation
# images decide nothing: what is chosen on them would be reported too well.
STATISTICS_IMAGES, TRIED_IMAGES = 400, 200


class Starting:
    """The students of one run as they start, on the same training images with the same noise; with the optics of a
    `design` where it is given.

    Images are read when the first one is asked; raises as `load_images` does.
    """

    def __init__(self, settings: TrainingSettings, profile: HardwareProfile, design: Design | None = None) -> None:
        self.settings = settings.changed(images=min(settings.images, STATISTICS_IMAGES))
        self.profile, self.design = profile, design

    @property
    def metric(self) -> Column:
        """What is measured."""
        return task_named(self.settings.task).score

    @cached_property
    def _prepared(self) -> tuple[SystemMaker, Examples, TrainingSettings]:
        images = load_images(self.settings, self.profile)
        settings = task_named(self.settings.task).settled(self.settings, images)
        train, _ = training_examples(images, settings.device)
        labels = None if train.labels is None else train.labels[:TRIED_IMAGES]
        maker = SystemMaker(settings, self.profile, train.images, self.design)
        return maker, Examples(train.images[:TRIED_IMAGES], labels), settings

    def score(self, teacher: ImagingSystem) -> float:
        """The task's score of the student that starts from a teacher; larger is better."""
        maker, tried, settings = self._prepared
        student = maker.system("student")
        maker.warm_start(student, teacher.to(settings.device))
        with exact(student):
            return evaluate(student.eval(), tried, settings, [self.metric])[self.metric.metric]
