"""The fine-tuned decoder of a calibration folder: what is written, what is refused, and which operators are drawn."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.files import sha256_file, write_json
from cidesign.modalities.cassi.family import CassiFamily
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.modalities.mri.family import COIL_MAP_ERROR, ECHO_ERROR_SAMPLES, KspaceFamily
from cidesign.modalities.mri.solve import calibrated_encoder
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.models.system import load_student
from cidesign.pattern import CartesianLines
from cidesign.physics.noise import PixelNoise
from cidesign.physics.operator_family import GAIN_TOLERANCE
from cidesign.reconstruct.fine_tuned import (
    RECORD_FILE,
    WEIGHTS_FILE,
    FineTuneRecord,
    StoredMean,
    StoredQuality,
    StoredSelfSupervision,
    StoredSettings,
    digests,
    load_decoder_for,
    read_fine_tune_record,
    read_verification,
    write_fine_tuned,
)

PASSED = Verification(score=None, score_meaning="", checks=[Check(name="place", status="passed", text="as fitted")])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As much of a calibration as a decoder is bound to."""
    path = tmp_path / "calibration"
    path.mkdir()
    write_json(path / "calibration.json", {"verification": PASSED.model_dump(mode="json")})
    return path


def record_for(run: SinglePixelRun, folder: Path, kept: bool = True) -> FineTuneRecord:
    better = StoredMean(mean=0.5 if kept else -0.5, standard_error=0.01)
    level = StoredMean(mean=20.0, standard_error=0.5)
    quality = StoredQuality(blind=None, linear=level, before=level, after=level, conditioning=None, gain=better)
    student, calibration = digests(run, folder)
    settings = StoredSettings(
        epochs=1, images=8, validation_images=8, batch=4, learning_rate=1e-3, seed=0, precision="float32", device="cpu"
    )
    return FineTuneRecord(
        schema_version=1, kind="fine-tune", modality="single-pixel", cidesign_version="0.1.0",
        created_utc="2026-01-01T00:00:00+00:00", run=str(run.path), student_sha256=student,
        calibration_sha256=calibration, decoder_sha256=None, kept=kept, settings=settings, choosing=better,
        reported=quality, self_supervised=None, seconds=1.0, notes=[],
    )  # fmt: skip


def other_decoder(run: SinglePixelRun) -> Any:
    decoder = load_student(run).decoder
    decoder.get_parameter("unet.last.weight").add_(0.25)
    return decoder


def test_the_student_takes_the_decoder_of_the_calibration(make_run: Callable[..., Any], folder: Path) -> None:
    run = make_run()
    files = {path.name: path.read_bytes() for path in run.path.iterdir()}
    plain, remarks = load_decoder_for(run, folder)
    assert (remarks, bool(plain.decoder.get_parameter("unet.last.weight").any())) == ([], False)
    written = write_fine_tuned(folder, other_decoder(run), record_for(run, folder))
    assert written.decoder_sha256 == sha256_file(folder / WEIGHTS_FILE)
    assert read_fine_tune_record(folder) == written
    system, remarks = load_decoder_for(run, folder)
    assert torch.equal(
        system.decoder.get_parameter("unet.last.weight"), other_decoder(run).get_parameter("unet.last.weight")
    )
    assert not system.training
    assert not any(parameter.requires_grad for parameter in system.parameters())
    assert torch.equal(system.encoder.weight, plain.encoder.weight)
    assert "fine-tuned for this calibration" in remarks[0]
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == files


def test_a_decoder_that_did_not_improve_is_not_written(make_run: Callable[..., Any], folder: Path) -> None:
    run = make_run()
    write_fine_tuned(folder, other_decoder(run), record_for(run, folder, kept=False))
    assert not (folder / WEIGHTS_FILE).exists()
    system, remarks = load_decoder_for(run, folder)
    assert not system.decoder.get_parameter("unet.last.weight").any()
    assert "did not improve" in remarks[0]
    assert "-0.500 ± 0.010" in remarks[0]


def test_a_worse_result_leaves_an_earlier_one(make_run: Callable[..., Any], folder: Path) -> None:
    run = make_run()
    write_fine_tuned(folder, other_decoder(run), record_for(run, folder))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_fine_tuned(folder, load_student(run).decoder, record_for(run, folder, kept=False))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_decoder_of_another_student_is_left_alone(make_run: Callable[..., Any], folder: Path) -> None:
    run, other = make_run(), make_run(patterns=41)
    write_fine_tuned(folder, other_decoder(run), record_for(run, folder))
    system, remarks = load_decoder_for(other, folder)
    assert not system.decoder.get_parameter("unet.last.weight").any()
    assert "fine-tuned from the student of" in remarks[0]


def test_a_decoder_that_saw_a_capture_says_so(make_run: Callable[..., Any], folder: Path) -> None:
    run = make_run()
    step = StoredSelfSupervision(
        capture="scene-7", kept=True, steps=20, held_out=8, residual_before=9.0, residual_after=7.0,
        psnr_change=StoredMean(mean=0.01, standard_error=0.02),
    )  # fmt: skip
    write_fine_tuned(folder, other_decoder(run), record_for(run, folder).model_copy(update={"self_supervised": step}))
    _, remarks = load_decoder_for(run, folder)
    assert "to the readings of scene-7; the latter changed it by +0.010 ± 0.020 dB" in remarks[0]


