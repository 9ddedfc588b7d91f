"""Full-basis Hadamard captures as a bench for any patterns."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import hadamard

from cidesign.errors import FileError, InputError
from cidesign.physics.designs import hadamard_patterns
from cidesign.reconstruct.hadamard import measure, pattern_sets, reconstruct_hadamard
from cidesign.reconstruct.outcome import write_outcome
from cidesign.runs import Run

REAL = Path(__file__).parents[2] / ".." / "shared" / "data" / "spi" / "denbo313_hologram"
MakeRun = Callable[..., Run]
MakeScene = Callable[[int], NDArray[np.float64]]


@pytest.fixture
def capture(tmp_path: Path, f_scene: MakeScene) -> Path:
    """Three regions of an F in arbitrary units; the last is the brightest."""
    rng = np.random.default_rng(0)
    readings = hadamard(256) @ f_scene(16).reshape(-1)
    regions = [gain * (readings + rng.normal(0, 0.2, 256)) for gain in (10.0, 200.0, 3000.0)]
    np.savez(tmp_path / "f.npz", data=np.stack(regions), n=16)
    return tmp_path / "f.npz"


def test_readings_follow_from_the_full_basis(f_scene: MakeScene) -> None:
    """The readings of Hadamard rows are those rows of the capture, in units of n."""
    scene = f_scene(16)
    readings = hadamard(256) @ scene.reshape(-1)
    image = (hadamard(256) @ readings / 256).reshape(16, 16)
    patterns = hadamard_patterns(16, 30, "sequency")
    wanted = [readings[int(np.flatnonzero((hadamard(256) == p.reshape(-1)).all(axis=1))[0])] / 16 for p in patterns]
    assert measure(patterns, image) == pytest.approx(np.array(wanted))


def test_the_same_number_of_patterns_in_every_set() -> None:
    student = np.ones((30, 16, 16), dtype=np.float32)
    sets = pattern_sets(student)
    assert {name: len(stacks) for name, stacks in sets.items()} == {"student": 1, "hadamard": 1, "random": 5}
    assert all(signed.shape == (30, 16, 16) for stacks in sets.values() for signed in stacks)
    assert len({signed.tobytes() for signed in sets["random"]}) == 5


def test_table_of_a_capture(make_run: MakeRun, f_scene: MakeScene, capture: Path, tmp_path: Path) -> None:
    run = make_run(patterns=100)
    outcome = reconstruct_hadamard(run, capture, None)
    record = outcome.record
    assert (record["region"], record["patterns"], record["pixels"]) == (1, 100, 256)
    rows = {(row["patterns"], row["reconstruction"]): row for row in record["table"]}
    assert set(rows) == {(p, r) for p in ("student", "hadamard", "random") for r in ("linear", "decoder")}
    assert rows["random", "linear"]["draws"] == 5
    assert rows["random", "linear"]["psnr_db_deviation"] > 0
    # The U-Net of an untrained run adds nothing: the decoder is the best linear estimate.
    for name in ("student", "hadamard", "random"):
        assert rows[name, "decoder"]["psnr_db"] == pytest.approx(rows[name, "linear"]["psnr_db"], abs=0.05)
    # Untrained (random) patterns are random ones; on a smooth object low sequency is far better.
    assert rows["student", "linear"]["psnr_db"] == pytest.approx(rows["random", "linear"]["psnr_db"], abs=1.5)
    assert rows["hadamard", "linear"]["psnr_db"] > rows["random", "linear"]["psnr_db"] + 2
    # The scale is the 99.5th percentile of the image in the middle region, 200 times the F.
    full = outcome.images[0].image
    assert record["scale_divisor"] == pytest.approx(200 * np.percentile(f_scene(16), 99.5), rel=0.05)
    assert full * record["scale_divisor"] / 200 == pytest.approx(f_scene(16), abs=0.06)
    write_outcome(tmp_path / "out", outcome, force=False)
    assert len(list((tmp_path / "out").glob("*.tiff"))) == 7


def test_region_is_chosen_and_scale_does_not_matter(make_run: MakeRun, capture: Path) -> None:
    run = make_run(patterns=100)
    first, last = reconstruct_hadamard(run, capture, 0), reconstruct_hadamard(run, capture, 2)
    assert first.record["scale_divisor"] < 0.01 * last.record["scale_divisor"]
    assert first.record["table"][0]["psnr_db"] == pytest.approx(last.record["table"][0]["psnr_db"], abs=0.7)
    assert first.record["notes"][0] == "region 0 of 3"
    with pytest.raises(InputError, match="holds regions 0 to 2"):
        reconstruct_hadamard(run, capture, 3)


def test_another_size_is_refused(make_run: MakeRun, capture: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is 16 x 16, the run's patterns are 8 x 8; use a run with --side 16"):
        reconstruct_hadamard(make_run(side=8, patterns=20), capture, None)
    np.savez(tmp_path / "dark.npz", data=-np.eye(1, 256))
    with pytest.raises(FileError, match="no positive values"):
        reconstruct_hadamard(make_run(), tmp_path / "dark.npz", None)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real captures are not here")
def test_the_real_car(make_run: MakeRun) -> None:
    outcome = reconstruct_hadamard(make_run(side=32, patterns=102), REAL / "Car_boat.npz", None)
    rows = {(row["patterns"], row["reconstruction"]): row for row in outcome.record["table"]}
    assert outcome.record["region_label"] == "region 16 (roi 129 px)"
    assert rows["hadamard", "linear"]["psnr_db"] > 22
    assert rows["hadamard", "linear"]["correlation"] > 0.9
    assert rows["hadamard", "linear"]["psnr_db"] > rows["random", "linear"]["psnr_db"] + 2
    assert any("pixel (0, 0) is the image's mean to 0.7%" in note for note in outcome.remarks)
