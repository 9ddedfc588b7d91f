"""Runs without a teacher whose optics are learnt: trained end to end, and everything after it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.distill.comparison import compare
from cidesign.distill.comparison.evaluation import EvaluationListener, evaluate_run
from cidesign.distill.fine_tune import fine_tune_settings
from cidesign.distill.given import GivenDesign
from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.presets import settings_for
from cidesign.distill.teachers import open_teacher
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modality import modality as modality_named
from cidesign.models.system import load_student, load_teacher
from cidesign.models.teacher_record import trained_epochs
from cidesign.pattern import PatternStack
from cidesign.report.run_report import write_report
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run
from cidesign.testing.training import Killed, StopAt, student_of

END_TO_END: dict[str, Any] = {
    "strategy": "e2e", "teacher_epochs": 0, "start": "fresh", "weight_decoder": 0.0, "weight_encoder": 0.0,
}  # fmt: skip
MODALITIES = ["single-pixel", "cassi", "mri", "lensless"]
PROFILES = {
    "single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t", "lensless": "lensless-imx250",
}  # fmt: skip
Make = Callable[..., TrainingSettings]


@pytest.fixture(scope="module", params=MODALITIES)
def trained(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Make,
    profile_of: Callable[[str], Any],
) -> Run:
    """A run of each modality; tests only read it, and add to it what `evaluate` and `report` write."""
    modality = request.param
    path = tmp_path_factory.mktemp("end") / "run"
    return start_run(path, make_settings(modality, **END_TO_END), profile_of(modality), False, Listener())


def test_there_is_no_teacher_and_the_optics_have_moved(trained: Run) -> None:
    assert trained.systems == ("student",)
    assert load_teacher(trained) is None
    assert trained.record.teacher_digest is None
    assert not (trained.path / "teacher.safetensors").exists()
    assert trained_epochs(trained) == (0, 2)
    assert not trained.settings.has_teacher
    start = modality_named(trained.settings.modality).optics(trained.settings, trained.profile).encoder(None)
    weight = load_student(trained).encoder.weight
    assert weight.shape == start.weight.shape
    fixed = compare.Comparison(trained, None).maker.system("student").encoder.weight
    assert not torch.equal(weight, fixed.detach())


def test_the_run_is_the_row_of_end_to_end_training(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other E2E system is trained to be held against it; decoders of fixed designs get its epochs."""
    asked: list[tuple[int, Any]] = []

    class Noted(EvaluationListener):
        def training(self, names: list[str], epochs: int) -> None:
            asked.append((epochs, names))

    def cheap(maker: Any, train: Any, epochs: int, design: Any, *rest: Any) -> Any:
        assert design is not None
        system = maker.system("student")
        maker.place(system, design)
        return system.eval().requires_grad_(False)

    monkeypatch.setattr(compare, "train_alone", cheap)
    found = evaluate_run(trained, None, True, Noted())
    names = [row.name for row in found.rows]
    assert names[0] == "E2E (this run)"
    assert "E2E" not in names
    assert found.own == 1
    assert asked == [(2, names[1:])]
    assert found.rows[0].images["psnr_db"] == pytest.approx(trained.record.metrics["student_psnr_db"], abs=0.02)
    assert any(remark.startswith("E2E (this run) - ") for remark in found.remarks)
    page = write_report(trained, (), True).page.read_text()
    assert "trained together, end to end" in page
    assert "<td>E2E (this run)</td>" in page
    assert "a fixed design, new decoder" in page
    for name in ("teacher_epochs", "<td>teacher</td>", "only_teacher"):
        page = page.replace(name, "")
    assert "eacher" not in page


@pytest.mark.parametrize(("step", "exception"), [(1, Killed), (4, Interrupted), (6, Killed), (7, Interrupted)])
def test_resume_gives_the_same_bits(
    step: int, exception: type[BaseException], trained: Run, tmp_path: Path, profile_of: Callable[[str], Any]
) -> None:
    settings = trained.settings
    with pytest.raises(exception):
        start_run(tmp_path / "run", settings, profile_of(settings.modality), False, StopAt(step, exception))
    assert not Run(tmp_path / "run").complete
    run = resume_run(tmp_path / "run", Listener())
    for name in ("student.safetensors", "design.npz"):
        assert (run.path / name).read_bytes() == (trained.path / name).read_bytes()


def test_its_student_is_a_teacher_of_others(
    trained: Run, tmp_path: Path, make_settings: Make, profile_of: Callable[[str], Any]
) -> None:
    found = open_teacher(trained.path)
    assert (found.record.relaxation, found.record.epochs) == (None, 2)
    assert "(a student, 2 epochs, digest " in found.described
    modality = trained.settings.modality
    run = student_of(trained.path, tmp_path / "run", make_settings(modality), profile_of(modality))
    assert run.record.teacher_digest == found.record.weights_digest
    assert trained_epochs(run) == (2, 2)
    assert run.settings.strategy == "distill"


