"""The laws of a task.

    @pytest.mark.parametrize("law", tasks.LAWS, ids=lambda law: law.__name__)
    def test_my_task(law):
        law(MyTask(), Tried(good, bad, targets, linear))

A law takes the task and predictions for four images or more; it raises `AssertionError`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cidesign.distill.tasks.base import Column, Task
from cidesign.modality import Modality, modalities, modality
from cidesign.models.decoders import decoder_class
from cidesign.testing.encoders import require


@dataclass(frozen=True)
class Tried:
    """Predictions (B, ...) that are nearly right and ones that are wrong, what they are held against, and the best
    linear estimate of the same measurements; `kind` is the modality of the images."""

    good: Tensor
    bad: Tensor
    targets: Tensor
    linear: Tensor
    kind: Modality = field(default_factory=lambda: modality("single-pixel"))

    def metrics(self, task: Task) -> dict[str, Tensor]:
        """All metrics of the wrong predictions."""
        return task.metrics(self.bad, self.targets, self.kind)


Law = Callable[[Task, Tried], None]


def losses_are_finite_and_have_gradients(task: Task, tried: Tried) -> None:
    """One number, and a way down from wrong predictions."""
    wrong = tried.bad.clone().requires_grad_(True)
    loss = task.loss(wrong, tried.targets)
    require(loss.ndim == 0 and bool(torch.isfinite(loss)), f"loss {loss}: a finite number is needed")
    (gradient,) = torch.autograd.grad(loss, wrong)
    require(bool(torch.isfinite(gradient).all()), "the gradient is not finite")
    with torch.no_grad():
        better = task.loss(wrong - 1e-3 * gradient / gradient.norm(), tried.targets)
    require(bool(better < loss), "a step against the gradient does not make the loss smaller")


def better_predictions_cost_less_and_score_more(task: Task, tried: Tried) -> None:
    """Loss, score, and what the progress bar makes of the loss agree which predictions are better."""
    good, bad = (float(task.loss(one, tried.targets)) for one in (tried.good, tried.bad))
    require(good < bad, f"loss {good} of good predictions, {bad} of wrong ones")
    right, wrong = (float(task.scores(one, tried.targets, tried.kind).mean()) for one in (tried.good, tried.bad))
    require(right > wrong, f"score {right} of good predictions, {wrong} of wrong ones")
    require(task.score_of_loss(good) > task.score_of_loss(bad), "the score of a loss falls as the loss does")


def metrics_are_of_each_image(task: Task, tried: Tried) -> None:
    """(B,) each, and those of some images are the same without the others."""
    some = slice(1, 3)
    alone = task.metrics(tried.bad[some], tried.targets[some], tried.kind)
    for name, values in tried.metrics(task).items():
        require(values.shape == (len(tried.bad),), f"{name}: {tuple(values.shape)} of {len(tried.bad)} images")
        torch.testing.assert_close(alone[name], values[some], atol=1e-4, rtol=1e-4)
    scores = task.scores(tried.bad, tried.targets, tried.kind)
    require(scores.shape == (len(tried.bad),), f"scores: {tuple(scores.shape)} of {len(tried.bad)} images")


def what_people_see_is_measured(task: Task, tried: Tried) -> None:
    """Every column has its value, the score comes first, and every metric has a heading."""
    require(task.followed[0] == task.score, "the first that is followed is the score")
    for columns in (task.followed, task.shown):
        found = _means(task, task.measured(tried.bad, tried.linear, tried.targets, tried.kind, columns), 1)
        missing = [column.metric for column in columns if column.metric not in found]
        require(not missing, f"{', '.join(missing)}: shown, and not measured")
    known = {**task.headings, **tried.kind.headings}
    unnamed = [name for name in _means(task, tried.metrics(task), 1) if name not in known]
    require(not unnamed, f"{', '.join(unnamed)}: measured, and without a heading")
    require(all(isinstance(column, Column) for column in (*task.followed, *task.shown, task.bar)), "no `Column`")


def means_do_not_depend_on_batches(task: Task, tried: Tried) -> None:
    """Images that come in two batches are as good as in one."""
    metrics = tried.metrics(task)
    whole, halves = _means(task, metrics, 1), _means(task, metrics, 2)
    require(whole.keys() == halves.keys(), "other metrics in other batches")
    for name, value in whole.items():
        same = abs(value - halves[name]) < 1e-6 * max(1.0, abs(value))
        require(same, f"{name}: {value} in one, {halves[name]} in two")


def _means(task: Task, values: dict[str, Tensor], batches: int) -> dict[str, float]:
    count = len(next(iter(values.values())))
    return task.means({name: one.tensor_split(batches) for name, one in values.items()}, count)


def presets_are_settings(task: Task, tried: Tried) -> None:
    """What a task presets is a field of some modality's settings, and its decoder predicts what it asks for."""
    fields = {name for one in modalities() for name in one.settings_type.model_fields}
    foreign = [name for name in task.presets if name not in fields]
    require(not foreign, f"{', '.join(foreign)}: preset, and no setting")
    decoder = str(task.presets.get("decoder", tried.kind.settings_type.model_fields["decoder"].default))
    require(decoder_class(decoder).predicts == task.predicts, f"decoder {decoder}: it does not predict {task.predicts}")


LAWS: tuple[Law, ...] = (
    losses_are_finite_and_have_gradients,
    better_predictions_cost_less_and_score_more,
    metrics_are_of_each_image,
    what_people_see_is_measured,
    means_do_not_depend_on_batches,
    presets_are_settings,
)
