"""Full-basis Hadamard captures as a bench for any patterns, and captures of some rows."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.linalg import hadamard

from cidesign.calibration.single_pixel.full_basis.rows import HadamardRows, known_orders
from cidesign.errors import FileError, InputError
from cidesign.modalities.single_pixel.fixed_designs import hadamard_patterns
from cidesign.modalities.single_pixel.full_basis.compare import (
    measure,
    pattern_sets,
    reconstruct_hadamard,
    reconstruct_spas,
)
from cidesign.modalities.single_pixel.full_basis.row_images import best_linear, shrunk
from cidesign.pattern.hadamard import hadamard_order_rows
from cidesign.physics.base import ImagePrior
from cidesign.runs import Run

REAL = Path(__file__).parents[3] / ".." / "shared" / "data" / "spi" / "denbo313_hologram"
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
    record = outcome.value
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
    full = outcome.leaves[0].array
    assert record["scale_divisor"] == pytest.approx(200 * np.percentile(f_scene(16), 99.5), rel=0.05)
    assert full * record["scale_divisor"] / 200 == pytest.approx(f_scene(16), abs=0.06)
    outcome.write(tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.tiff"))) == 7


def test_region_is_chosen_and_scale_does_not_matter(make_run: MakeRun, capture: Path) -> None:
    run = make_run(patterns=100)
    first, last = reconstruct_hadamard(run, capture, 0), reconstruct_hadamard(run, capture, 2)
    assert first.value["scale_divisor"] < 0.01 * last.value["scale_divisor"]
    assert first.value["table"][0]["psnr_db"] == pytest.approx(last.value["table"][0]["psnr_db"], abs=0.7)
    assert "region 0 of 3" in first.value["notes"]
    with pytest.raises(InputError, match="holds regions 0 to 2"):
        reconstruct_hadamard(run, capture, 3)


def test_a_full_basis_of_another_size_is_its_image(make_run: MakeRun, capture: Path, f_scene: MakeScene) -> None:
    outcome = reconstruct_hadamard(make_run(side=8, patterns=20), capture, None)
    images, unit = dict(outcome.images), f_scene(16) * 200 / outcome.value["scale_divisor"]
    assert list(images) == ["measured_inverse", "measured_linear", "measured_tv"]
    for name in ("measured_inverse", "measured_tv"):
        assert images[name] == pytest.approx(unit, abs=0.1)
    # Its bound of the noise is that of the fine detail.
    assert np.corrcoef(images["measured_linear"].ravel(), unit.ravel())[0, 1] > 0.97
    assert any(
        "the run's patterns are 8 x 8, so neither they nor its decoder are compared" in n for n in outcome.remarks
    )
    assert "order of the readings: natural, verified" in outcome.remarks
    assert outcome.value["readings"]["order"] == "natural"


def test_a_dark_capture_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    np.savez(tmp_path / "dark.npz", data=np.zeros((1, 256)))
    with pytest.raises(FileError, match="no positive values"):
        reconstruct_hadamard(make_run(), tmp_path / "dark.npz", None)


def test_the_order_is_put_right_told_and_recorded(
    make_run: MakeRun, capture: Path, f_scene: MakeScene, tmp_path: Path
) -> None:
    natural = reconstruct_hadamard(make_run(), capture, None)
    readings = np.load(capture)["data"][:, hadamard_order_rows(16)["sequency"]]
    np.savez(tmp_path / "walsh.npz", data=readings / 2 + readings[:, :1] / 2)
    outcome = reconstruct_hadamard(make_run(), tmp_path / "walsh.npz", None, order="sequency", patterns="0/1")
    assert outcome.leaves[0].array[1:] == pytest.approx(natural.leaves[0].array[1:], abs=1e-5)
    assert outcome.value["readings"]["order"] == "sequency"
    assert outcome.value["readings"]["order_status"] == "stated"
    assert outcome.remarks[:2] == [
        "patterns of 0 and 1, as stated: half of the first reading is taken off all",
        "order of the readings: sequency, stated",
    ]
    assert natural.value["readings"]["order"] == "natural"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real captures are not here")
def test_the_real_car(make_run: MakeRun) -> None:
    outcome = reconstruct_hadamard(make_run(side=32, patterns=102), REAL / "Car_boat.npz", None)
    rows = {(row["patterns"], row["reconstruction"]): row for row in outcome.value["table"]}
    assert outcome.value["region_label"] == "region 16 (roi 129 px)"
    assert rows["hadamard", "linear"]["psnr_db"] > 22
    assert rows["hadamard", "linear"]["correlation"] > 0.9
    assert rows["hadamard", "linear"]["psnr_db"] > rows["random", "linear"]["psnr_db"] + 2
    assert any("pixel (0, 0) is the image's mean to 0.7%" in note for note in outcome.remarks)


def write_spas(folder: Path, scene: NDArray[np.float64], rows: NDArray[np.intp], noise_counts: float = 0.0) -> Path:
    """A SPAS capture of the Walsh rows named, at two wavelengths, the second twice as bright."""
    side = len(scene)
    line = np.array(sorted(hadamard(side).tolist(), key=lambda row: np.count_nonzero(np.diff(row))))
    signed = np.kron(line, line)[rows]
    light = np.stack([(signed > 0) @ scene.reshape(-1), (signed < 0) @ scene.reshape(-1)], axis=1).reshape(-1)
    readings = np.rint(700 + 100 * light[:, None] * np.array([1.0, 2.0]))
    readings += np.random.default_rng(0).normal(0, noise_counts, readings.shape)
    order = np.stack([2 * rows, 2 * rows + 1], axis=1).reshape(-1)
    with np.printoptions(threshold=10**6):
        printed = str(order)
    objects = [
        {"class_description": "Metadata", "pattern_prefix": f"Walsh_{side}x{side}"},
        {"class_description": "DMD parameters", "picture_time_us": 1400},
        {"class_description": "Spectrometer parameters", "integration_time_ms": 1.0},
        {
            "class_description": "Acquisition parameters", "pattern_dimension_x": side, "pattern_dimension_y": side,
            "patterns": printed, "wavelengths": "[500.0000, 600.0000]", "timestamps": str([1.4] * (len(order) - 1)),
        },
    ]  # fmt: skip
    np.savez(folder / "f_spectraldata.npz", spectral_data=readings)
    (folder / "f_metadata.json").write_text(json.dumps(objects))
    return folder / "f"


def test_spas_full_basis(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    """In the order of SPAS, or shuffled: the F, in units of its percentile, compared like any full basis."""
    scene, rng = f_scene(16), np.random.default_rng(0)
    for rows in (np.arange(256), rng.permutation(256)):
        path = write_spas(tmp_path, scene, rows, noise_counts=20)
        outcome = reconstruct_spas(make_run(patterns=100), path, (550.0, 650.0))
        assert outcome.value["reader"] == "spas"
        assert outcome.value["scale_divisor"] == pytest.approx(200 * np.percentile(scene, 99.5), rel=0.05)
        assert outcome.leaves[0].array == pytest.approx(scene / np.percentile(scene, 99.5), abs=0.1)
        assert len(outcome.value["table"]) == 6
        # Two readings of 20 counts in each pair, a sixteenth of that in y.
        wanted = 20 * 2**0.5 / outcome.value["scale_divisor"] / 16
        assert outcome.value["noise_variance"] ** 0.5 == pytest.approx(wanted, rel=0.15)
        assert not outcome.value["noise_is_upper_bound"]
    both = reconstruct_spas(make_run(patterns=100), path, None)
    assert both.value["scale_divisor"] == pytest.approx(1.5 * outcome.value["scale_divisor"], rel=0.05)


def test_spas_some_rows(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    """The coarse rows alone: the F is near and upright, whichever reconstruction is taken."""
    scene = f_scene(16)
    rows = np.array([16 * i + j for i in range(12) for j in range(12) if i + j < 14])
    path = write_spas(tmp_path, scene, np.random.default_rng(1).permutation(rows), noise_counts=20)
    outcome = reconstruct_spas(make_run(patterns=100), path, None)
    images = dict(outcome.images)
    unit = scene * 300 / outcome.value["scale_divisor"]
    errors = {name: float(np.sqrt(np.mean((image - unit) ** 2))) for name, image in images.items()}
    # The coarse rows hold strokes of 2 pixels, so the zeros for the others fit this scene better than any prior.
    assert errors["measured_zero_filled"] < errors["measured_linear"] < 0.1
    # The U-Net of an untrained run adds nothing.
    assert errors["measured_decoder"] == pytest.approx(errors["measured_linear"], rel=0.02)
    assert errors["measured_tv"] < 0.1
    for turned in (scene[::-1], scene[:, ::-1], scene.T, scene[::-1, ::-1]):
        wrong = float(
            np.sqrt(np.mean((images["measured_linear"] - turned * 300 / outcome.value["scale_divisor"]) ** 2))
        )
        assert wrong > 1.5 * errors["measured_linear"]
    table = {row["reconstruction"]: row for row in outcome.value["table"]}
    assert table["zero_filled"]["chi_square_reduced"] == pytest.approx(0, abs=1e-6)  # orthogonal rows fit exactly
    assert 0 < table["linear"]["chi_square_reduced"] < 2
    assert any(f"{len(rows)} of 256 Hadamard rows were measured" in note for note in outcome.remarks)
    outcome.write(tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.tiff"))) == 4


def test_spas_of_another_size_is_its_image(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    path = write_spas(tmp_path, f_scene(16), np.arange(256), noise_counts=20)
    outcome = reconstruct_spas(make_run(side=8, patterns=20), path, None)
    unit = f_scene(16) * 300 / outcome.value["scale_divisor"]
    assert outcome.images.measured_inverse == pytest.approx(unit, abs=0.05)


LETTER = np.kron(np.array([[0, 1, 1, 1], [0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]]), np.ones((8, 8))) * 0.8 + 0.1


@pytest.mark.parametrize("kind", ["signed", "0/1", "pairs"])
@pytest.mark.parametrize("size", [(32, 32), (32, 16), (24, 32)])
def test_a_letter_from_some_patterns(make_run: MakeRun, tmp_path: Path, size: tuple[int, int], kind: str) -> None:
    """Of a third of the patterns, in an order that begins with the coarse ones where there is one; upright."""
    scene = LETTER[:: 32 // size[0]][: size[0], :: 32 // size[1]]
    order = "cake-cutting" if "cake-cutting" in known_orders(size) else "natural-2d"
    rows = known_orders(size)[order]
    y = rows.readings(scene)[: rows.count // 3 if order == "cake-cutting" else 2 * rows.count // 3]
    shown = {"signed": y, "0/1": (y[0] + y) / 2, "pairs": np.stack([y[0] + y, y[0] - y], axis=1).ravel() / 2}[kind]
    np.savez(tmp_path / "letter.npz", data=1000 * shown)
    outcome = reconstruct_hadamard(
        make_run(side=32, patterns=102), tmp_path / "letter.npz", None, order=order, size=f"{size[0]}x{size[1]}"
    )
    names = ["zero_filled", "linear", "decoder", "tv"] if size == (32, 32) else ["zero_filled", "linear", "tv"]
    assert list(outcome.images) == [f"measured_{name}" for name in names]
    found = {name: float(np.corrcoef(image.ravel(), scene.ravel())[0, 1]) for name, image in outcome.images.items()}
    assert found["measured_tv"] > 0.9
    assert found["measured_tv"] > found["measured_zero_filled"] - 0.02
    flipped = [
        float(np.corrcoef(outcome.images.measured_tv.ravel(), other.ravel())[0, 1])
        for other in (scene[::-1], scene[:, ::-1])
    ]
    assert max(flipped) < 0.8
    record = outcome.value
    assert (record["patterns"], record["pixels"]) == (len(y), scene.size)
    assert record["readings"]["order"] == order
    assert any(
        "Hadamard rows were measured; what the others would have read is not known" in n for n in outcome.remarks
    )


def test_spas_captures_that_cannot_be_used(make_run: MakeRun, f_scene: MakeScene, tmp_path: Path) -> None:
    path = write_spas(tmp_path, f_scene(16), np.arange(1, 60))
    with pytest.raises(FileError, match=r"first pattern .* was not read; it sets the scale"):
        reconstruct_spas(make_run(), path, None)
    with pytest.raises(InputError, match="no wavelength of"):
        reconstruct_spas(make_run(), path, (700.0, 800.0))
    with pytest.raises(FileError, match="no positive values"):
        reconstruct_spas(make_run(), write_spas(tmp_path, -f_scene(16), np.arange(60)), None)


def test_the_linear_image_of_rows_is_the_full_formula() -> None:
    """Patterns of 4 x 8, by the matrices written out; of all rows, each coefficient shrunk by itself."""
    rng = np.random.default_rng(1)
    rows = known_orders((4, 8))["sequency"]
    variance = torch.from_numpy(rng.uniform(0.01, 1, (1, 4, 8)))
    prior = ImagePrior(torch.tensor([0.4]), torch.eye(1), variance)
    down, across = (dct(np.eye(side), axis=0, norm="ortho") for side in (4, 8))
    basis = np.kron(down, across)
    covariance = basis.T @ np.diag(variance.numpy().ravel()) @ basis
    readings = rows.readings(rng.random((4, 8))) + rng.normal(0, 0.3, 32)
    for count in (11, 32):
        some = HadamardRows(rows.size, rows.orders, rows.numbers[:count])
        matrix = some.signed().reshape(count, -1).astype(float) / 32**0.5
        gain = covariance @ matrix.T @ np.linalg.inv(matrix @ covariance @ matrix.T + 0.05 * np.eye(count))
        wanted = 0.4 + gain @ (readings[:count] / 32**0.5 - 0.4 * matrix.sum(axis=1))
        found = best_linear(some.signed(), readings[:count], prior, 0.05)
        np.testing.assert_allclose(found.ravel(), wanted, atol=1e-5)
    np.testing.assert_allclose(shrunk(rows.image(readings), prior, 0.05).ravel(), wanted, atol=1e-5)