def test_fine_tuning_counts_what_was_shown(trained: Run) -> None:
    settings = trained.settings
    both = settings.changed(strategy="distill", start="teacher", teacher_epochs=1, student_epochs=1)
    wanted = fine_tune_settings(both, None, None, 0, "cpu")
    assert fine_tune_settings(settings, None, None, 0, "cpu", trained_epochs(trained)[0]) == wanted


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("preset", ["quick", "standard", "paper"])
def test_it_has_the_epochs_of_teacher_and_student_together(modality: str, preset: str) -> None:
    profile = load_profile(PROFILES[modality])
    usual = settings_for(profile, preset, device="cpu")
    settings = settings_for(profile, preset, strategy="e2e", device="cpu")
    assert settings.student_epochs == usual.teacher_epochs + usual.student_epochs
    assert (settings.teacher_epochs, settings.start, settings.strategy) == (0, "fresh", "e2e")
    assert not settings.has_teacher
    named = settings_for(profile, preset, strategy="e2e", student_epochs=3, device="cpu")
    assert (named.teacher_epochs, named.student_epochs) == (0, 3)


def test_an_older_record_is_of_a_distilled_run(make_settings: Make) -> None:
    stored = {name: value for name, value in make_settings().model_dump(mode="json").items() if name != "strategy"}
    assert type(make_settings()).from_record(stored).strategy == "distill"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ladder": "real"}, "ladder real: is about a teacher"),
        ({"teacher_epochs": 3}, "teacher_epochs 3: is about a teacher"),
        ({"start": "teacher"}, "start teacher: is about a teacher"),
        ({"losses": "effective"}, "losses effective: is about a teacher"),
        ({"weighting": "gradient"}, "weighting gradient: is about a teacher"),
        ({"weight_decoder": 0.1}, "weight_decoder 0.1: is about a teacher"),
        ({"weight_encoder": 1}, "weight_encoder 1: is about a teacher"),
        ({"weight_output": 0.5}, "weight_output 0.5: is about a teacher"),
        ({"teacher": "runs/x"}, "teacher runs/x: is about a teacher"),
        ({"only_teacher": True}, "only_teacher True: is about a teacher"),
        ({"student_epochs": 0}, "student_epochs 0: optics that are learnt take 1 or more"),
    ],
)
def test_what_is_about_a_teacher_is_refused(values: dict[str, Any], said: str) -> None:
    for name in PROFILES.values():
        with pytest.raises(InputError) as caught:
            settings_for(load_profile(name), strategy="e2e", device="cpu", **values)
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)


def test_what_says_that_there_is_none_is_taken(profile_of: Callable[[str], Any]) -> None:
    without = {"teacher_epochs": 0, "start": "fresh", "weight_decoder": 0, "weight_encoder": 0, "weight_output": 0}
    assert settings_for(profile_of("mri"), strategy="e2e", device="cpu", **without).strategy == "e2e"


def test_the_published_method_has_its_end_to_end_baseline(profile_of: Callable[[str], Any]) -> None:
    settings = settings_for(profile_of("mri"), strategy="e2e", recipe="published", device="cpu")
    assert (settings.optics_start, settings.decoder, settings.learning_rate) == ("random", "back-projection", 5e-4)
    assert not settings.guided


def test_optics_that_are_given_are_not_learnt_end_to_end(profile_of: Callable[[str], Any]) -> None:
    profile = profile_of("single-pixel")
    levels = np.random.default_rng(5).integers(0, 2, (9, 10, 10), dtype=np.uint8)
    design = PatternStack(levels, 1, "complementary", profile.id, profile.digest)
    with pytest.raises(InputError, match=r"strategy e2e: the optics are given \(mine\), not learnt"):
        settings_for(profile, "quick", GivenDesign("mine", design), strategy="e2e", device="cpu")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"teacher_epochs": 1}, "teacher_epochs 1: is about a teacher"),
        ({"teacher": "x"}, "teacher x: "),
        ({"start": "teacher"}, "start teacher: is about a teacher"),
        ({"design": "mine"}, r"strategy e2e: the optics are given \(mine\)"),
        ({"weight_output": 0.1}, "weight_output 0.1: there is no teacher"),
    ],
)
def test_settings_that_contradict_themselves(change: dict[str, Any], said: str, make_settings: Make) -> None:
    settings = make_settings(**END_TO_END)
    with pytest.raises(InputError, match=said):
        settings.changed(**change)
