"""`cidesign distill --task classify`, as a user types it: what is told, what is asked for, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cidesign as ci

TINY = [
    *("--set", "images=64", "--set", "validation_images=16", "--set", "batch=16", "--set", "channels=4"),
    *("--teacher-epochs", "1", "--student-epochs", "1", "--side", "16", "--patterns", "30"),
    *("--threads", "1", "--device", "cpu"),
]


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Twelve pictures of each of two classes."""
    rng = np.random.default_rng(1)
    for name, columns in (("one", slice(2, 6)), ("two", slice(10, 14))):
        (tmp_path / "digits" / name).mkdir(parents=True)
        for number in range(12):
            picture = rng.integers(0, 40, (16, 16), dtype=np.uint8)
            picture[3:13, columns] += 180
            Image.fromarray(picture).save(tmp_path / "digits" / name / f"{number}.png")
    return tmp_path / "digits"


def _words(data: Path, out: Path) -> list[Any]:
    return ["distill", "--profile", "dlp4500", "--task", "classify", "--data", data, "--out", out, *TINY]


def test_what_is_told_of_a_run_of_classes(cidesign: Callable[..., Any], digits: Path, tmp_path: Path) -> None:
    done = cidesign(*_words(digits, tmp_path / "run"))
    assert done.code == 0
    said = " ".join(done.err.split())
    assert "1 bit, complementary; task classify; run folder" in said
    assert "64 images, of 24 pictures below" in said
    assert "2 classes (one, two)" in said
    assert "pictures are taken whole; 2 others are kept for validation, one image each" in said
    assert "22 pictures are trained on, each about 2.91 times an epoch" in said
    assert "never mirrored or turned" in said
    assert "accuracy %" in done.out
    assert "standard error %" in done.out
    assert "log loss nat" in done.out
    assert "PSNR" not in done.out + done.err
    again = cidesign("distill", "--resume", "--out", tmp_path / "run", "--json")
    assert 0 <= json.loads(again.out)["metrics"]["student_accuracy_percent"] <= 100
    # What cannot be fine-tuned is said before anything is calibrated: no capture has been looked at.
    words = ("--run", tmp_path / "run", "--fine-tune", "--out", tmp_path / "cal")
    refused = cidesign("calibrate", tmp_path / "nothing", *words)
    assert refused.code == 2
    assert "its decoder names classes, and only decoders of images are fine-tuned" in " ".join(refused.err.split())
    assert not (tmp_path / "cal").exists()


def test_the_same_in_python(cidesign: Callable[..., Any], digits: Path, tmp_path: Path) -> None:
    tiny = {"images": 64, "validation_images": 16, "batch": 16, "channels": 4, "teacher_epochs": 1, "student_epochs": 1}
    run = ci.distill(
        "dlp4500", task="classify", data=str(digits), out=tmp_path / "run", side=16, patterns=30, threads=1,
        device="cpu", **tiny,
    )  # fmt: skip
    assert run.settings.classes == ("one", "two")
    assert cidesign(*_words(digits, tmp_path / "typed")).code == 0
    assert ci.open_run(tmp_path / "typed").design.design_digest == run.design.design_digest
    accuracy = ci.evaluate(run, train=False).rows[0].images["accuracy_percent"]
    assert accuracy is not None
    assert 0 <= accuracy <= 100


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "task classify: procedural images have no classes; give --data"),
        (
            ["--data", "{digits}/one"],
            "one: task classify: a class for every picture is needed: a folder for each class",
        ),
        (["--data", "{digits}", "--decoder", "unet"], "decoder unet: it does not predict classes"),
        (["--data", "{digits}", "--set", "stages=3"], "stages: no such setting here"),
    ],
)
def test_what_is_refused(
    more: list[str], said: str, cidesign: Callable[..., Any], digits: Path, tmp_path: Path
) -> None:
    words = [word.format(digits=digits) for word in more]
    done = cidesign("distill", "--profile", "dlp4500", "--task", "classify", "--out", tmp_path / "run", *words, *TINY)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert not (tmp_path / "run").exists()


def test_a_class_of_one_picture_is_refused(cidesign: Callable[..., Any], digits: Path, tmp_path: Path) -> None:
    (digits / "three").mkdir()
    (digits / "one" / "0.png").rename(digits / "three" / "0.png")
    done = cidesign(*_words(digits, tmp_path / "run"))
    assert done.code == 2
    assert "class three has one picture; each needs two or more (one is held out for validation)" in done.err
