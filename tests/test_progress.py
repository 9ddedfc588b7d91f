"""Who waits hears how far a computation is; who does not ask hears nothing, and nothing else changes."""

import contextlib
from collections.abc import Iterator

import pytest
import torch

from cidesign import progress
from cidesign.physics.conjugate_gradients import conjugate_gradients
from cidesign.progress import Part, heard_by


def test_steps_are_told_as_they_are_done() -> None:
    told: list[Part] = []
    with heard_by(told.append):
        assert list(progress.steps("lines", ["a", "b", "c", "d"])) == ["a", "b", "c", "d"]
    assert told == [Part("lines", share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]


def test_parts_are_named_by_what_they_are_parts_of() -> None:
    told: list[Part] = []
    with heard_by(told.append), progress.part("student"):
        for _ in progress.steps("estimate", range(2)):
            pass
        progress.tell(0.9)
    assert [(one.name, one.share) for one in told] == [
        ("student", 0.0), ("student: estimate", 0.0), ("student: estimate", 0.5), ("student: estimate", 1.0),
        ("student", 0.9),
    ]  # fmt: skip


def test_what_a_step_does_is_not_told_by_itself_and_what_follows_is() -> None:
    told: list[Part] = []
    with heard_by(told.append):
        for _ in progress.steps("draws", range(2)):
            assert not progress.heard()
            with progress.part("student"):
                progress.tell(0.5)
            list(progress.steps("inner", range(3)))
        with progress.part("scores"):
            assert progress.heard()
    assert [one.name for one in told] == ["draws", "draws", "draws", "scores"]


def test_items_made_one_by_one_are_made_within_their_step() -> None:
    told: list[Part] = []

    def made() -> Iterator[int]:
        for number in range(2):
            list(progress.steps("inner", range(3)))
            yield number

    with heard_by(told.append):
        assert list(progress.counted("draws", made(), 2)) == [0, 1]
    assert told == [Part("draws", 0.0), Part("draws", 0.5), Part("draws", 1.0)]


def test_a_loop_that_ends_early_or_fails_leaves_the_listener_listening() -> None:
    told: list[Part] = []
    with heard_by(told.append):
        for number in progress.steps("rounds", range(10)):
            if number == 1:
                break
        assert progress.heard()
        with contextlib.suppress(ZeroDivisionError), progress.part("fit"):
            raise ZeroDivisionError
        progress.tell(0.5)
        with progress.part("next"):
            pass
    assert [one.name for one in told] == ["rounds", "rounds", "fit", "next"]
    assert not progress.heard()


def test_nobody_listening_hears_nothing() -> None:
    assert not progress.heard()
    with progress.part("student"):
        progress.tell(0.5)
        assert list(progress.steps("lines", range(3))) == [0, 1, 2]


@pytest.mark.parametrize("power", [1, 3])
def test_conjugate_gradients_tell_how_far_the_residual_has_come_and_find_the_same(power: int) -> None:
    values = torch.linspace(1, 10, 40, dtype=torch.float64)[None] ** power
    right = torch.ones(2, 40, dtype=torch.float64) * torch.tensor([[1.0], [0.0]], dtype=torch.float64)

    def solved() -> torch.Tensor:
        return conjugate_gradients(lambda z: values * z, lambda r: r, right)

    silent = solved()
    told: list[Part] = []
    with heard_by(told.append), progress.part("least squares"):
        heard = solved()
    assert torch.equal(heard, silent)
    shares = [one.share for one in told]
    assert all(0 <= share <= 1 for share in shares)
    assert shares[1] == pytest.approx(0.0, abs=1e-9)
    assert max(shares) > 0.8