def test_held_out_readings_are_read_by_their_earlier_name() -> None:
    step = {
        "capture": "scene-7", "kept": True, "steps": 20, "held_back": 8, "residual_before": 9.0, "residual_after": 7.0,
        "psnr_change": {"mean": 0.01, "standard_error": 0.02},
    }  # fmt: skip
    assert StoredSelfSupervision.model_validate(step).held_out == 8


def change_calibration(folder: Path) -> None:
    write_json(folder / "calibration.json", {"verification": PASSED.model_dump(mode="json"), "scale": 2})


def cut_weights(folder: Path) -> None:
    (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:-4])


def lose_weights(folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()


def lose_record(folder: Path) -> None:
    (folder / RECORD_FILE).unlink()


def age_record(folder: Path) -> None:
    raw = json.loads((folder / RECORD_FILE).read_text())
    write_json(folder / RECORD_FILE, {**raw, "schema_version": 2})


def spoil_record(folder: Path) -> None:
    raw = json.loads((folder / RECORD_FILE).read_text())
    write_json(folder / RECORD_FILE, {**raw, "seconds": -1})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change_calibration, "is not the one that the decoder was fine-tuned for"),
        (cut_weights, "is not the file that fine_tune.json names"),
        (lose_weights, "decoder.safetensors is missing"),
        (lose_record, "without fine_tune.json"),
        (age_record, "has schema version 2"),
        (spoil_record, "seconds"),
    ],
)
def test_what_does_not_fit_is_refused(
    make_run: Callable[..., Any], folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    run = make_run()
    write_fine_tuned(folder, other_decoder(run), record_for(run, folder))
    damage(folder)
    with pytest.raises(FileError, match=message):
        load_decoder_for(run, folder)


def test_weights_of_another_decoder_are_refused(make_run: Callable[..., Any], folder: Path) -> None:
    run, wide = make_run(), make_run(side=24)
    write_fine_tuned(folder, wide_decoder := load_student(wide).decoder, record_for(run, folder))
    assert wide_decoder.prior_variance.shape != load_student(run).decoder.prior_variance.shape
    with pytest.raises(FileError, match="damaged or of another decoder"):
        load_decoder_for(run, folder)


def test_the_verification_of_a_folder_is_read_or_missed(folder: Path) -> None:
    assert read_verification(folder) == PASSED
    write_json(folder / "calibration.json", {})
    with pytest.raises(FileError, match="holds no verification"):
        read_verification(folder)


LINES = CartesianLines(16, 16, np.array([2, 6, 7, 8, 9, 12]), 4, "mri-generic-3t", "0" * 64)


def test_coil_maps_change_smoothly_and_the_echo_moves() -> None:
    maps = coil_maps(3, 16, 5).astype(np.complex64)
    maps[:, :4] = 0
    family = KspaceFamily(calibrated_encoder(LINES, maps, 0.01))
    rng = np.random.default_rng(0)
    drawn = [family.draw(rng).encoder for _ in range(200)]
    ratios = np.stack([encoder.coil_maps.numpy()[:, 4:] / maps[:, 4:] for encoder in drawn])
    # What the coils have in common is the echo; the rest are errors of a few percent.
    errors = np.abs(ratios - ratios.mean(axis=1, keepdims=True))
    assert np.sqrt((errors**2).mean() * 3 / 2) == pytest.approx(COIL_MAP_ERROR, rel=0.15)
    assert np.sqrt((np.abs(np.diff(ratios, axis=2)) ** 2).mean()) < 0.7 * COIL_MAP_ERROR
    steps = np.angle((ratios[..., 1:] * ratios[..., :-1].conj()).sum(axis=(1, 2, 3))) * 16 / (2 * np.pi)
    assert steps.std() == pytest.approx(ECHO_ERROR_SAMPLES, rel=0.35)
    assert all(torch.equal(encoder.choice(), family.centre.choice()) for encoder in drawn[:3])
    x = torch.ones(2, 2, 16, 16)
    assert not family.scene(x)[..., :4, :].any()
    assert torch.equal(family.scene(x)[..., 4:, :], x[..., 4:, :])


def test_one_coil_has_no_map_to_be_wrong() -> None:
    family = KspaceFamily(calibrated_encoder(LINES, np.ones((1, 16, 16), np.complex64), 0.01))
    moved = family.draw(np.random.default_rng(0)).encoder.coil_maps.abs()
    assert torch.allclose(moved, torch.ones_like(moved))


def test_masks_are_shifted_together_along_both_axes() -> None:
    """On a ramp, a shift adds itself to what every band is seen with."""
    bands, error_px = 3, 0.2
    to_code = np.stack([np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -k]]) for k in range(bands)])
    operator = CassiOperator(np.ones((bands, 12, 12), np.float32), to_code, np.ones(bands), (12, 14))
    family = CassiFamily.around(operator, error_px, PixelNoise(1e9, 0.0, float(bands)))
    rows = torch.arange(12.0)[:, None].expand(12, 12)
    ramps = torch.stack([rows, rows.T])[:, None].expand(2, bands, 12, 12)
    rng = np.random.default_rng(3)
    centre = family.centre.A(ramps)
    moved = []
    for _ in range(300):
        drawn = family.draw(rng)
        assert 1 - GAIN_TOLERANCE <= drawn.gain <= 1 + GAIN_TOLERANCE
        # Where all bands are seen, away from the borders of the code.
        moved.append(((drawn.encoder.A(ramps) - centre)[:, 2:-2, 4:-4].mean(dim=(1, 2)) / bands).numpy())
    assert np.std(moved, axis=0) == pytest.approx([error_px, error_px], rel=0.15)
    assert np.abs(np.corrcoef(np.array(moved).T)[0, 1]) < 0.2
