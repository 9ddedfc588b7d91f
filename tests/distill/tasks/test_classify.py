"""A run of classes from its pictures to the class of a capture: trained, resumed bit by bit, calibrated, and read."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from cidesign.benchwork import calibrate, open_calibration, reconstruct, reconstruct_with_reader, simulate, student
from cidesign.distill.comparison.evaluation import EvaluationListener, evaluate_run
from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.presets import settings_for
from cidesign.distill.tasks.classify import standard_error
from cidesign.distill.teachers import open_teacher
from cidesign.errors import FileError, InputError
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.models.system import load_student, load_teacher
from cidesign.reconstruct.fine_tune import fine_tune_for
from cidesign.reconstruct.stored import open_reconstruction
from cidesign.report.run_report import write_report
from cidesign.runs import Run
from cidesign.testing.training import Killed, StopAt

SIDE = 16
CLASSES = ("left", "right", "top")
TINY: dict[str, Any] = {
    "side": SIDE, "patterns": 40, "images": 96, "validation_images": 40, "batch": 16, "channels": 8, "threads": 1,
    "teacher_epochs": 3, "student_epochs": 2, "weight_decoder": 0.3, "weight_encoder": 0.1, "device": "cpu",
}  # fmt: skip


def _scene(name: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A bar on one side of a dim ground; left and right are mirror images."""
    picture = rng.integers(10, 50, (SIDE, SIDE), dtype=np.uint8)
    start, end = int(rng.integers(1, 4)), int(rng.integers(12, 15))
    bar = picture[start:end, 2:6]
    bar += np.uint8(170)
    return {"left": picture, "right": picture[:, ::-1], "top": picture.T}[name]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 pictures of each class, in a folder of its own."""
    folder = tmp_path_factory.mktemp("data") / "digits"
    rng = np.random.default_rng(1)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(np.ascontiguousarray(_scene(name, rng))).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def trained(digits: Path, profile_of: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> SinglePixelRun:
    """A run that nobody changes."""
    profile = profile_of("single-pixel")
    settings = settings_for(profile, task="classify", data=str(digits), **TINY)
    run = start_run(tmp_path_factory.mktemp("classify") / "run", settings, profile, False, Listener())
    return SinglePixelRun(run.path)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A scene of each class that no run was trained on."""
    folder, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(7)
    paths = {name: folder / f"{name}.png" for name in CLASSES}
    for name, path in paths.items():
        Image.fromarray(np.ascontiguousarray(_scene(name, rng))).save(path)
    return paths


