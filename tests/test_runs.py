"""The run folder: every modality, newest, damaged, changed and foreign ones, and a fuzzer on `run.json`."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError, InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.pattern import ApertureMask, CartesianLines, Design, PatternStack
from cidesign.runs import Run, newest_run, open_run, write_record

Make = Callable[..., Path]
KINDS = {"single-pixel": SinglePixelRun, "cassi": CassiRun, "mri": MriRun}


def _design(modality: str, profile_id: str, digest: str) -> Design:
    rng = np.random.default_rng(1)
    if modality == "single-pixel":
        return PatternStack(rng.integers(0, 2, (7, 8, 8)).astype(np.uint8), 1, "complementary", profile_id, digest)
    if modality == "cassi":
        return ApertureMask(rng.integers(0, 2, (12, 12)).astype(np.uint8), 10.0, profile_id, digest)
    return CartesianLines(16, 16, np.array([2, 7, 8, 13]), 2, profile_id, digest)


@pytest.fixture(scope="session")
def make(make_settings: Callable[..., Any], make_record: Callable[..., Any], profile_of: Callable[..., Any]) -> Make:
    def write(path: Path, modality: str = "single-pixel") -> Path:
        path.mkdir(parents=True)
        profile = profile_of(modality)
        design = _design(modality, profile.id, profile.digest)
        design.save(path / "design.npz")
        write_record(path, make_record(make_settings(modality), design.design_digest))
        return path

    return write


@pytest.mark.parametrize("modality", KINDS)
def test_round_trip(modality: str, make: Make, make_settings: Callable[..., Any], tmp_path: Path) -> None:
    run = KINDS[modality](make(tmp_path / "run", modality))
    assert type(run.settings) is type(make_settings(modality))
    assert run.settings == make_settings(modality)
    assert run.profile.digest == run.record.profile_digest
    assert run.design.design_digest == _design(modality, run.profile.id, run.profile.digest).design_digest
    assert Run(run.path).record == run.record


@pytest.mark.parametrize("modality", KINDS)
@pytest.mark.parametrize("wanted", KINDS)
def test_a_run_opens_as_its_own_kind_only(modality: str, wanted: str, make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "run", modality)
    if wanted == modality:
        assert open_run(path, KINDS[wanted]).settings.modality == wanted
    else:
        with pytest.raises(InputError, match=f"modality {modality}; this works with {wanted} runs"):
            open_run(path, KINDS[wanted])


def test_newest_run_is_the_one_that_changed_last(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no run is below runs/"):
        newest_run()
    for number, name in enumerate(("b", "a", "c")):
        path = make(Path("runs") / name) / "run.json"
        os.utime(path, ns=(number * 10**9, (5 - number) * 10**9))
    assert newest_run() == Path("runs") / "b"
    assert open_run(None, SinglePixelRun).path == Path("runs") / "b"


def test_changed_profile_is_noticed(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "run") / "run.json"
    path.write_text(path.read_text().replace('"value": 235', '"value": 100'))
    with pytest.raises(FileError, match=r"profile inside run\.json was changed"):
        _ = Run(tmp_path / "run").profile


def test_another_runs_design_is_noticed(make: Make, tmp_path: Path) -> None:
    run = SinglePixelRun(make(tmp_path / "run"))
    design = run.design
    other = PatternStack(1 - design.levels, 1, "complementary", design.profile_id, design.profile_digest)
    other.save(run.path / "design.npz")
    with pytest.raises(FileError, match=r"not the design that run\.json names"):
        _ = Run(run.path).design


def test_a_foreign_profile_is_noticed(make: Make, tmp_path: Path) -> None:
    """Settings of one modality beside the profile of another, both intact."""
    path = make(tmp_path / "run", "mri") / "run.json"
    profile = load_profile("dlp4500")
    changes = {"profile": profile.model_dump(mode="json"), "profile_digest": profile.digest}
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(FileError, match="joins mri settings to a dmd profile"):
        _ = Run(tmp_path / "run").profile


def test_a_foreign_kind_of_design_is_noticed(make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "run", "mri")
    _design("cassi", "test", "").save(path / "design.npz")
    with pytest.raises(FileError, match=r"design\.npz: this design should hold acquired"):
        _ = Run(path).design


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 1}, "schema version 1, cidesign .* reads 2"),
        ({"schema_version": 3}, "schema version 3"),
        ({"status": "half"}, "status"),
        ({"surprise": 1}, "surprise"),
        ({"settings": {"side": 10**9}}, r"settings: side"),
        ({"settings": {"photoelectrons_per_frame": -1.0}}, "photoelectrons_per_frame"),
        ({"settings": {"modality": "radar"}}, "settings.*modality"),
        ({"settings": {"modality": "mri"}}, r"settings: "),
        ({"settings": {"modality": {"name": "mri"}}}, "settings: modality .*is not known"),
        ({"settings": {"modality": ["mri"]}}, "settings: modality .*is not known"),
        ({"settings": {"ladder": []}}, "ladder"),
        ({"settings": {"ladder": ["real", "4-bit", "1-bit"]}}, "3 teachers; each needs an epoch of the 2"),
        ({"settings": {"decoder": "magic/../trick"}}, "decoder"),
        ({"settings": {"decoder": 5}}, "decoder 5"),
        ({"settings": {"decoder_settings": [4]}}, "decoder_settings"),
        ({"settings": {"task": ""}}, "task"),
        ({"profile": {}}, "kind is None"),
    ],
)
def test_wrong_records_are_named(changes: dict[str, Any], said: str, make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "run") / "run.json"
    record = json.loads(path.read_text())
    if "settings" in changes:
        changes = {"settings": {**record["settings"], **changes["settings"]}}
    path.write_text(json.dumps({**record, **changes}))
    with pytest.raises(FileError, match=said) as caught:
        _ = Run(tmp_path / "run").profile
    assert "\n" not in str(caught.value)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value stands in a record, of every value in it but the record itself."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*place, key)
        yield from _places(one, (*place, key))


@pytest.mark.parametrize("modality", KINDS)
def test_values_of_any_other_type_are_one_line(modality: str, make: Make, tmp_path: Path) -> None:
    path = make(tmp_path / "run", modality) / "run.json"
    whole = path.read_text()
    tried = 0
    for place in _places(json.loads(whole)):
        for other in (None, True, -1, "x", [], {"x": [1]}):
            record = json.loads(whole)
            holder = record
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = other
            path.write_text(json.dumps(record))
            tried += 1
            problem = ""
            try:
                _ = Run(path.parent).profile
            except CidesignError as error:
                problem = str(error)
            assert "\n" not in problem, place
    assert tried > 300


@pytest.mark.parametrize("modality", KINDS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_records_never_end_in_a_traceback(
    data: st.DataObject, modality: str, make: Make, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    if not run.exists():
        make(run, modality)
        (tmp_path / "whole.json").write_bytes((run / "run.json").read_bytes())
    whole = Run(make(tmp_path / "other", modality)) if not (tmp_path / "other").exists() else Run(tmp_path / "other")
    content = bytearray((tmp_path / "whole.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=5))
    (run / "run.json").write_bytes(bytes(content))
    problem = ""
    try:
        opened = Run(run)
        assert opened.profile.digest == whole.profile.digest
        assert opened.design.design_digest == whole.design.design_digest
    except CidesignError as error:
        problem = str(error)
    assert "\n" not in problem
