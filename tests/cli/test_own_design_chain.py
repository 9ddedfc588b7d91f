"""A design that exists, through every command: without training, and with a decoder trained for it."""

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cidesign as ci
from cidesign.data.procedural import dead_leaves
from cidesign.errors import FileError, InputError
from cidesign.pattern import PatternStack
from cidesign.pattern.hadamard import hadamard_rows, sequency_order

Command = Callable[..., Any]
DATA = Path(__file__).parents[2].parent / "shared" / "data"
SIDE = 16


def _scene() -> NDArray[np.float64]:
    pictures = dead_leaves(16, SIDE, 2**34) / 255.0
    scene: NDArray[np.float64] = pictures[pictures.std(axis=(1, 2)).argmax()]
    return scene


def _design(folder: Path, encoding: str, count: int = 100) -> Path:
    """Hadamard patterns in sequency order, as somebody's file."""
    rows = hadamard_rows(SIDE, sequency_order(SIDE)[:count])
    np.save(folder / "mine.npy", rows if encoding != "as-shown" else (rows > 0).astype(np.uint8))
    ci.design(folder / "mine.npy", "dlp4500", folder / "design", encoding=encoding)
    return folder / "design"


def _likeness(image: NDArray[np.floating]) -> float:
    return float(np.corrcoef(image.reshape(-1), _scene().reshape(-1))[0, 1])


