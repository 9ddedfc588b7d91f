"""Trackers show what `metrics.jsonl` holds, also of runs that were interrupted; nothing else depends on them."""

import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.errors import FileError, InputError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run
from cidesign.testing.training import Killed, StopAt
from cidesign.tracking.base import TRACKERS, require_trackers

MISSING = [name for name in TRACKERS if importlib.util.find_spec(name) is None]


@pytest.fixture
def settings(make_settings: Callable[..., TrainingSettings]) -> TrainingSettings:
    return make_settings("single-pixel")


@pytest.fixture
def profile(profile_of: Callable[[str], Any]) -> HardwareProfile:
    found: HardwareProfile = profile_of("single-pixel")
    return found


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def events_of(path: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(path / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(one.step, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def expected(path: Path) -> dict[str, list[tuple[int, float]]]:
    """The numbers of `metrics.jsonl` and of a finished run's record, as float32."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in lines_of(path):
        for name in line.keys() - {"phase", "epoch", "step"}:
            found.setdefault(f"{line['phase']}/{name}", []).append((line["step"], float(np.float32(line[name]))))
    for name, value in Run(path).record.metrics.items():
        found[f"finished/{name}"] = [(0, float(np.float32(value)))]
    return found


def test_tensorboard_reads_what_the_metrics_file_holds(
    tmp_path: Path, settings: TrainingSettings, profile: HardwareProfile
) -> None:
    pytest.importorskip("tensorboard")
    run = start_run(tmp_path / "run", settings, profile, False, Listener(), log=("tensorboard",))
    found = events_of(run.path)
    assert found == expected(run.path)
    assert [step for step, _ in found["student/psnr_db"]] == [6, 12]
    moved = shutil.move(run.path, tmp_path / "renamed")
    assert events_of(Path(moved)) == found
    assert Run(Path(moved)).with_design().design.design_digest == run.record.design_digest


@pytest.mark.parametrize("step", [3, 15, 18])
@pytest.mark.parametrize("exception", [Interrupted, Killed])
def test_an_interrupted_run_has_no_step_twice(
    step: int, exception: type[BaseException], tmp_path: Path, settings: TrainingSettings, profile: HardwareProfile
) -> None:
    pytest.importorskip("tensorboard")
    path = tmp_path / "run"
    with pytest.raises(exception):
        start_run(path, settings, profile, False, StopAt(step, exception), log=("tensorboard",))
    before = events_of(path)
    assert before == expected(path)
    resume_run(path, Listener())
    assert events_of(path) == expected(path)
    assert len(events_of(path)["student/loss"]) == 2


def test_events_ahead_of_the_checkpoint_are_taken_back(
    tmp_path: Path, settings: TrainingSettings, profile: HardwareProfile
) -> None:
    """Killed between the line of an epoch and its checkpoint: the epoch is trained again."""
    pytest.importorskip("tensorboard")
    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        start_run(path, settings, profile, False, StopAt(8, Interrupted), log=("tensorboard",))
    shutil.copytree(path, tmp_path / "earlier")
    with pytest.raises(Interrupted):
        resume_run(path, StopAt(7, Interrupted))
    assert len(lines_of(path)) == 2
    shutil.copytree(tmp_path / "earlier" / "checkpoint", path / "checkpoint", dirs_exist_ok=True)
    resume_run(path, Listener())
    assert events_of(path) == expected(path)


def test_weights_do_not_depend_on_who_looks(
    tmp_path: Path, settings: TrainingSettings, profile: HardwareProfile
) -> None:
    pytest.importorskip("tensorboard")
    seen = start_run(tmp_path / "seen", settings, profile, False, Listener(), log=("tensorboard",))
    alone = start_run(tmp_path / "alone", settings, profile, False, Listener())
    assert (seen.path / "student.safetensors").read_bytes() == (alone.path / "student.safetensors").read_bytes()
    assert {one.name for one in seen.path.iterdir()} - {one.name for one in alone.path.iterdir()} == {
        "tensorboard", "tracking.json",
    }  # fmt: skip


def test_an_unknown_tracker_is_refused_before_anything_is_touched(
    tmp_path: Path, settings: TrainingSettings, profile: HardwareProfile
) -> None:
    run = start_run(tmp_path / "run", settings, profile, False, Listener())
    with pytest.raises(InputError, match=r"log tensorbord: no such tracker; did you mean tensorboard\? There are "):
        start_run(run.path, settings, profile, True, Listener(), log=("tensorbord",))
    assert Run(run.path).complete


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"log {name}: .*pip install cidesign\[{name}\]"):
        require_trackers([name])


def test_a_damaged_list_of_trackers_is_said(
    tmp_path: Path, settings: TrainingSettings, profile: HardwareProfile
) -> None:
    with pytest.raises(Interrupted):
        start_run(tmp_path / "run", settings, profile, False, StopAt(3, Interrupted))
    (tmp_path / "run" / "tracking.json").write_text('{"log": 3}')
    with pytest.raises(FileError, match=r"tracking\.json: damaged .*remove it to go on"):
        resume_run(tmp_path / "run", Listener())


WANDB = """
import sys
from pathlib import Path
from cidesign.tracking.base import Tracked, tracking
lines = [{"phase": "student", "epoch": n, "step": 6 * n, "psnr_db": 20.5 + n} for n in (1, 2, 3)]
run = Tracked(Path(sys.argv[1]), "0123456789abcdef", {"side": 8})
for begun, more, end in ((0, 2, None), (2, 3, {"student_psnr_db": 23.5})):
    with tracking(["wandb"], run, lines[:begun]) as trackers:
        for line in lines[begun:more]:
            trackers[0].epoch(line)
        trackers[0].finish(end)
"""


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: 7 bytes of its own, then a LevelDB log (checksum, length, kind of each piece)."""
    at, whole = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:  # no piece begins in what is left of a block
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield whole
            whole = b""


@pytest.mark.skipif("wandb" in MISSING, reason="wandb is not installed")
def test_wandb_keeps_the_lines_here_unless_told_otherwise(tmp_path: Path) -> None:
    """A process of its own, without account and settings of whoever tests; what went on is in the second file."""
    left = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    clean = {**left, "HOME": str(tmp_path), "WANDB_CONFIG_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    subprocess.run([sys.executable, "-c", WANDB, str(tmp_path)], env=clean, check=True, timeout=120)
    last = max(tmp_path.glob("wandb/offline-run-*-0123456789abcdef"))
    (file,) = last.glob("*.wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    found = []
    for content in _records(file.read_bytes()):
        record = Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "history":
            items = {one.key or ".".join(one.nested_key): json.loads(one.value_json) for one in record.history.item}
            found.append((record.history.step.num, items["student/step"], items["student/psnr_db"]))
    assert found == [(0, 6, 21.5), (1, 12, 22.5), (2, 18, 23.5)]
