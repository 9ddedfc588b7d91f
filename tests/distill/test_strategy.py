"""Distillation or end to end: what decides, in which order, by which numbers, and what is said and kept of it."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cidesign.distill.choices import strategy, where_it_pays
from cidesign.distill.choices.strategy import by_map, conditions_of
from cidesign.distill.choices.where_it_pays import Regime
from cidesign.distill.job import Listener, start_run
from cidesign.distill.presets import settings_for
from cidesign.distill.teachers import Chosen, chosen_settings
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run, StrategyChoice

PROFILES = {"single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t"}
SMALL: dict[str, Any] = {
    "images": 32, "validation_images": 8, "batch": 16, "channels": 4, "side": 16, "device": "cpu", "threads": 1,
    "precision": "float32",
}  # fmt: skip
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _settings(modality: str, **values: Any) -> tuple[TrainingSettings, Any]:
    profile = load_profile(PROFILES[modality])
    return settings_for(profile, **{**SMALL, **values}), profile


def _regime(modality: str, gain_db: float, error_db: float, name: str = "here", **values: Any) -> Regime:
    """One that was measured at just these settings."""
    return Regime(modality, name, conditions_of(*_settings(modality, **values)), gain_db, error_db, 3)


def _chosen(modality: str, **values: Any) -> Chosen:
    teacher = values.pop("teacher", "auto")
    return chosen_settings(load_profile(PROFILES[modality]), "quick", None, teacher, False, {**SMALL, **values})


@pytest.mark.parametrize("modality", PROFILES)
@pytest.mark.parametrize(
    ("gain_db", "error_db", "wanted"),
    [
        (-0.20, 0.05, "e2e"),
        (-0.20, 0.11, "distill"),  # within two standard errors
        (-0.04, 0.001, "distill"),  # too little to give up a teacher for
        (-0.05, 0.0, "e2e"),
        (0.0, 0.0, "distill"),
        (0.5, 0.1, "distill"),
    ],
)
def test_end_to_end_only_where_it_is_clearly_ahead(modality: str, gain_db: float, error_db: float, wanted: str) -> None:
    settings, profile = _settings(modality)
    found = by_map(settings, profile, [_regime(modality, gain_db, error_db)])
    assert (found.strategy, found.by, found.regime) == (wanted, "measured", "here")
    assert (found.gain_db, found.standard_error_db, found.seeds) == (gain_db, error_db, 3)
    assert f"is {gain_db:+.2f} +- {error_db:.2f} dB" in found.reason
    assert found.said == (f"strategy {wanted}: {found.reason}",)
    assert "\n" not in found.reason


NEAR = {"single-pixel": {"patterns": 26}, "cassi": {"photoelectrons": 15e3}, "mri": {"acceleration": 2.0}}
FAR = {
    "single-pixel": ({"photoelectrons": 1e5}, "light 100000 (the nearest, here, has 1e+07)"),
    "cassi": ({"images": 512}, "images 512 (the nearest, here, has 32)"),
    "mri": ({"noise": 0.05}, "noise 0.05 (the nearest, here, has 0.01)"),
}


def test_two_seeds_do_not_show_a_lead() -> None:
    few = _regime("mri", -0.3, 0.001)._replace(seeds=2)
    found = by_map(*_settings("mri"), [few])
    assert (found.strategy, found.by, found.seeds) == ("distill", "measured", 2)
    assert "E2E is not shown to be ahead" in found.reason


@pytest.mark.parametrize("modality", PROFILES)
def test_the_nearest_regime_decides_and_a_far_one_nothing(modality: str) -> None:
    regimes = [
        _regime(modality, 0.3, 0.01, "other", **{**NEAR[modality], "teacher_epochs": 8}),
        _regime(modality, -0.3, 0.01, "here"),
        Regime("elsewhere", "another kind", {}, -1.0, 0.01, 3),
    ]
    near = by_map(*_settings(modality, seed=5), regimes)
    assert (near.regime, near.strategy) == ("here", "e2e")
    other = by_map(*_settings(modality, **{**NEAR[modality], "teacher_epochs": 9}), regimes)
    assert (other.regime, other.strategy) == ("other", "distill")
    values, said = FAR[modality]
    far = by_map(*_settings(modality, **values), regimes[1:])
    assert (far.strategy, far.by, far.regime) == ("distill", "not-measured", None)
    assert f"not measured near {said}" in far.reason


@pytest.mark.parametrize(
    "values", [{"decoder": "unrolled", "stages": 2}, {"optics_start": "random"}, {"exploring": False}]
)
def test_what_the_regimes_were_not_measured_with(values: dict[str, Any]) -> None:
    found = by_map(*_settings("mri", **values), [_regime("mri", -1.0, 0.01)])
    name, value = next(iter(values.items()))
    assert (found.strategy, found.by) == ("distill", "not-measured")
    assert f"was not measured with {name} {value}" in found.reason
    assert "not measured for mri" in by_map(*_settings("mri"), []).reason


def test_the_start_that_the_regimes_were_measured_with_can_be_named() -> None:
    regimes = [_regime("single-pixel", -1.0, 0.01)]
    usual, named = (
        by_map(*_settings("single-pixel", **values), regimes) for values in ({}, {"optics_start": "designed"})
    )
    assert named == usual
    assert named.by == "measured"
    other = by_map(*_settings("single-pixel", optics_start="searched"), regimes)
    assert "was not measured with optics_start searched" in other.reason


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """E2E is ahead wherever somebody looks."""
    monkeypatch.setattr(
        "cidesign.distill.teachers.by_map",
        lambda settings, profile: StrategyChoice(strategy="e2e", by="measured", reason="E2E is ahead", regime="x"),
    )


@pytest.mark.usefixtures("ahead")
@pytest.mark.parametrize("modality", PROFILES)
def test_where_nothing_is_asked_the_map_decides(modality: str) -> None:
    chosen = _chosen(modality)
    usual = settings_for(load_profile(PROFILES[modality]), **SMALL)
    assert chosen.settings.strategy == "e2e"
    assert chosen.settings.student_epochs == usual.teacher_epochs + usual.student_epochs
    assert chosen.said == ("strategy e2e: E2E is ahead",)
    profile = load_profile(PROFILES[modality])
    short = chosen.settings.changed(student_epochs=1)
    run = start_run(Path("run"), short, profile, False, Listener(), choices=chosen.choices)
    record = json.loads((run.path / "run.json").read_text())
    assert record["strategy"] == {
        "strategy": "e2e", "by": "measured", "reason": "E2E is ahead", "regime": "x", "gain_db": None,
        "standard_error_db": None, "seeds": None,
    }  # fmt: skip
    assert Run(run.path).record.strategy == chosen.choices.strategy


@pytest.mark.usefixtures("ahead")
@pytest.mark.parametrize(
    ("values", "by", "said"),
    [
        ({"strategy": "distill"}, "asked", None),
        ({"ladder": "real"}, "teacher", "ladder real is about a teacher"),
        ({"teacher_epochs": 2}, "teacher", "teacher_epochs 2 is about a teacher"),
        ({"student_epochs": 2}, "teacher", "student_epochs 2 is about a teacher or its student"),
        ({"start": "fresh"}, "teacher", "start fresh is about a teacher"),
        ({"weight_encoder": 0}, "teacher", "weight_encoder 0 is about a teacher"),
        ({"losses": "effective"}, "teacher", "losses effective is about a teacher"),
        ({"weighting": "gradient"}, "teacher", "weighting gradient is about a teacher"),
        ({"recipe": "published"}, "recipe", "the recipe published is of a teacher"),
        ({"teacher": "none"}, "teacher", "teacher none is asked for"),
        ({"ladder": "auto"}, "teacher", "ladder auto is about a teacher"),
    ],
)
def test_what_was_asked_wins(values: dict[str, Any], by: str, said: str | None) -> None:
    chosen = _chosen("single-pixel", **values)
    assert chosen.settings.strategy == "distill"
    assert chosen.choices.strategy is not None
    assert chosen.choices.strategy.by == by
    if said is None:
        assert chosen.said == ()
    else:
        assert chosen.said[0].startswith(f"strategy distill: {said}")


def test_end_to_end_by_name() -> None:
    chosen = _chosen("mri", strategy="e2e", teacher="none")
    assert (chosen.settings.strategy, chosen.said) == ("e2e", ())
    assert chosen.choices.strategy == StrategyChoice(strategy="e2e", by="asked", reason="asked for")
    for values in ({"ladder": "auto"}, {"ladder": "R2"}, {"teacher": "runs/x"}):
        with pytest.raises(InputError, match="is about a teacher, and strategy e2e trains without one"):
            _chosen("mri", strategy="e2e", **values)
    with pytest.raises(InputError, match="strategy kd: "):
        _chosen("mri", strategy="kd")


@pytest.mark.usefixtures("ahead")
def test_a_stored_teacher_comes_before_the_map() -> None:
    profile = load_profile("mri-generic-3t")
    alone = settings_for(profile, only_teacher=True, **{**SMALL, "teacher_epochs": 1})
    start_run(Path("runs/mine"), alone, profile, False, Listener())
    chosen = _chosen("mri")
    assert chosen.settings.teacher == "runs/mine"
    assert chosen.choices.strategy is not None
    assert chosen.choices.strategy.by == "stored-teacher"
    assert chosen.said[0] == "strategy distill: a stored teacher fits, and saves its epochs"


def test_the_map_in_the_code_is_of_what_runs_have() -> None:
    """Each row has the conditions of its modality, so that it can be near something; names are of the study."""
    studied = runpy.run_path(str(ROOT / "benchmarks" / "studies" / "where_it_pays.py"))["REGIMES"]
    for regime in where_it_pays.REGIMES:
        own = conditions_of(*_settings(regime.modality))
        assert list(regime.conditions) == list(own)
        assert all(value > 0 for value in regime.conditions.values())
        assert regime.name in studied[regime.modality]
        assert regime.seeds >= 2
        assert regime.standard_error_db >= 0


def test_the_study_prints_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it prints is the code: a regime of one seed is not among it."""
    for seed, gain in (("1", 0.1), ("2", 0.3)):
        student = {"psnr_db": 20 + gain}
        rows = {"all terms": student, "warm start": student, "E2E, T + S": {"psnr_db": 20.0}}
        (tmp_path / f"mri-R---8-{seed}.json").write_text(json.dumps(rows))
    (tmp_path / "mri-R---4-1.json").write_text(json.dumps(rows))
    script = ROOT / "benchmarks" / "studies" / "where_it_pays.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--out", str(tmp_path), "--map", "--seeds", "1,2"])
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    runpy.run_path(str(script), run_name="__main__")
    torch.set_num_threads(before[0])
    torch.use_deterministic_algorithms(before[1])
    printed = tmp_path / "printed.py"
    printed.write_text(f"from {Regime.__module__} import Regime\n{capsys.readouterr().out}")
    names = runpy.run_path(str(printed))
    (only,) = names["REGIMES"]
    conditions = {"acceleration": 8, "coils": 1, "noise": 0.01, "side": 64, "images": 480, "steps": 120}
    assert only == Regime("mri", "R = 8", conditions, 0.2, 0.1, 2)
    found = strategy.by_map(*_settings("mri", side=64, acceleration=8.0, images=480, batch=32), names["REGIMES"])
    assert (found.regime, found.strategy) == ("R = 8", "distill")


def test_an_older_record_has_no_choices(make_settings: Callable[..., Any], make_record: Callable[..., Any]) -> None:
    record = make_record(make_settings(), "0" * 64).model_dump(mode="json")
    del record["strategy"], record["teacher_choice"]
    read = type(make_record(make_settings(), "0" * 64)).model_validate(record)
    assert (read.strategy, read.teacher_choice) == (None, None)
