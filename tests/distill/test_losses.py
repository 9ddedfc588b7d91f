"""The student's loss: its terms, the published forms, and the balance of their gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from cidesign.distill.losses import decoder_loss, student_terms, weighted_sum
from cidesign.models.system import ImagingSystem

MODALITIES = ("single-pixel", "cassi", "mri")


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
        channels = {"single-pixel": 1, "cassi": 8, "mri": 2}[modality]
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
            if modality != "mri" or student.encoder.lines().requires_grad:  # type: ignore[operator]
                break
        return settings, student, teacher.eval().requires_grad_(False), x

    return make


def _draws() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("losses", ["effective", "published"])
def test_terms_are_what_they_are_called(losses: str, make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair(losses=losses)
    terms, features = student_terms(student, teacher, x, _draws(), settings)
    draws = _draws()
    output = student(x, draws)
    wanted = teacher(x, draws).features  # the teacher's noise is drawn after the student's
    published = losses == "published"
    assert set(terms) == {"task", "decoder", "encoder"}
    torch.testing.assert_close(terms["task"], (output.prediction - x).square().mean())
    torch.testing.assert_close(terms["decoder"], decoder_loss(output.features, wanted, published))
    torch.testing.assert_close(terms["encoder"], student.encoder.encoder_loss(teacher.encoder, published))
    torch.testing.assert_close(features, output.features)


def test_terms_without_weight_are_not_computed(make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair(weight_decoder=0.0, weight_encoder=0.0)
    teacher.decoder.forward = teacher.encoder.forward = None
    terms, _ = student_terms(student, teacher, x, _draws(), settings)
    assert set(terms) == {"task"}


def test_effective_sum_counts_the_task_by_its_first_value(make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair()
    terms, features = student_terms(student, teacher, x, _draws(), settings)
    found = weighted_sum(terms, features, student.encoder.weight, settings, 0.25)
    wanted = 1.0 * terms["task"] / 0.25 + 0.3 * terms["decoder"] + 0.1 * terms["encoder"]
    torch.testing.assert_close(found, wanted)


def test_published_sum_takes_the_terms_as_they_are(make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair(losses="published", weight_encoder=2.0)
    terms, features = student_terms(student, teacher, x, _draws(), settings)
    found = weighted_sum(terms, features, student.encoder.weight, settings, 0.25)
    torch.testing.assert_close(found, terms["task"] + 0.3 * terms["decoder"] + 2.0 * terms["encoder"])


def test_gradient_weighting_gives_each_term_its_share(make_pair: Callable[..., Any]) -> None:
    """Where a term acts, its part of the gradient is its weight times the task's, whatever its own scale."""
    # A heavy decoder term: the encoder's share is still one of the task alone.
    settings, student, teacher, x = make_pair(weighting="gradient", weight_decoder=1e5)
    terms, features = student_terms(student, teacher, x, _draws(), settings)
    optics = student.encoder.weight
    for scale in (1.0, 1e3):
        scaled = {"task": terms["task"], "decoder": scale * terms["decoder"], "encoder": terms["encoder"] / scale}
        total = weighted_sum(scaled, features, optics, settings, 0.25)
        for name, place, factor in (("decoder", features, 1e5), ("encoder", optics, 0.1)):
            others = {key: term for key, term in scaled.items() if key != name}
            without = weighted_sum(others, features, optics, settings, 0.25)
            task, part = (
                torch.autograd.grad(value, place, retain_graph=True)[0] for value in (terms["task"] / 0.25, total)
            )
            part = part - torch.autograd.grad(without, place, retain_graph=True)[0]
            assert part.norm().item() == pytest.approx(factor * task.norm().item(), rel=1e-3)


def test_gradient_weighting_ignores_a_term_that_cannot_move(make_pair: Callable[..., Any]) -> None:
    """A student that equals its teacher, or lines that are fixed by now: no division by nothing."""
    settings, student, teacher, x = make_pair(weighting="gradient", losses="published")
    student.encoder.explore(1.0, None)
    terms, features = student_terms(student, teacher, x, _draws(), settings)
    terms["decoder"] = 0.0 * terms["decoder"]
    total = weighted_sum(terms, features, student.encoder.weight, settings, 0.25)
    total.backward()
    assert torch.isfinite(total.detach())
    assert all(bool(torch.isfinite(w.grad).all()) for w in student.parameters() if w.grad is not None)


def test_the_teacher_gets_no_gradient(make_pair: Callable[..., Any]) -> None:
    settings, student, teacher, x = make_pair()
    terms, features = student_terms(student, teacher, x, _draws(), settings)
    weighted_sum(terms, features, student.encoder.weight, settings, 0.25).backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert student.encoder.weight.grad is not None
    assert float(student.encoder.weight.grad.norm()) > 0
