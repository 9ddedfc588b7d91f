"""The run folder: newest, damaged, changed and foreign ones, and a fuzzer on `run.json`."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError, InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import PatternStack
from cidesign.runs import Run, RunRecord, RunSettings, newest_run, now_utc, open_run, write_record

PROFILE = load_profile("dlp4500")
SETTINGS = RunSettings(
    preset="quick", seed=3, side=8, patterns=7, bit_depth=1, encoding="offset", photoelectrons_per_frame=1e6,
    read_noise_photoelectrons=10.0, exposure_us=None, data="procedural", images=96, validation_images=32, batch=16,
    channels=4, teacher_epochs=2, student_epochs=2, learning_rate=1e-3, optics_learning_rate=1e-2,
    precision="float32", device="cpu", weight_task=1.0, weight_decoder=0.3, weight_encoder=0.1,
)  # fmt: skip


def _make(path: Path) -> Path:
    path.mkdir(parents=True)
    levels = np.random.default_rng(1).integers(0, 2, (7, 8, 8)).astype(np.uint8)
    design = PatternStack(levels, 1, "offset", PROFILE.id, PROFILE.digest)
    design.save(path / "design.npz")
    record = RunRecord(
        schema_version=1, kind="run", modality="single-pixel", status="complete", created_utc=now_utc(),
        cidesign_version="0", versions={}, settings=SETTINGS, profile=PROFILE.model_dump(mode="json"),
        profile_digest=PROFILE.digest, data_digest="", teacher_digest="", design_digest=design.design_digest,
        metrics={},
    )  # fmt: skip
    write_record(path, record)
    return path


def test_round_trip(tmp_path: Path) -> None:
    run = Run(_make(tmp_path / "run"))
    assert run.settings == SETTINGS
    assert run.profile == PROFILE
    assert run.design.count == 7


def test_newest_run_is_the_one_that_changed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no run is below runs/"):
        newest_run()
    for number, name in enumerate(("b", "a", "c")):
        path = _make(Path("runs") / name) / "run.json"
        os.utime(path, ns=(number * 10**9, (5 - number) * 10**9))
    assert newest_run() == Path("runs") / "b"
    assert open_run(None).path == Path("runs") / "b"


def test_changed_profile_is_noticed(tmp_path: Path) -> None:
    path = _make(tmp_path / "run") / "run.json"
    path.write_text(path.read_text().replace('"value": 235', '"value": 100'))
    with pytest.raises(FileError, match=r"profile inside run\.json was changed"):
        _ = Run(tmp_path / "run").profile


def test_another_runs_design_is_noticed(tmp_path: Path) -> None:
    run = _make(tmp_path / "run")
    design = Run(run).design
    PatternStack(1 - design.levels, 1, "offset", PROFILE.id, PROFILE.digest).save(run / "design.npz")
    with pytest.raises(FileError, match=r"not the design that run\.json names"):
        _ = Run(run).design


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"status": "half"}, "status"),
        ({"surprise": 1}, "surprise"),
        ({"settings": {**SETTINGS.model_dump(), "side": 10**9}}, r"settings\.side"),
        ({"settings": {**SETTINGS.model_dump(), "photoelectrons_per_frame": -1.0}}, "photoelectrons_per_frame"),
        ({"profile": {}}, "kind is None"),
    ],
)
def test_wrong_records_are_named(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    path = _make(tmp_path / "run") / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(FileError, match=said):
        _ = Run(tmp_path / "run").profile


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_records_never_end_in_a_traceback(data: st.DataObject, tmp_path: Path) -> None:
    run = tmp_path / "run"
    if not run.exists():
        _make(run)
        (tmp_path / "whole.json").write_bytes((run / "run.json").read_bytes())
    content = bytearray((tmp_path / "whole.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=5))
    (run / "run.json").write_bytes(bytes(content))
    problem = ""
    try:
        opened = Run(run)
        assert opened.profile.digest == PROFILE.digest
        assert opened.design.count == 7
    except CidesignError as error:
        problem = str(error)
    assert "\n" not in problem
