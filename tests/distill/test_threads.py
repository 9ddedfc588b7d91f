"""The number of threads is chosen by the steps of training themselves, in virtual time."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch

from cidesign.distill.computing import threads as threads_module
from cidesign.distill.computing.threads import Threads, counts_up_to, require_processors, training_threads
from cidesign.errors import LimitError
from cidesign.testing.virtual_clock import VirtualClock

# What a step takes with so many threads, in milliseconds.
Speeds = dict[int, float]
IDLE: Speeds = {1: 400, 2: 220, 4: 130}
BUSY: Speeds = {1: 430, 2: 3400, 4: 5000}


class Desk:
    """A machine whose steps take what is said, by the count in use and the number of the step."""

    def __init__(self, speeds: Callable[[int], Speeds]) -> None:
        self.speeds, self.clock = speeds, VirtualClock()
        self.in_use: list[int] = []
        self.steps: list[int] = []

    def threads(self, current: int | None = None) -> Threads:
        return Threads([1, 2, 4], current, lambda: self.clock.now_us() / 1e6, self.in_use.append)

    def run(self, threads: Threads, steps: int) -> float:
        """Train for some steps; the seconds that they take."""
        began = self.clock.now_us()
        for _ in range(steps):
            with threads.step():
                taken_ms = self.speeds(len(self.steps))[self.in_use[-1]]
                self.steps.append(self.in_use[-1])
                self.clock.wait_us(round(1000 * taken_ms))
            assert self.in_use[-1] == threads.count  # evaluation and checkpoint come with the count in effect
        return (self.clock.now_us() - began) / 1e6


@pytest.mark.parametrize(
    ("speeds", "best", "worst"),
    [
        (IDLE, 4, 1.03),
        (BUSY, 1, 1.3),
        ({1: 400, 2: 210, 4: 900}, 2, 1.1),
        ({1: 100, 2: 100, 4: 100}, 4, 1.001),
        ({1: 400, 2: 131, 4: 130}, 4, 1.03),
    ],
)
def test_the_fastest_count_is_found_and_the_search_is_paid_for(speeds: Speeds, best: int, worst: float) -> None:
    """A quick preset has some 500 steps."""
    desk = Desk(lambda step: speeds)
    threads = desk.threads()
    assert threads.chosen is None
    taken_s = desk.run(threads, 500)
    assert threads.count == threads.chosen == best
    assert taken_s <= worst * 500 * min(speeds.values()) / 1000
    assert threads.step_s == pytest.approx(speeds[best] / 1000)


def test_other_programs_come_and_go() -> None:
    desk = Desk(lambda step: IDLE if not 100 <= step < 200 else BUSY)
    threads = desk.threads()
    desk.run(threads, 100)
    assert threads.count == 4
    # A median of five is not moved by two; the third slow step is the first sign.
    desk.run(threads, 16)
    assert threads.count == 1
    desk.run(threads, 84)
    assert threads.count == 1
    desk.run(threads, 3000)
    assert threads.count == 4


def test_a_step_that_takes_many_times_as_long_is_a_reason_to_look_at_once() -> None:
    """No later than after a window of such steps: every one of them is ten times as long as it could be."""
    desk = Desk(lambda step: IDLE if step < 300 else BUSY)
    threads = desk.threads()
    desk.run(threads, 300)
    assert threads.count == 4
    desk.run(threads, threads_module.WINDOW + 3 * (1 + threads_module.TIMED_STEPS))
    assert threads.count == 1


def test_one_thread_is_left_though_its_own_steps_are_as_long() -> None:
    """A single thread may have a processor of its own on a busy desk: it never tells that the others have gone."""
    desk = Desk(lambda step: {**IDLE, 1: 430} if step >= 60 else BUSY)
    threads = desk.threads()
    desk.run(threads, 60)
    assert threads.count == 1
    desk.run(threads, 5000)
    assert threads.count == 4


def test_a_hiccup_is_no_change_of_load() -> None:
    desk = Desk(lambda step: {count: 100 * taken for count, taken in IDLE.items()} if step % 10 == 7 else IDLE)
    threads = desk.threads(current=4)
    desk.run(threads, 49)
    assert set(desk.steps) == {4}


def test_a_load_that_changes_all_the_time_costs_little() -> None:
    """Every ten steps everything takes four times as long, or again as before: looking more often would not help."""
    slow = {count: 4 * taken for count, taken in BUSY.items()}
    desk = Desk(lambda step: slow if step // 10 % 2 else BUSY)
    threads = desk.threads()
    taken_s = desk.run(threads, 1000)
    assert taken_s <= 1.3 * 500 * (BUSY[1] + slow[1]) / 1000


def test_what_goes_on_does_not_begin_the_search_anew() -> None:
    desk = Desk(lambda step: IDLE)
    threads = desk.threads(current=2)
    assert threads.chosen == threads.count == 2
    desk.run(threads, 49)
    assert set(desk.steps) == {2}
    desk.run(threads, 100)  # and it is not kept for ever
    assert threads.count == 4


@pytest.mark.parametrize(("current", "count"), [(1, 1), (3, 2), (8, 4), (100, 4)])
def test_a_count_of_another_machine_is_the_nearest_here(current: int, count: int) -> None:
    assert Desk(lambda step: IDLE).threads(current).count == count


def test_a_fixed_count_is_never_left() -> None:
    desk = Desk(lambda step: BUSY if step > 50 else IDLE)
    threads = Threads([2], None, lambda: desk.clock.now_us() / 1e6, desk.in_use.append)
    assert threads.chosen == 2
    desk.run(threads, 500)
    assert desk.in_use == [2]


@pytest.mark.parametrize(("most", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_counts(most: int, counts: list[int]) -> None:
    assert counts_up_to(most) == counts


@pytest.mark.parametrize(
    ("changes", "counts"),
    [({"threads": 3}, [3]), ({"threads": None}, [1, 2]), ({"threads": None, "device": "cuda"}, [2])],
)
def test_the_process_has_them_only_while_it_trains(
    changes: dict[str, Any], counts: list[int], make_settings: Callable[..., Any]
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with training_threads(make_settings(**changes)) as threads:
            assert threads.counts == counts
            assert torch.get_num_threads() == counts[-1]
        assert torch.get_num_threads() == 2
        with contextlib.suppress(KeyboardInterrupt), training_threads(make_settings(threads=1)):
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_more_threads_than_the_machine_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    require_processors(3)
    with pytest.raises(LimitError, match=r"threads 4: 3 can run at once on this machine.*use 1 to 3, or leave it out"):
        require_processors(4)
