"""The student's loss: its terms, the published forms against NumPy, the balance of terms, and what is told of them."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.distill.checkpoint import Progress
from cidesign.distill.computing.ranks import WHOLE
from cidesign.distill.loop import batches, generator_for, make_optimiser, train_phase
from cidesign.distill.losses import (
    MOST_CERTAIN,
    UNCERTAINTY_RATE,
    Terms,
    add_gradients,
    decoder_loss,
    learn_variances,
    student_terms,
    weighted_sum,
)
from cidesign.distill.streams import Stream
from cidesign.models.system import ImagingSystem

MODALITIES = ("single-pixel", "cassi", "mri", "lensless")


def test_decoder_loss_is_relative() -> None:
    teacher = torch.full((2, 3, 2, 2), 2.0)
    assert float(decoder_loss(teacher + 0.5, teacher, published=False)) == pytest.approx(0.25 / 4)
    assert float(decoder_loss(3 * (teacher + 0.5), 3 * teacher, published=False)) == pytest.approx(0.25 / 4)
    assert float(decoder_loss(teacher, 0 * teacher, published=False)) < float("inf")


def test_published_decoder_loss_is_the_mean_square() -> None:
    teacher = torch.full((2, 3, 2, 2), 2.0)
    assert float(decoder_loss(teacher + 0.5, teacher, published=True)) == pytest.approx(0.25)
    assert float(decoder_loss(3 * (teacher + 0.5), 3 * teacher, published=True)) == pytest.approx(9 * 0.25)


@pytest.fixture(params=MODALITIES)
def modality(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_pair(
    modality: str, make_settings: Callable[..., Any], make_system: Callable[..., ImagingSystem]
) -> Callable[..., tuple[Any, ImagingSystem, ImagingSystem, torch.Tensor]]:
    """Settings, student, frozen teacher with other weights, and images."""

    def make(**changes: Any) -> tuple[Any, ImagingSystem, ImagingSystem, torch.Tensor]:
        settings = make_settings(modality, **changes)
        channels = {"single-pixel": 1, "cassi": 8, "mri": 2, "lensless": 1}[modality]
        generator = torch.Generator().manual_seed(1)
        x = torch.rand(8, channels, settings.side, settings.side, generator=generator)
        torch.manual_seed(2)
        student, teacher = (make_system(settings, x, relaxation) for relaxation in (None, settings.ladder[-1]))
        with torch.no_grad():
            for system in (student, teacher):
                for weight in system.parameters():
                    weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
        for seed in range(100):
            student.encoder.explore(0.1, torch.Generator().manual_seed(seed))
            if modality != "mri" or student.encoder.choice().requires_grad:  # type: ignore[operator]
                break
        return settings, student, teacher.eval().requires_grad_(False), x

    return make


def _draws() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def _added(terms: Terms, settings: Any, first: float, **learnt: float) -> tuple[torch.Tensor, dict[str, Any]]:
    """The sum, whose gradients the student then has, and the weights."""
    return add_gradients(terms, settings, first, learnt, WHOLE, 1.0)


def _sum(terms: Terms, settings: Any, first: float, **learnt: float) -> torch.Tensor:
    return _added(terms, settings, first, **learnt)[0]


@pytest.mark.parametrize("losses", ["effective", "published"])
def test_terms_are_what_they_are_called(losses: str, make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair(losses=losses, weight_output=0.2)
    terms = student_terms(student, teacher, x, _draws(), settings)
    draws = _draws()
    output = student(x, draws)
    wanted = teacher(x, draws)  # the teacher's noise is drawn after the student's
    published = losses == "published"
    assert list(terms.values) == ["task", "decoder", "output", "encoder"]
    torch.testing.assert_close(terms.values["task"], (output.prediction - x).square().mean())
    torch.testing.assert_close(terms.values["decoder"], decoder_loss(output.features, wanted.features, published))
    torch.testing.assert_close(terms.values["output"], (output.prediction - wanted.prediction).square().mean())
    torch.testing.assert_close(terms.values["encoder"], student.encoder.encoder_loss(teacher.encoder, published))
    torch.testing.assert_close(terms.places["decoder"], output.features)
    torch.testing.assert_close(terms.places["output"], output.prediction)
    assert terms.places["encoder"] is student.encoder.weight


def test_terms_without_weight_are_not_computed(make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair(weight_decoder=0.0, weight_encoder=0.0)
    teacher.decoder.forward = teacher.encoder.forward = None
    terms = student_terms(student, teacher, x, _draws(), settings)
    assert set(terms.values) == {"task"}


def test_features_alone_are_asked_for_no_image(make_pair: Callable[..., Any]) -> None:
    """Of a teacher whose predictions are no target, the cheaper half of its network works."""
    settings, student, teacher, x = make_pair()
    teacher.decoder.forward = None
    assert "decoder" in student_terms(student, teacher, x, _draws(), settings).values


def test_effective_sum_counts_the_task_by_its_first_value(make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair(weight_output=0.2)
    terms = student_terms(student, teacher, x, _draws(), settings)
    of = {name: value.detach() for name, value in terms.values.items()}
    wanted = (1.0 * of["task"] + 0.2 * of["output"]) / 0.25 + 0.3 * of["decoder"] + 0.1 * of["encoder"]
    torch.testing.assert_close(_sum(terms, settings, 0.25), wanted)


def test_published_sum_takes_the_terms_as_they_are(make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair(losses="published", weight_encoder=2.0)
    terms = student_terms(student, teacher, x, _draws(), settings)
    of = {name: value.detach() for name, value in terms.values.items()}
    torch.testing.assert_close(_sum(terms, settings, 0.25), of["task"] + 0.3 * of["decoder"] + 2.0 * of["encoder"])


def _gram(latent: np.ndarray) -> np.ndarray:
    """The N x N matrix W^T W of rows W."""
    flat = latent.reshape(-1, latent.shape[-2] * latent.shape[-1]).astype(np.float64)
    return flat.T @ flat


def test_published_distance_of_three_pixels_by_hand() -> None:
    """W = (1 2; 0 1; 3 0), V = (1 1; 0 0; 1 0) as two patterns of three pixels: |W^T W - V^T V|^2 / 9."""
    from cidesign.constraints.rules import BitDepth
    from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder

    # As columns of pixels: W^T W = [[5, 2, 3], [2, 1, 0], [3, 0, 9]], V^T V = [[2, 0, 1], [0, 0, 0], [1, 0, 1]];
    # their difference squared: 9 + 4 + 4 + 4 + 1 + 0 + 4 + 0 + 64 = 90.
    own = torch.tensor([[[1.0, 0.0, 3.0]], [[2.0, 1.0, 0.0]]])
    others = torch.tensor([[[1.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]]])
    student = SinglePixelEncoder(own, BitDepth(1, (1,), "test"), None)
    teacher = SinglePixelEncoder(others, None, None)
    assert student.encoder_loss(teacher, published=True).item() == pytest.approx(90 / 9)
    # Of latent weights: nothing of it is rounded or limited, so the built patterns, all of one sign here, are no part.
    assert bool((student.signed() == 1).all())
    assert student.encoder_loss(SinglePixelEncoder(own, None, None), published=True).item() == 0


def test_the_first_published_step_is_the_formula(modality: str, make_settings: Any, make_pair: Any) -> None:
    """0.1 task + 0.1 features + 0.8 operators, each a mean of squares, by NumPy from weights and outputs alone."""
    settings, student, teacher, x = make_pair(
        losses="published", weight_task=0.1, weight_decoder=0.1, weight_encoder=0.8, batch=8, images=8,
        student_epochs=1, teacher_epochs=1, exploring=False, schedule="constant", decoder="back-projection",
    )  # fmt: skip
    stored = x if modality == "mri" else x.mul(255).round().to(torch.uint8)
    stored = stored.half() if modality == "mri" else stored
    before = copy.deepcopy(student)
    frozen = {name: part.clone() for name, part in teacher.state_dict().items()}
    progress = Progress("student")
    optimiser = make_optimiser(student, settings)
    ((epoch, loss, told),) = train_phase(student, teacher, optimiser, stored, settings, progress, lambda _: None)
    assert epoch == 1

    (shown,) = batches(stored, settings, "student", 0, 1)
    draws = generator_for(settings, Stream.TRAINING_NOISE, "student", 0)
    with torch.no_grad():
        own = before(shown, draws)
        wanted = teacher.decoder(teacher.encoder(shown, draws), teacher.encoder).features
    if modality == "mri":  # |A^H A - B^H B|^2 is that of the masks
        masks = [system.encoder.choice().detach().numpy() for system in (before, teacher)]
        operators = np.square(masks[0] - masks[1]).mean()
    else:
        grams = [_gram(system.encoder.weight.detach().numpy()) for system in (before, teacher)]
        if modality == "cassi":  # one mask: rank one
            flat = [system.encoder.latent().detach().numpy().ravel() for system in (before, teacher)]
            grams = [np.outer(mask, mask).astype(np.float64) for mask in flat]
        operators = np.square(grams[0] - grams[1]).mean()
    found = {
        "task": np.square((own.prediction - shown).numpy().astype(np.float64)).mean(),
        "decoder": np.square((own.features - wanted).numpy().astype(np.float64)).mean(),
        "encoder": operators,
    }
    assert {name: told[f"loss_{name}"] for name in found} == pytest.approx(found, rel=1e-4)
    assert {name: told[f"weight_{name}"] for name in found} == {"task": 0.1, "decoder": 0.1, "encoder": 0.8}
    assert loss == pytest.approx(0.1 * found["task"] + 0.1 * found["decoder"] + 0.8 * found["encoder"], rel=1e-4)
    assert all(torch.equal(part, frozen[name]) for name, part in teacher.state_dict().items())
    assert any(not torch.equal(a, b) for a, b in zip(student.parameters(), before.parameters(), strict=True))


def test_gradient_weighting_gives_each_term_its_share(make_pair: Callable[..., Any]) -> None:
    """Where a term acts, its part of the gradient is its weight times what arrives there, whatever its own scale."""
    settings, student, teacher, x = make_pair(weighting="gradient", weight_decoder=0.5, weight_output=0.2)
    for scale in (1.0, 1e3):
        terms = student_terms(student, teacher, x, _draws(), settings)
        terms.values["decoder"] = scale * terms.values["decoder"]
        terms.values["encoder"] = terms.values["encoder"] / scale
        wanted, total = {"task": 4.0}, 4.0 * terms.values["task"]
        for name, factor in (("output", 0.2), ("decoder", 0.5), ("encoder", 0.1)):
            arrives, own = (
                torch.autograd.grad(value, terms.places[name], retain_graph=True)[0].norm()
                for value in (total, terms.values[name])
            )
            wanted[name] = factor * float(arrives / own)
            total = total + wanted[name] * terms.values[name]
        loss, weights = _added(terms, settings, 0.25)
        assert {name: float(weight) for name, weight in weights.items()} == pytest.approx(wanted, rel=1e-3)
        assert loss.item() == pytest.approx(total.item(), rel=1e-3)


@pytest.mark.parametrize("weighting", ["fixed", "gradient", "uncertainty"])
def test_gradients_are_those_of_the_sum_times_the_share(weighting: str, make_pair: Callable[..., Any]) -> None:
    """Twice, as for two places of a step: they add up."""
    settings, student, teacher, x = make_pair(weighting=weighting, weight_output=0.2)
    student.zero_grad()
    parameters = list(student.parameters())
    wanted = [torch.zeros_like(weight) for weight in parameters]
    for share in (0.25, 0.75):
        terms = student_terms(student, teacher, x, _draws(), settings)
        _, weights = add_gradients(terms, settings, 0.25, {"task": 0.1, "decoder": -0.2}, WHOLE, share)
        total = weighted_sum(student_terms(student, teacher, x, _draws(), settings), weights)
        for into, found in zip(wanted, torch.autograd.grad(total, parameters, allow_unused=True), strict=True):
            into.add_(torch.zeros_like(into) if found is None else found, alpha=share)
    for weight, into in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(weight.grad, into, rtol=1e-3, atol=1e-6)


def test_gradient_weighting_ignores_a_term_that_cannot_move(make_pair: Callable[..., Any]) -> None:
    """A student that equals its teacher, or lines that are fixed by now: no division by nothing."""
    settings, student, teacher, x = make_pair(weighting="gradient", losses="published")
    student.encoder.explore(1.0, None)
    terms = student_terms(student, teacher, x, _draws(), settings)
    terms.values["decoder"] = 0.0 * terms.values["decoder"]
    total = _sum(terms, settings, 0.25)
    assert torch.isfinite(total.detach())
    assert all(bool(torch.isfinite(w.grad).all()) for w in student.parameters() if w.grad is not None)


def test_uncertainty_divides_each_term_by_its_variance(make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair(weighting="uncertainty", weight_output=0.2)
    terms = student_terms(student, teacher, x, _draws(), settings)
    of = {name: value.detach() for name, value in terms.values.items()}
    learnt = {"task": 0.5, "decoder": -1.0, "encoder": 2.0}
    wanted = math.exp(-0.5) * of["task"] / 0.25 + 0.2 * of["output"] / 0.25
    wanted = wanted + 0.3 * math.exp(1.0) * of["decoder"] + 0.1 * math.exp(-2.0) * of["encoder"]
    torch.testing.assert_close(_sum(terms, settings, 0.25, **learnt), wanted)


def test_a_variance_becomes_the_term_itself(make_settings: Callable[..., Any]) -> None:
    """exp(-s) L + s is least at s = log L: then every term counts 1, whatever its scale."""
    settings = make_settings(weighting="uncertainty")
    learnt: dict[str, float] = {}
    for _ in range(1000):
        learn_variances(learnt, {"task": 0.05, "decoder": 3.0, "encoder": 0.2}, settings, 0.25)
    assert learnt == pytest.approx({"task": math.log(0.2), "decoder": math.log(3), "encoder": math.log(0.2)}, abs=1e-6)
    first: dict[str, float] = {}
    learn_variances(first, {"decoder": 3.0}, settings, 0.25)
    assert first["decoder"] == pytest.approx(-UNCERTAINTY_RATE * (1 - 3.0))  # down the gradient, from s = 0


def test_a_term_that_is_zero_does_not_take_over(make_settings: Callable[..., Any]) -> None:
    """A student that starts as its teacher: the weight stays below a limit."""
    settings = make_settings(weighting="uncertainty")
    learnt: dict[str, float] = {}
    for _ in range(1000):
        learn_variances(learnt, {"task": 0.25, "encoder": 0.0}, settings, 0.25)
    assert learnt["encoder"] == -MOST_CERTAIN
    assert learnt["task"] == pytest.approx(0)


def test_what_is_told_adds_up_to_the_loss(make_pair: Callable[..., Any]) -> None:
    """One step an epoch: the sum of weight times loss is what was minimised, for every weighting."""
    for weighting in ("fixed", "gradient", "uncertainty"):
        settings, student, teacher, x = make_pair(
            weighting=weighting, weight_output=0.2, batch=8, images=8, student_epochs=3
        )
        stored = x.half()
        phase = train_phase(
            student, teacher, make_optimiser(student, settings), stored, settings, Progress("student"), lambda _: None
        )
        for _, loss, told in phase:
            names = {name.removeprefix("loss_") for name in told if name.startswith("loss_")}
            assert names == {"task", "decoder", "encoder", "output"}
            parts = [told[f"loss_{name}"] * told[f"weight_{name}"] for name in names]
            assert loss == pytest.approx(sum(parts), rel=1e-4)


def test_the_teacher_gets_no_gradient(make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair(weight_output=0.2)
    terms = student_terms(student, teacher, x, _draws(), settings)
    _sum(terms, settings, 0.25)
    assert all(weight.grad is None for weight in teacher.parameters())
    assert student.encoder.weight.grad is not None
    assert float(student.encoder.weight.grad.norm()) > 0
