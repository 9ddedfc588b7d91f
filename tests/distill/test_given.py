"""A design that is given: the optics never move, the run keeps its copy, and resumes with the same bits."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.distill.comparison.compare import Comparison
from cidesign.distill.given import GivenDesign
from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.presets import settings_for
from cidesign.errors import FileError, InputError, LimitError
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.models.system import load_student, load_teacher
from cidesign.pattern import ApertureMask, CartesianLines, Design, Encoding, PatternStack
from cidesign.report.run_report import write_report
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run
from cidesign.testing.training import Killed, StopAt

SMALL: dict[str, Any] = {
    "images": 64, "validation_images": 16, "batch": 16, "channels": 4, "device": "cpu", "precision": "float32",
}  # fmt: skip


def _design(modality: str, profile: Any, encoding: Encoding = "complementary") -> Design:
    rng = np.random.default_rng(5)
    if modality == "single-pixel":
        levels = rng.integers(0, 2, (9, 10, 10), dtype=np.uint8)
        return PatternStack(levels, 1, encoding, profile.id, profile.digest)
    if modality == "cassi":
        levels = np.kron(rng.integers(0, 2, (12, 12), dtype=np.uint8), np.ones((1, 1), dtype=np.uint8))
        return ApertureMask(levels, float(profile.pixel_pitch_um.value), profile.id, profile.digest)
    return CartesianLines(16, 16, np.array([1, 5, 7, 8, 9, 14]), 3, profile.id, profile.digest)


def _settings(modality: str, profile: Any, **changes: Any) -> tuple[TrainingSettings, Design]:
    design = _design(modality, profile, changes.pop("encoding", "complementary"))
    values = {**SMALL, "teacher_epochs": 1, "student_epochs": 1, **changes}
    if values.get("decoder") == "linear":
        del values["channels"], values["teacher_epochs"], values["student_epochs"]
    return settings_for(profile, "quick", GivenDesign("mine", design), **values), design


def _bits(path: Path) -> dict[str, bytes]:
    names = ("teacher.safetensors", "student.safetensors", "design.npz", "given_design.npz")
    return {name: (path / name).read_bytes() for name in names if (path / name).exists()}


@pytest.mark.parametrize(
    ("modality", "changes"),
    [
        *(("single-pixel", changes) for changes in ({}, {"teacher_epochs": 0}, {"decoder": "linear"})),
        *((modality, changes) for modality in ("cassi", "mri") for changes in ({}, {"decoder": "linear"})),
    ],
)
def test_the_design_of_the_run_is_the_one_that_was_given(
    modality: str, changes: dict[str, Any], tmp_path: Path, profile_of: Callable[[str], Any]
) -> None:
    settings, design = _settings(modality, profile_of(modality), **changes)
    run = start_run(tmp_path / "run", settings, profile_of(modality), False, Listener(), design)
    assert run.complete
    assert run.design.design_digest == design.design_digest
    assert run.settings.design == "mine"
    given = run.given_design()
    assert given is not None
    assert given.design_digest == design.design_digest
    student = load_student(run)
    x = torch.rand(2, student.decoder.prior_mean.numel(), *student.decoder.prior_variance.shape[-2:])
    if modality == "single-pixel":
        wanted = x.flatten(1) @ torch.from_numpy(design.signed()).flatten(1).T / 10  # type: ignore[union-attr]
        torch.testing.assert_close(student.encoder.A(x), wanted)
    assert (load_teacher(run) is None) == (settings.teacher_epochs == 0)
    assert (run.path / "teacher.safetensors").exists() == bool(settings.teacher_epochs)
    if changes.get("decoder") == "linear":
        y = student.encoder.A(x)
        out = student.decoder(y, student.encoder).prediction
        assert torch.equal(out, student.decoder.linear_estimate(y, student.encoder))
        assert settings.student_epochs == 0
    else:
        assert run.record.metrics["student_psnr_db"] >= run.record.metrics["student_linear_psnr_db"] - 0.3
    names = [row.name for row in Comparison(run, None).own()]
    assert names[0] == ("linear" if changes.get("decoder") == "linear" else "student")
    assert len(names) == (2 if settings.teacher_epochs else 1)


@pytest.mark.parametrize("decoder", ["unet", "linear"])
def test_a_report_of_a_given_design(decoder: str, tmp_path: Path, profile_of: Callable[[str], Any]) -> None:
    for modality in ("single-pixel", "cassi", "mri"):
        settings, design = _settings(modality, profile_of(modality), decoder=decoder, teacher_epochs=0)
        run = start_run(tmp_path / modality, settings, profile_of(modality), False, Listener(), design)
        page = write_report(run, (), False).page.read_text()
        assert design.design_digest in page
        assert ("only the decoder was trained" in page) == (decoder == "unet")
        # There is no teacher, and with the linear decoder no student: nothing is said of them.
        assert "eacher" not in page.replace("teacher_epochs", "").replace("<td>teacher</td>", "").replace(
            "only_teacher", ""
        )
        assert ("Student:" in page) == (decoder == "unet")


# 64 / 16 = 4 steps an epoch.
@pytest.mark.parametrize(
    ("step", "exception", "teacher_epochs"),
    [(2, Killed, 0), (4, Interrupted, 0), (4, Interrupted, 1), (5, Killed, 1), (7, Interrupted, 1)],
)
def test_resume_gives_the_same_bits(
    step: int, exception: type[BaseException], teacher_epochs: int, tmp_path: Path, profile_of: Callable[[str], Any]
) -> None:
    profile = profile_of("single-pixel")
    settings, design = _settings(
        "single-pixel", profile, teacher_epochs=teacher_epochs, student_epochs=2 - teacher_epochs
    )
    whole = start_run(tmp_path / "whole", settings, profile, False, Listener(), design)
    with pytest.raises(exception):
        start_run(tmp_path / "broken", settings, profile, False, StopAt(step, exception), design)
    assert not Run(tmp_path / "broken").complete
    assert resume_run(tmp_path / "broken", Listener()).complete
    assert _bits(tmp_path / "broken") == _bits(whole.path)


def test_another_design_in_the_folder_is_noticed(tmp_path: Path, profile_of: Callable[[str], Any]) -> None:
    profile = profile_of("single-pixel")
    settings, design = _settings("single-pixel", profile)
    with pytest.raises(Interrupted):
        start_run(tmp_path / "run", settings, profile, False, StopAt(2, Interrupted), design)
    assert isinstance(design, PatternStack)
    other = PatternStack(1 - design.levels, 1, "complementary", profile.id, profile.digest)
    kept = (tmp_path / "run" / "given_design.npz").read_bytes()
    other.save(tmp_path / "run" / "given_design.npz")
    with pytest.raises(FileError, match=r"given_design.npz is not the design that run.json names"):
        resume_run(tmp_path / "run", Listener())
    (tmp_path / "run" / "given_design.npz").unlink()
    with pytest.raises(FileError, match=r"given_design.npz is missing"):
        resume_run(tmp_path / "run", Listener())
    (tmp_path / "run" / "given_design.npz").write_bytes(kept)
    # A checkpoint of the same settings and another design of the same name is another run's.
    with pytest.raises(Interrupted):
        start_run(tmp_path / "other", settings, profile, False, StopAt(2, Interrupted), other)
    shutil.copy(tmp_path / "other" / "checkpoint" / "state.safetensors", tmp_path / "run" / "checkpoint")
    with pytest.raises(FileError, match="checkpoint of a run with other settings"):
        resume_run(tmp_path / "run", Listener())


def test_patterns_as_shown_are_measured_as_they_are(tmp_path: Path, profile_of: Callable[[str], Any]) -> None:
    """Nothing is subtracted: weights 0 and 1, whatever the decoder; E2E learns such patterns too."""
    profile = profile_of("single-pixel")
    settings, design = _settings("single-pixel", profile, encoding="as-shown", teacher_epochs=1)
    assert isinstance(design, PatternStack)
    run = start_run(tmp_path / "run", settings, profile, False, Listener(), design)
    student = load_student(run)
    assert isinstance(student.encoder, SinglePixelEncoder)
    assert torch.equal(student.encoder.signed(), torch.from_numpy(design.levels).float())
    teacher = load_teacher(run)
    assert teacher is not None
    assert isinstance(teacher.encoder, SinglePixelEncoder)
    assert float(teacher.encoder.signed().min()) >= 0
    assert float(teacher.encoder.signed().max()) <= 1
    comparison = Comparison(run, None)
    rows = {name: comparison.other(name, lambda report: None) for name in ("E2E", "random")}
    assert rows["E2E"].images["psnr_db"] > 5
    assert (tmp_path / "run" / "baselines").is_dir()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"side": 32}, "side 32: the design mine has 10; leave it out"),
        ({"patterns": 5}, "patterns 5: the design mine has 9; leave it out"),
        ({"bit_depth": 2}, "bit_depth 2: the design mine has 1; leave it out"),
        ({"weight_encoder": 0.1}, "weight_encoder 0.1: moves optics, which are given; leave it out"),
        ({"teacher_epochs": 0, "weight_decoder": 0.1}, "weight_decoder 0.1: there is no teacher"),
        (
            {"decoder": "linear", "student_epochs": 3, "channels": None},
            "student_epochs 3: the decoder linear learns nothing, and the optics are given; leave it out",
        ),
    ],
)
def test_what_contradicts_the_design_is_refused(
    changes: dict[str, Any], text: str, profile_of: Callable[[str], Any]
) -> None:
    profile = profile_of("single-pixel")
    with pytest.raises((InputError, LimitError)) as caught:
        settings_for(profile, "quick", GivenDesign("mine", _design("single-pixel", profile)), **{**SMALL, **changes})
    assert text in str(caught.value)


@pytest.mark.parametrize("name", ["teacher_epochs", "student_epochs"])
def test_no_epochs_are_for_a_design_that_is_given(name: str, profile_of: Callable[[str], Any]) -> None:
    with pytest.raises(InputError, match=f"{name} 0: optics that are learnt take 1 or more"):
        settings_for(profile_of("single-pixel"), "quick", **{**SMALL, name: 0})


def test_the_linear_decoder_trains_optics(tmp_path: Path, profile_of: Callable[[str], Any]) -> None:
    """Where the optics are not given, they are learnt through the linear estimate."""
    profile = profile_of("single-pixel")
    values = {**SMALL, "channels": None, "decoder": "linear", "side": 8, "patterns": 6}
    settings = settings_for(profile, "quick", **values, teacher_epochs=1, student_epochs=1)
    run = start_run(tmp_path / "run", settings, profile, False, Listener())
    assert run.record.metrics["student_psnr_db"] == pytest.approx(run.record.metrics["student_linear_psnr_db"])
    assert load_teacher(run) is not None
