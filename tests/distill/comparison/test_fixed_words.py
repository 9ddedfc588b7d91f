"""A fixed design that is as good as the learnt one is named, with the command that takes it."""

import shlex
from pathlib import Path

import torch

from cidesign.distill.comparison.compare import Row
from cidesign.distill.comparison.fixed_words import LEVEL_DB, fixed_words, slug
from cidesign.distill.tasks.base import Column, task_named

RUN = Path("runs") / "my run"
PSNR = task_named("reconstruct").score


def _row(name: str, scores: torch.Tensor) -> Row:
    return Row(name, {"psnr_db": float(scores.mean())}, {}, {}, scores)


def _draws(count: int = 400) -> torch.Tensor:
    return 25 + torch.randn(count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _said(gain: float, spread: float, scenes: int = 400, score: Column = PSNR) -> list[str]:
    student = _draws()
    other = torch.randn(400, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    rows = [
        _row("student", student),
        _row("E2E", student + 9),
        _row("low-pass cosines", student - gain + spread * (other - other.mean())),
        _row("random", student - 5),
    ]
    return fixed_words(rows, ("low-pass cosines", "random"), scenes, score, RUN)


def test_a_clear_gain_needs_no_words() -> None:
    assert _said(gain=0.5, spread=1.0) == []
    assert fixed_words([_row("student", _draws())], (), 400, PSNR, RUN) == []
    # E2E is no design that is there without training, however good it is.
    assert fixed_words([_row("student", _draws()), _row("E2E", _draws() + 9)], ("random",), 400, PSNR, RUN) == []


def test_a_level_design_is_offered_with_the_command_that_takes_it() -> None:
    (line,) = _said(gain=0.03, spread=1.0)
    assert line.startswith("on these images low-pass cosines is as good, a design that needs no training")
    assert "student - low-pass cosines: +0.03 dB, standard error 0.05" in line
    command = shlex.split(line.split("`")[1])
    assert command[:4] == ["cidesign", "design", "--fixed", "low-pass cosines"]
    assert command[command.index("--run") + 1] == str(RUN)
    assert shlex.split(line.split("`")[3])[-1] == command[command.index("--out") + 1]


def test_of_many_images_a_gain_below_a_tenth_is_level_all_the_same() -> None:
    (line,) = _said(gain=LEVEL_DB - 0.02, spread=0.1)
    assert "is as good" in line
    (line,) = _said(gain=-LEVEL_DB + 0.02, spread=0.1)
    assert "is as good" in line


def test_a_better_design_is_called_better() -> None:
    (line,) = _said(gain=-1.0, spread=1.0)
    assert "low-pass cosines is better" in line
    assert "-1.00 dB" in line


def test_crops_of_few_scenes_are_no_many_images() -> None:
    assert _said(gain=0.3, spread=1.0) == []
    (line,) = _said(gain=0.3, spread=1.0, scenes=16)
    assert "is as good" in line


def test_classes_differ_beyond_what_so_few_images_show() -> None:
    """Right answers count 100: three of 120 images are chance, as many as forty are not."""
    accuracy = task_named("classify").score
    right = torch.full((120,), 100.0, dtype=torch.float64)

    def said(wrong_of_student: int, wrong_of_fixed: int) -> list[str]:
        scores = {"student": right.clone(), "low-pass": right.clone()}
        scores["student"][:wrong_of_student], scores["low-pass"][120 - wrong_of_fixed :] = 0, 0
        rows = [Row(name, {accuracy.metric: float(one.mean())}, {}, {}, one) for name, one in scores.items()]
        return fixed_words(rows, ("low-pass",), 120, accuracy, RUN)

    assert "low-pass is as good" in said(8, 5)[0]
    assert "low-pass is as good" in said(5, 8)[0]
    assert "low-pass is better" in said(40, 5)[0]
    assert said(5, 40) == []


def test_names_of_folders() -> None:
    assert slug("Hadamard, cake-cutting") == "hadamard-cake-cutting"
    assert slug("random 50 %") == "random-50"
    assert slug("equispaced + centre") == "equispaced-centre"
