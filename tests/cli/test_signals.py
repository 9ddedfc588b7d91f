"""Ctrl-C, SIGTERM and SIGHUP: a command tidies up, training is saved, and the exit code says which it was."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cidesign.cli
from cidesign.cli.display.distill import Display
from cidesign.modality import Preset, modality
from cidesign.runs import Run
from cidesign.signals import signals_to

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "code"), CODES)
def test_any_command_tidies_up_and_leaves_with_the_signals_code(
    number: signal.Signals, code: int, cidesign: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the middle of writing a folder: what was there stays, and nothing half-made."""
    from cidesign.files import replacing_folder

    def command(*args: Any, **kwargs: Any) -> None:
        with replacing_folder(tmp_path / "out", False) as temporary:
            (temporary / "half").write_text("x")
            signal.raise_signal(number)
            pytest.fail("the signal was not heard")

    before = [signal.getsignal(one) for one, _ in CODES]
    monkeypatch.setattr(cidesign_group(), "invoke", command)
    done = cidesign("profiles", "list")
    assert done.code == code
    assert done.err.strip() == "interrupted"
    assert list(tmp_path.iterdir()) == []
    assert [signal.getsignal(one) for one, _ in CODES] == before


def cidesign_group() -> Any:
    """The group that `main` calls."""
    return cidesign.cli.group


@pytest.mark.parametrize(("number", "code"), CODES)
def test_training_is_saved_and_goes_on(
    number: signal.Signals, code: int, cidesign: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The signal comes inside an epoch: the step is finished and kept, and twice the same signal is no other thing."""
    from cidesign.distill import job

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(modality("mri").presets, "quick", Preset(12, 32, 8, 8, 4, 2, 1))
    original = job.train_phase

    def signalled(*words: Any, **named: Any) -> Any:
        *before, listen, threads, ranks = words

        def step(report: Any) -> None:
            if report.step == 2:
                signal.raise_signal(number)
                if number != signal.SIGINT:
                    signal.raise_signal(number)
            listen(report)

        return original(*before, step, threads, ranks, **named)

    monkeypatch.setattr(job, "train_phase", signalled)
    done = cidesign("distill", "--profile", "mri-generic-3t", "--out", "run")
    assert done.code == code
    assert "stopped; nothing is lost. Go on with `cidesign distill --resume --out run`" in done.err
    found = job.load_checkpoint(Run(Path("run")))
    assert found is not None
    assert (found[0].phase, found[0].step) == ("teacher", 2)
    assert {path.name for path in Path("run").iterdir()} == {"run.json", "metrics.jsonl", "checkpoint"}
    monkeypatch.setattr(job, "train_phase", original)
    assert cidesign("distill", "--resume", "--out", "run").code == 0
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    done = cidesign("distill", "--resume", "--out", "run", "--json")
    assert done.code == 0
    assert "run: finished already; nothing to do" in done.err
    assert Run(Path("run")).record.design_digest in done.out
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before


def test_before_training_there_is_nothing_to_finish() -> None:
    with pytest.raises(KeyboardInterrupt), Display(Path("run"), "reconstruct"):
        signal.raise_signal(signal.SIGTERM)


def test_only_a_second_ctrl_c_breaks_off() -> None:
    with Display(Path("run"), "reconstruct") as display:
        display.training = True
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
            signal.raise_signal(number)
        assert display.stopped_by == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_nohup_stays_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        heard: list[int] = []
        with signals_to(lambda number, frame: heard.append(number)):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_resume_without_a_name_takes_the_unfinished_run(
    cidesign: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, finished_run: Any, make_settings: Any
) -> None:
    """A newer finished one is not what the user means; it would say "finished" of another run."""
    from cidesign.runs import newest_unfinished_run

    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a", "b")):
        finished_run(Path("runs") / name, make_settings("single-pixel"), Run)
        os.utime(Path("runs") / name / "run.json", (number, number))
    assert newest_unfinished_run() == Path("runs/b")
    record = Path("runs/a/run.json")
    record.write_text(record.read_text().replace('"status": "complete"', '"status": "training"'))
    os.utime(record, (0, 0))
    assert newest_unfinished_run() == Path("runs/a")