@pytest.mark.parametrize("encoding", ["complementary", "offset", "as-shown"])
def test_without_training(encoding: str, cidesign: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """design, check, export, simulate, calibrate, reconstruct, report: the folder of the design is all there is."""
    monkeypatch.chdir(tmp_path)
    design = _design(tmp_path, encoding).relative_to(tmp_path)
    np.save("scene.npy", _scene())
    for words in (
        ["check", design],
        ["export", design],
        ["check", design / "export"],
        ["calibrate", "--plan", "--run", design],
        ["simulate", design, "--scene", "scene.npy"],
        ["calibrate", design / "capture", "--run", design],
        ["reconstruct", design, design / "capture", "--calibration", design / "calibration"],
    ):
        done = cidesign(*words)
        assert done.code == 0, (words, done.err)
    record = json.loads((design / "images" / "reconstruction.json").read_text())
    assert record["run"] == str(design)
    assert record["verdict"] == "passed"
    assert list(record["images"]) == ["linear", "tikhonov", "tv"]
    assert record["images"]["linear"]["psnr_db"] > 20
    assert record["images"]["tv"]["psnr_db"] > 20
    done = cidesign("report", design, "--include", design / "images")
    assert done.code == 0, done.err
    assert (design / "report.html").is_file()
    assert "singular_values" in {path.stem for path in (design / "figures").iterdir()}


@pytest.mark.parametrize("encoding", ["complementary", "offset", "as-shown"])
@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_readings_alone(
    suffix: str, encoding: str, cidesign: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of readings and the patterns are enough for an image, which nobody has verified."""
    monkeypatch.chdir(tmp_path)
    design = _design(tmp_path, encoding)
    stack = ci.open_design(design).design
    assert isinstance(stack, PatternStack)
    light = stack.displayed().reshape(len(stack.frames()), -1) @ _scene().reshape(-1)
    readings = 40.0 + 2.5 * light + np.random.default_rng(0).normal(size=light.size)
    if suffix == "csv":
        np.savetxt("readings.csv", readings, header="reading", comments="")
    else:
        np.save("readings.npy", readings)
    done = cidesign("reconstruct", "--design", design, f"readings.{suffix}", "--out", "out", "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["verdict"] == "not verified"
    assert {one["check"] for one in record["not_looked_at"]} >= {"place of the patterns", "evenness of the light"}
    assert record["units"].startswith("arbitrary")
    for name in ("linear", "tv"):
        assert _likeness(np.load(tmp_path / "out" / f"{name}.npz")["image"]) > 0.92, name
    again = ci.reconstruct(design, f"readings.{suffix}")
    np.testing.assert_array_equal(again.images.linear, np.load(tmp_path / "out" / "linear.npz")["image"])
    # The decoder of a run takes them too.
    image = ci.reconstruct(ci.open_design(design), f"readings.{suffix}").images.tv
    assert _likeness(image) > 0.92


def test_a_decoder_is_trained_for_the_design(
    cidesign: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    design = _design(tmp_path, "complementary", 40).relative_to(tmp_path)
    small = ["--set", "images=64", "--set", "validation_images=16", "--set", "batch=16", "--set", "channels=4"]
    epochs = ["--teacher-epochs", "1", "--student-epochs", "1"]
    done = cidesign("distill", "--design", design, "--out", "run", *small, *epochs)
    assert done.code == 0, done.err
    assert "40 patterns of 16 x 16" in done.err
    assert f"as they are in {design}" in done.err
    assert ci.open_run("run").design.design_digest == ci.open_design(design).design.design_digest
    for words in (
        ["export", "run"],
        ["simulate", "run"],
        ["calibrate", "run/capture", "--run", "run"],
        ["reconstruct", "run", "run/capture", "--calibration", "run/calibration"],
        ["report", "run", "--include", "run/images"],
    ):
        done = cidesign(*words)
        assert done.code == 0, (words, done.err)
    record = json.loads((tmp_path / "run" / "images" / "reconstruction.json").read_text())
    assert list(record["images"]) == ["student", "lmmse", "tikhonov", "tv"]
    assert record["verdict"] == "passed"
    # The whole run is in its folder: the design may go.
    (tmp_path / design).rename(tmp_path / "elsewhere")
    assert cidesign("check", "run").code == 0


def test_a_file_and_a_linear_decoder(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", hadamard_rows(SIDE, sequency_order(SIDE)[:20]))
    run = ci.distill(
        "dlp4500", design=tmp_path / "mine.npy", out=tmp_path / "run", decoder="linear", images=32, validation_images=8
    )
    assert run.settings.student_epochs == run.settings.teacher_epochs == 0
    assert run.settings.side == SIDE
    np.testing.assert_array_equal(run.design.signed(), np.load(tmp_path / "mine.npy"))  # type: ignore[union-attr]
    readings = run.operator.A(_scene())
    assert _likeness(run.student(readings)) > 0.8
    again = ci.distill(design=run.path, out=tmp_path / "again", decoder="linear", images=32, validation_images=8)
    assert again.design.design_digest == run.design.design_digest


def test_wrong_designs_are_one_line_and_nothing_is_written(cidesign: Command, tmp_path: Path) -> None:
    design = _design(tmp_path, "as-shown", 12)
    np.save(tmp_path / "readings.npy", np.arange(13.0))
    before = sorted(path for path in tmp_path.rglob("*"))
    cases = [
        (
            ["reconstruct", "--design", design, tmp_path / "readings.npy"],
            5,
            "13 readings, and the design has 12 patterns",
        ),
        (["reconstruct", "--design", tmp_path / "no", tmp_path / "readings.npy"], 5, "no such design"),
        (["reconstruct", "--design", tmp_path / "mine.npy", tmp_path / "readings.npy"], 2, "cidesign design"),
        (["reconstruct", "--design", design, "run", tmp_path / "readings.npy"], 2, "takes the place of the run"),
        (["distill", "--design", tmp_path / "mine.npy", "--out", tmp_path / "o"], 2, "does not say what device"),
        (["distill", "--design", design, "--profile", "dlp6500", "--out", tmp_path / "o"], 2, "leave --profile out"),
        (["distill", "--design", design, "--patterns", "7", "--out", tmp_path / "o"], 2, "has 12; leave it out"),
        (["distill", "--design", design, "--set", "design=x", "--out", tmp_path / "o"], 2, "has an option of its own"),
    ]
    for words, code, text in cases:
        done = cidesign(*words)
        assert done.code == code, (words, done.err)
        assert text in done.err
        assert "Traceback" not in done.err
    assert sorted(path for path in tmp_path.rglob("*")) == before
    with pytest.raises(InputError, match="a profile is needed"):
        ci.distill()
    with pytest.raises(FileError, match="no such design"):
        ci.distill(design=tmp_path / "no")


def test_patterns_of_mirrors_are_not_reconstructed_with(cidesign: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "mirrors.npy", np.random.default_rng(0).integers(0, 2, (2, 1140, 912), dtype=np.uint8))
    ci.design(tmp_path / "mirrors.npy", "dlp4500", tmp_path / "design")
    np.save(tmp_path / "readings.npy", np.arange(2.0))
    done = cidesign("reconstruct", "--design", tmp_path / "design", tmp_path / "readings.npy")
    assert done.code == 2
    assert "912 x 1140 mirrors, not of n x n super-pixels" in done.err


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")
def test_seventy_two_patterns_of_three_pictures_reach_the_device(tmp_path: Path) -> None:
    """24-bit pictures of 24 planes each, of another lab: bit for bit in what the emulator shows."""
    with zipfile.ZipFile(DATA / "dmd" / "lightcrafter4500_24bit_bmp.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".bmp"))[:3]
        archive.extractall(tmp_path, names)
    done = ci.design([tmp_path / name for name in names], "dlp4500", tmp_path / "design", planes=24, channels="GRB")
    assert isinstance(done.design, PatternStack)
    assert done.design.count == 72
    exported = ci.export(done)
    with ci.emulate("dlp4500", render=tmp_path / "shown") as port:
        ci.upload(exported, port, start=True, repeats=1)
        # The device goes on by itself; a busy machine renders what it has shown a little later.
        until = time.monotonic() + 120
        while len(frames := sorted((tmp_path / "shown").glob("*.png"))) < 72 and time.monotonic() < until:
            time.sleep(0.2)
    from PIL import Image

    shown = np.stack([np.asarray(Image.open(path)) > 0 for path in frames])
    np.testing.assert_array_equal(shown[:72], done.design.levels.astype(bool))


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")
def test_a_real_hadamard_capture_of_another_lab(tmp_path: Path) -> None:
    """32 x 32 differences in natural order; the first, of all mirrors, was set to a number by its authors."""
    stored = np.load(DATA / "spi" / "denbo313_hologram" / "Car_boat.npz")
    region = len(stored["data"]) // 2
    np.save(tmp_path / "patterns.npy", hadamard_rows(32, np.arange(1024)))
    np.savetxt(tmp_path / "readings.csv", stored["data"][region], fmt="%d")
    ci.design(tmp_path / "patterns.npy", "dlp4500", tmp_path / "design")
    found = ci.reconstruct(tmp_path / "design", tmp_path / "readings.csv")
    full = hadamard_rows(32, np.arange(1024)).reshape(1024, -1).T @ stored["data"][region] / 1024
    for image in (found.images.linear, found.images.tv):
        assert np.corrcoef(image.reshape(-1)[1:], full[1:])[0, 1] > 0.97
    assert found.record.verdict == "not verified"
    assert any(check.name.startswith("order of readings") and check.status == "passed" for check in found.record.checks)
