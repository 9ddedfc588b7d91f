"""What long commands say of the time: the arithmetic with a clock of the test, and lines where there is no terminal."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cidesign.cli.display.distill import epoch_said
from cidesign.cli.display.evaluate import Course
from cidesign.cli.sweep.live import Standing, all_left_s
from cidesign.distill.loop import StepReport
from cidesign.distill.run_folder import Ahead, EpochReport
from cidesign.distill.tasks.base import task_named
from cidesign.text import elapsed, seconds_left, to_go

TINY = ["--side", "8", "--patterns", "6", "--set", "images=32", "--set", "validation_images=8", "--set", "batch=16"]


def test_what_is_left_is_as_slow_as_what_is_done() -> None:
    assert seconds_left(0, 10, 5.0) is None
    assert seconds_left(2, 10, 5.0) == 20.0
    assert seconds_left(2.5, 10, 5.0) == 15.0
    assert seconds_left(10, 10, 5.0) == 0.0
    assert seconds_left(11, 10, 5.0) == 0.0
    assert to_go(None) == "how long is not known yet"
    assert to_go(20.0) == "less than a minute to go"
    assert to_go(720.0) == "about 12 minutes to go"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0:00:00"), (59.9, "0:00:59"), (65, "0:01:05"), (3_600, "1:00:00"), (93_784, "26:03:04")]
)
def test_a_time_gone_by(seconds: float, said: str) -> None:
    assert elapsed(seconds) == said


def test_an_epoch_in_one_line() -> None:
    metrics = {"psnr_db": 28.844, "linear_psnr_db": 27.36}
    task = task_named("reconstruct")
    report = EpochReport("student", 2, 374, 0.00131, metrics, 130.0, 1, Ahead(4, 6, 8, 43.0))
    followed = {one.metric: metrics.get(one.metric, 27.36) for one in task.followed}
    report = EpochReport("student", 2, 374, 0.00131, {**metrics, **followed}, 130.0, 1, report.ahead)
    assert epoch_said(report, task) == (
        "student epoch 2/4 (6 of 8 in all): validation 28.84 dB (its linear estimate 27.36 dB), loss 0.00131; 0:02:10 "
        "so far, less than a minute to go"
    )
    guided = EpochReport("student", 2, 374, 1.02246, {**report.metrics, "loss_task": 0.00213}, 130.0, 1, report.ahead)
    assert ", loss 0.00213 (1.02246 with the weighted guiding terms); 0:02:10 so far" in epoch_said(guided, task)
    last = EpochReport("student", 4, 748, 0.00131, report.metrics, 130.0, 1, Ahead(4, 4, 4, 0.0))
    assert epoch_said(last, task).startswith("student epoch 4/4: validation ")
    assert epoch_said(last, task).endswith("; 0:02:10 so far")


def test_the_time_of_all_systems_is_told_early_and_then_each_epoch() -> None:
    now = [100.0]
    course = Course(["E2E", "cosine"], epochs=2, clock=lambda: now[0])

    def step(name: str, number: int) -> str | None:
        now[0] += 3.0
        return course.step(name, StepReport("student", number, 10, 0.25, 20.0))

    first = [step("E2E", number) for number in range(1, 11)]
    # The first step counts for none of the time: 5 of 20 steps took 12 s of the clock.
    assert first[:4] == [None] * 4
    assert first[4] == "E2E (1 of 2): epoch 1/2, loss 0.25000; 0:00:12 so far, less than a minute to go"
    assert first[5] == "less than a minute to go for 2 systems at this pace"
    assert first[6:9] == [None] * 3
    assert first[9] == "E2E (1 of 2): epoch 2/2, loss 0.25000; 0:00:27 so far, less than a minute to go"
    second = [step("cosine", number) for number in range(1, 11)]
    assert [line for line in second if line] == [
        "cosine (2 of 2): epoch 1/2, loss 0.25000; 0:00:42 so far, less than a minute to go",
        "cosine (2 of 2): epoch 2/2, loss 0.25000; 0:00:57 so far",
    ]
    assert step("kept already", 5) is None


def test_slow_steps_tell_the_time_within_the_first_minute() -> None:
    now = [0.0]
    course = Course(["E2E"], epochs=1, clock=lambda: now[0])
    assert course.step("E2E", StepReport("student", 1, 1000, 0.25, 20.0)) is None
    now[0] = 25.0
    # 2 of 1000 steps in 25 s.
    assert course.step("E2E", StepReport("student", 2, 1000, 0.25, 20.0)) == (
        "about 3.5 hours to go for 1 system at this pace"
    )


def test_what_is_left_of_a_sweep() -> None:
    half = Standing(2, 4, "student", 0.1, "", 600.0)
    fresh = Standing(1, 4, "teacher", 0.1, "", 500.0)
    assert (half.left_s, fresh.left_s) == (600.0, 1500.0)
    assert all_left_s([], 3, 2) is None
    assert all_left_s([half], 0, 1) == 600.0
    # Two work, 600 and 1500 s left; three wait, of 1600 s in the mean: (2100 + 3 * 1600) / 2.
    assert all_left_s([half, fresh], 3, 2) == pytest.approx(3450.0)
    # A worker that has not finished an epoch is as far as the others in the mean.
    assert all_left_s([half], 0, 2) == 600.0


def test_without_a_terminal_there_is_a_line_for_each_epoch(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "cidesign", "distill", "--profile", "dlp4500", *TINY, "--teacher-epochs", "2",
        "--student-epochs", "2", "--out", "run",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not set(done.stderr) & {"\x1b", "\r", "\x07", "\x08"}
    lines = [line for line in done.stderr.splitlines() if " epoch " in line]
    wanted = (
        r"(teacher|student) epoch ([12])/2 \((\d) of 4 in all\): validation \S+ dB \(its linear estimate \S+ dB\), "
        r"loss \d+\.\d{5}(?: \(\d+\.\d{5} with the weighted guiding terms\))?; 0:0\d:\d\d so far(, .* to go)?"
    )
    found = [re.fullmatch(wanted, line) for line in lines]
    assert [one and one.groups()[:3] for one in found] == [
        ("teacher", "1", "1"), ("teacher", "2", "2"), ("student", "1", "3"), ("student", "2", "4"),
    ]  # fmt: skip
    assert [bool(one and one[4]) for one in found] == [True, True, True, False]