@pytest.fixture(scope="module")
def calibration(trained: SinglePixelRun, scenes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of a bench that is as it was designed."""
    folder = tmp_path_factory.mktemp("bench")
    simulate(trained, folder / "capture", scene=scenes["left"], seed=1)
    calibrate(trained, folder / "capture", folder / "calibration")
    return open_calibration(folder / "calibration", trained)


def test_the_record_of_a_run_of_classes(trained: SinglePixelRun) -> None:
    settings, metrics = trained.settings, trained.record.metrics
    assert settings.classes == CLASSES
    assert metrics["validation_images"] == 6
    for name in ("teacher", "student"):
        accuracy, error = metrics[f"{name}_accuracy_percent"], metrics[f"{name}_accuracy_error_percent"]
        assert accuracy >= 80
        assert error == pytest.approx(100 * standard_error(accuracy / 100, 6))
        assert error > 10
        assert 0 <= metrics[f"{name}_log_loss"] < np.log(3)
    lines = [json.loads(line) for line in (trained.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["teacher"] * 3 + ["student"] * 2
    assert all({"accuracy_percent", "log_loss"} <= line.keys() for line in lines)
    for term in ("task", "decoder", "encoder"):
        assert lines[-1][f"gradient_{term}"] > 0
    teacher = load_teacher(trained)
    assert teacher is not None
    assert teacher.digest() == trained.record.teacher_digest


def _bits(path: Path) -> dict[str, bytes]:
    found = {}
    for name in ("student.safetensors", "teacher.safetensors"):
        found |= {f"{name}:{key}": value.numpy().tobytes() for key, value in load_file(path / name).items()}
    return found | {"design": str(Run(path).design.design_digest).encode()}


def test_a_stored_teacher_of_other_classes_is_refused(trained: SinglePixelRun, digits: Path, tmp_path: Path) -> None:
    """Its decoder has logits for its own classes; a student of these alone takes it."""
    taken = trained.settings.changed(classes=(), teacher=str(trained.path), teacher_epochs=0, student_epochs=1)
    teacher = open_teacher(trained.path)
    assert start_run(tmp_path / "alike", taken, trained.profile, False, Listener(), teacher=teacher).complete
    other = shutil.copytree(digits, tmp_path / "digits")
    (other / "left").rename(other / "up")
    named = taken.changed(data=str(other))
    with pytest.raises(InputError, match=r"tells left, right, top apart, and .*digits has right, top, up; name a"):
        start_run(tmp_path / "run", named, trained.profile, False, Listener(), teacher=teacher)
    assert not (tmp_path / "run").exists()


# 6 steps an epoch, 18 of the teacher: within an epoch, at the end of the teacher's, at the student's first and later.
@pytest.mark.parametrize(("step", "exception"), [(4, Interrupted), (18, Killed), (19, Interrupted), (29, Killed)])
def test_a_resumed_run_of_classes_has_the_same_bits(
    step: int, exception: type[BaseException], trained: SinglePixelRun, tmp_path: Path
) -> None:
    fresh = trained.settings.changed(classes=())
    with pytest.raises(exception):
        start_run(tmp_path / "run", fresh, trained.profile, False, StopAt(step, exception))
    assert resume_run(tmp_path / "run", Listener()).complete
    assert _bits(tmp_path / "run") == _bits(trained.path)
    assert Run(tmp_path / "run").settings == trained.settings


def test_a_picture_in_another_class_is_noticed(trained: SinglePixelRun, digits: Path, tmp_path: Path) -> None:
    """The pixels are the same; what they are called is not."""
    copy = shutil.copytree(digits, tmp_path / "digits")
    fresh = trained.settings.changed(classes=(), data=str(copy))
    with pytest.raises(Interrupted):
        start_run(tmp_path / "run", fresh, trained.profile, False, StopAt(3, Interrupted))
    (copy / "left").rename(copy / "lefT")
    with pytest.raises(FileError, match="are not those that this run started with"):
        resume_run(tmp_path / "run", Listener())


def test_data_without_classes_is_refused_before_training(trained: SinglePixelRun, digits: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in CLASSES:
        for picture in (digits / name).iterdir():
            shutil.copy(picture, flat / f"{name}-{picture.name}")
    settings = trained.settings.changed(classes=(), data=str(flat))
    with pytest.raises(InputError, match="flat: task classify: a class for every picture is needed: a folder for each"):
        start_run(tmp_path / "run", settings, trained.profile, False, Listener())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", CLASSES)
def test_a_capture_is_of_its_class(
    name: str, trained: SinglePixelRun, scenes: dict[str, Path], calibration: Any, tmp_path: Path
) -> None:
    capture = simulate(trained, scene=scenes[name], seed=5).capture
    found = reconstruct(trained, capture, calibration, tmp_path / "images")
    classes = found.classes
    assert classes is not None
    assert classes.best == name
    assert set(classes.probabilities) == set(CLASSES)
    assert sum(classes.probabilities.values()) == pytest.approx(1)
    # Six validation images leave room for one error in eight.
    assert 0.5 < classes.probabilities[name] <= 1 - (1 - 1 / 3) / 8 + 1e-9
    assert list(found.images) == ["lmmse", "tikhonov", "tv"]
    text = found.table()
    assert f"class: {name} (probability " in text
    assert "32 redraws of noise and calibration say so)" in text
    assert "their one temperature was fitted on 6 validation images" in text
    assert "held-out readings: an image made without every tenth reading" in text
    with (tmp_path / "images" / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["class"]: float(row["probability"]) for row in rows} == pytest.approx(
        dict(classes.probabilities), abs=1e-6
    )
    assert rows[0]["class"] == name
    stored = open_reconstruction(tmp_path / "images")
    assert stored.classes is not None
    assert dict(stored.classes.probabilities) == dict(classes.probabilities)
    np.testing.assert_array_equal(stored.images.lmmse, found.images.lmmse)


def test_the_operator_decides(trained: SinglePixelRun, scenes: dict[str, Path]) -> None:
    """Told patterns that lie mirrored, the decoder sees the mirror image: left is right."""
    decoder, encoder = student(trained), load_student(trained).encoder
    signed = trained.design.signed()
    image = np.asarray(Image.open(scenes["left"]), np.float32) / 255
    y = decoder.operator.A(image)
    assert y.shape == (40,)
    right = decoder(y)
    assert right.shape == (3,)
    assert CLASSES[int(right.argmax())] == "left"
    mirrored = SinglePixelEncoder.fixed(np.ascontiguousarray(signed[:, :, ::-1]))
    with torch.no_grad():
        wrong = load_student(trained).decoder(torch.from_numpy(y)[None], mirrored).prediction[0]
        again = load_student(trained).decoder(mirrored.A(torch.from_numpy(image)[None, None]), mirrored).prediction[0]
    assert CLASSES[int(wrong.argmax())] == "right"
    # A bench that is mirrored, and an operator that says so.
    assert CLASSES[int(again.argmax())] == "left"
    assert encoder.A(torch.zeros(1, 1, SIDE, SIDE)).shape == (1, 40)


def test_a_mirrored_bench_is_not_called_passed(trained: SinglePixelRun, scenes: dict[str, Path]) -> None:
    """Without a calibration the class is that of the mirror image; the last line says that nobody verified it."""
    capture = simulate(trained, scene=scenes["left"], seed=5, faults={"mirror": 1}).capture
    found = reconstruct(trained, capture)
    assert found.classes is not None
    assert found.classes.best == "right"
    assert found.judgement is not None
    assert found.judgement.verdict == "not verified"
    assert "not verified" in found.table().splitlines()[-1].lower()


def test_evaluate_compares_accuracies(trained: SinglePixelRun, digits: Path, tmp_path: Path) -> None:
    copy = Run(shutil.copytree(trained.path, tmp_path / "run"))
    found = evaluate_run(copy, None, True, EvaluationListener())
    assert [row.name for row in found.rows][:3] == ["student", "teacher (real)", "E2E"]
    assert len(found.rows) > 4
    metrics = trained.record.metrics
    for row, name in zip(found.rows, ("student", "teacher"), strict=False):
        for metric in ("accuracy_percent", "accuracy_error_percent", "log_loss"):
            assert row.images[metric] == pytest.approx(metrics[f"{name}_{metric}"], abs=1e-4)
    text = found.text()
    for heading in ("accuracy %", "standard error %", "log loss"):
        assert heading in text
    assert "a difference within two standard errors, and a little more, is chance" in text
    assert "PSNR" not in text
    held_out = tmp_path / "digits"
    for name in CLASSES[:2]:
        (held_out / name).mkdir(parents=True)
        for number in range(3):
            scene = np.ascontiguousarray(_scene(name, np.random.default_rng(90 + number)))
            Image.fromarray(scene).save(held_out / name / f"{number}.png")
    other = evaluate_run(copy, str(held_out), False, EvaluationListener())
    assert len(other.measured.images) == 6
    assert other.rows[0].images["accuracy_percent"] >= 80
    (held_out / "left").rename(held_out / "up")
    with pytest.raises(InputError, match="class up: the run knows left, right and top alone"):
        evaluate_run(copy, str(held_out), False, EvaluationListener())


def test_the_report_shows_classes(
    trained: SinglePixelRun, scenes: dict[str, Path], calibration: Any, tmp_path: Path
) -> None:
    copy = Run(shutil.copytree(trained.path, tmp_path / "run"))
    capture = simulate(trained, scene=scenes["top"], seed=5).capture
    found = reconstruct(trained, capture, calibration, tmp_path / "images")
    assert found.classes is not None
    page = write_report(copy, [tmp_path / "images"], False).page.read_text()
    assert "accuracy / %" in page
    assert "on the 6 validation images" in page
    assert "The decoder names classes and makes no images" in page
    assert "Class: top (probability " in page
    assert f"<td>{found.classes.probabilities['top']:.3f}</td>" in page.replace(' class="number"', "")


def test_what_a_run_of_classes_does_not_do(trained: SinglePixelRun, calibration: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its decoder names classes, and only decoders of images are fine-tuned"):
        fine_tune_for(trained, calibration.path)
    np.save(tmp_path / "readings.npy", np.arange(256.0))
    with pytest.raises(InputError, match=r"--reader hadamard: compares images that decoders make, .* names classes"):
        reconstruct_with_reader(trained, tmp_path / "readings.npy", "hadamard")


def test_patterns_that_exist_are_classified_too(
    trained: SinglePixelRun, profile_of: Callable[[str], Any], tmp_path: Path
) -> None:
    """With a design that is given, the decoder alone is trained."""
    from cidesign.distill.given import GivenDesign

    given = GivenDesign("mine", trained.design)
    words = {name: value for name, value in TINY.items() if name not in ("side", "patterns", "weight_encoder")}
    profile = profile_of("single-pixel")
    settings = settings_for(profile, "quick", given, task="classify", data=trained.settings.data, **words)
    assert settings.decoder == "classifier"
    run = start_run(tmp_path / "run", settings, profile, False, Listener(), trained.design)
    assert run.design.design_digest == trained.design.design_digest
    assert run.record.metrics["student_accuracy_percent"] >= 80
    with pytest.raises(InputError, match="student_epochs 0: a decoder of classes knows nothing untrained"):
        settings_for(
            profile, "quick", given, task="classify", data="x", teacher_epochs=0, student_epochs=0, device="cpu"
        )
