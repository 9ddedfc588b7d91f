"""The gate of an MRI calibration: each fault is found by its name, put right or refused; sound scanners raise none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scanned import COILS, NOISE, SIDE, Faults, check, design, raised, scanned, verified

from cidesign.calibration.mri.capture import write_kspace_capture
from cidesign.calibration.mri.examine import examine
from cidesign.calibration.mri.kspace import RawKspace, at_limit, centred_fft
from cidesign.calibration.mri.phantom import (
    PhantomScan,
    draw_phantom,
)
from cidesign.calibration.mri.plan import scan_plan
from cidesign.calibration.mri.raw.readers import with_phantom
from cidesign.calibration.mri.response import Corrections
from cidesign.calibration.mri.twin import FAULTS, capture_record, scanner_settings
from cidesign.calibration.mri.verify import calibrate_and_verify, verify_stored
from cidesign.calibration.plan import plan_text
from cidesign.checks import FaultName
from cidesign.errors import FileError, InputError, LimitError
from cidesign.orientation import Orientation


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_a_sound_scanner_raises_nothing(tmp_path: Path, coils: int, seed: int) -> None:
    raw = scanned(tmp_path / "capture", coils=coils, seed=seed, oversampling=1 + seed % 2, all_lines=seed == 3)
    calibration, verification = verified(raw)
    assert raised(verification) == {}
    assert calibration.corrections == Corrections()
    assert (verification.score is None) == (coils == 1)
    assert raised(verify_stored(calibration, raw, 0.3)) == {}


# Fault, its strength (None: as usual), the check that finds it, and what becomes of it.
FOUND: list[tuple[FaultName, float | None, str, str]] = [
    ("lost-trigger", None, "order of readouts", "failed"), ("lost-trigger", 3, "order of readouts", "failed"),
    ("drift", None, "phase drift", "corrected"), ("drift", -150, "phase drift", "corrected"),
    ("saturation", None, "range of the receiver", "failed"), ("saturation", 130, "range of the receiver", "failed"),
    ("dark", None, "constant offset", "corrected"), ("dark", 0.1, "constant offset", "corrected"),
    ("mirror", 1, "orientation", "corrected"), ("mirror", 2, "orientation", "corrected"),
    ("shift", None, "position of the phantom", "corrected"), ("shift", -1.5, "position of the phantom", "corrected"),
    ("coil-loss", None, "signal of the coils", "corrected"), ("coil-loss", 3, "signal of the coils", "failed"),
    ("trajectory-delay", None, "echo", "corrected"), ("trajectory-delay", -2.5, "echo", "corrected"),
    ("line-offset", None, "centre along the lines", "failed"), ("line-offset", -1, "centre along the lines", "failed"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "strength", "name", "status"), FOUND)
def test_each_fault_is_found_by_its_name(
    tmp_path: Path, fault: FaultName, strength: float | None, name: str, status: str
) -> None:
    size = FAULTS[fault].default if strength is None else strength
    _, verification = verified(scanned(tmp_path / "capture", {fault: size}))
    found = check(verification, name)
    assert (found.status, found.fault) == (status, fault)
    assert verification.faults == (fault,)
    assert verification.verdict == ("failed" if status == "failed" else "passed")


def test_every_fault_of_scanners_is_tried() -> None:
    assert {fault for fault, *_ in FOUND} == set(FAULTS)


def test_values_of_faults_are_measured(tmp_path: Path) -> None:
    faults: Faults = {"drift": 60, "shift": 3, "dark": 1, "trajectory-delay": 1.5, "mirror": 2}
    raw = scanned(tmp_path / "capture", faults)
    calibration, verification = verified(raw)
    assert set(verification.faults) == set(faults)
    assert check(verification, "phase drift").value == pytest.approx(60, abs=2)
    assert check(verification, "position of the phantom").value == pytest.approx(3, abs=0.05)
    assert check(verification, "constant offset").value == pytest.approx(1, rel=0.1)
    assert check(verification, "echo").value == pytest.approx(1.8, abs=0.2)
    assert calibration.orientation == Orientation(flip_vertical=True)
    assert "--set flip_vertical=true" in check(verification, "orientation").text


def test_several_faults_at_once_are_all_named(tmp_path: Path) -> None:
    faults: Faults = {"lost-trigger": 2, "coil-loss": 1, "saturation": 200, "shift": -4, "mirror": 1}
    _, verification = verified(scanned(tmp_path / "capture", faults, all_lines=True))
    assert set(verification.faults) == set(faults)
    # Where the scene cannot be calibrated from at all, the error names what was found before.
    raw = scanned(tmp_path / "noisy", {"lost-trigger": 2}, noise=0.3)
    with pytest.raises(LimitError, match=r"no signal .* Before that: 2 readout.*resembles: lost-trigger"):
        verified(raw)


def test_a_lost_readout_is_located(tmp_path: Path) -> None:
    raw = scanned(tmp_path / "capture", {"lost-trigger": 1})
    _, verification = verified(raw)
    found = check(verification, "order of readouts")
    assert raw.phantom is not None
    clean = scanned(tmp_path / "clean").phantom
    assert clean is not None
    # The first readout that equals the next one of the sound scan, but for the noise.
    apart = np.abs(raw.phantom.k - clean.k).mean(axis=(0, 2))
    at = int(np.flatnonzero(apart > 1e-9)[0])
    assert f"after the first {at} of the phantom scan" in found.text
    assert f"stored as line {raw.phantom.order[at]} is line {raw.phantom.order[at + 1]}" in found.text


def test_corrections_restore_the_scan(tmp_path: Path) -> None:
    """What is put right equals the scan of a sound scanner, to the noise."""
    sound = scanned(tmp_path / "sound", all_lines=True)
    raw = scanned(tmp_path / "capture", {"drift": 60, "shift": 3, "dark": 1}, all_lines=True)
    calibration, _ = verified(raw)
    put_right = calibration.corrections.apply(raw)

    def apart(other: RawKspace) -> float:
        return float(np.linalg.norm(other.k - sound.k) / np.linalg.norm(sound.k))

    # The same seed: nearly the same noise, which the corrections turn in phase.
    assert apart(put_right) < 0.2 < 0.5 < apart(raw)
    assert raw.noise is not None
    assert sound.noise is not None
    assert put_right.noise is not None
    np.testing.assert_allclose(put_right.noise.mean(axis=1), 0, atol=5e-7)


def test_a_dead_coil_is_left_out_of_maps_and_data(tmp_path: Path) -> None:
    raw = scanned(tmp_path / "capture", {"coil-loss": 1})
    calibration, verification = verified(raw)
    assert calibration.corrections.coils is not None
    assert calibration.coils == len(calibration.corrections.coils) == COILS - 1
    (dead,) = set(range(COILS)) - set(calibration.corrections.coils)
    assert f"coil {dead} of 4 gives noise only" in check(verification, "signal of the coils").text
    assert calibration.measurements(raw).shape == (COILS - 1, SIDE, SIDE)
    with pytest.raises(LimitError, match=r"coil 0 of 1 gives noise only.*this resembles: coil-loss"):
        verified(scanned(tmp_path / "only", {"coil-loss": 1}, coils=1))


def test_an_orientation_that_contradicts_the_phantom_is_refused(tmp_path: Path) -> None:
    raw = scanned(tmp_path / "capture", {"mirror": 1})
    _, verification = verified(raw, Orientation(flip_vertical=True))
    found = check(verification, "orientation")
    assert (found.status, found.fault) == ("failed", "mirror")
    assert "calibrate with --set transpose=false --set flip_vertical=false --set flip_horizontal=true" in found.text
    _, agreed = verified(raw, Orientation(flip_horizontal=True))
    assert check(agreed, "orientation").status == "passed"


def test_without_a_phantom_only_its_checks_are_left_out(tmp_path: Path) -> None:
    raw = scanned(tmp_path / "capture", {"dark": 1, "coil-loss": 1, "saturation": 200}, phantom=False)
    _, verification = verified(raw)
    assert set(verification.faults) == {"dark", "coil-loss", "saturation"}
    left_out = {one.name for one in verification.checks if one.status == "not checked"}
    assert left_out == {
        "orientation", "position of the phantom", "order of readouts", "phase drift", "echo", "phantom"
    }  # fmt: skip
    assert all("no phantom was scanned" in check(verification, name).text for name in left_out)
    assert check(verification, "echo of the object").status == "passed"
    late = scanned(tmp_path / "late", {"trajectory-delay": 3.2}, phantom=False)
    assert check(verified(late)[1], "echo of the object").fault == "trajectory-delay"


@pytest.mark.parametrize(("fault", "strength"), [(fault, None) for fault in FAULTS] + [("mirror", 2), ("dark", 0.2)])
def test_a_scanner_that_changed_after_its_calibration_is_refused(
    tmp_path: Path, fault: FaultName, strength: float | None
) -> None:
    sound = scanned(tmp_path / "sound")
    calibration, _, findings = calibrate_and_verify(sound, design(), None)
    assert findings.phantom is not None
    size = FAULTS[fault].default if strength is None else strength
    later = scanned(tmp_path / "later", {fault: size})
    again = verify_stored(calibration, later, findings.phantom.echo_samples)
    assert again.verdict == "failed"
    assert again.faults[0] == fault
    assert {one.fault for one in again.failed} >= {fault}


def test_what_was_corrected_is_no_fault_afterwards(tmp_path: Path) -> None:
    faults: Faults = {"drift": 60, "shift": 3, "dark": 1, "trajectory-delay": 1.5, "mirror": 1, "coil-loss": 1}
    raw = scanned(tmp_path / "capture", faults)
    calibration, verification, findings = calibrate_and_verify(raw, design(), None)
    assert verification.verdict == "passed"
    assert findings.phantom is not None
    assert raised(verify_stored(calibration, raw, findings.phantom.echo_samples)) == {}
    # Another scan of the same scanner.
    other = scanned(tmp_path / "other", faults, seed=1, noise=0.0101)
    assert raised(verify_stored(calibration, other, findings.phantom.echo_samples)) == {}


def test_wrong_coil_maps_show_in_held_out_lines(tmp_path: Path) -> None:
    raw = scanned(tmp_path / "capture")
    calibration, verification = verified(raw)
    assert verification.score is not None
    assert verification.score < 0.1
    for maps in (calibration.maps[:, ::-1], np.roll(calibration.maps, 1, axis=0)):
        wrong = verify_stored(replace(calibration, maps=np.ascontiguousarray(maps)), raw, 0.3)
        assert check(wrong, "held-out lines").status == "failed"
        assert wrong.score is not None
        assert wrong.score > 0.5


def test_noise_of_another_gain_is_refused(tmp_path: Path) -> None:
    calibration, _ = verified(scanned(tmp_path / "capture"))
    louder = scanned(tmp_path / "louder", gain=2e-3)
    found = check(verify_stored(calibration, louder, 0.3), "noise as calibrated")
    assert found.status == "failed"
    assert found.value == pytest.approx(4, rel=0.15)


def test_noise_scans_that_are_no_noise(tmp_path: Path) -> None:
    raw = scanned(tmp_path / "capture")
    assert raw.noise is not None
    smooth = ((raw.noise + np.roll(raw.noise, 1, axis=1)) / np.sqrt(2)).astype(np.complex64)
    _, verification = verified(replace(raw, noise=smooth))
    assert raised(verification) == {"noise scan": "warning"}
    _, verification = verified(replace(raw, noise=5 * raw.noise))
    assert check(verification, "noise of the image").status == "failed"
    _, verification = verified(replace(raw, noise=None))
    assert check(verification, "constant offset").status == "not checked"
    assert raised(verification) == {}


def test_samples_at_the_limit_are_counted_as_recorded() -> None:
    k = np.array([[1 + 0.5j, -2 + 0.1j, 0.3 - 2j]], dtype=np.complex64)
    assert at_limit(k) == 2
    assert at_limit(np.zeros((1, 3), np.complex64)) == 0


def test_a_phantom_scan_apart(tmp_path: Path) -> None:
    whole = scanned(tmp_path / "capture", {"shift": 3})
    assert whole.phantom is not None
    placed = np.zeros_like(whole.phantom.k)
    placed[:, whole.phantom.order] = whole.phantom.k
    scan = replace(whole, k=placed, lines=np.arange(SIDE), phantom=None, order=np.argsort(whole.phantom.order))
    np.save(tmp_path / "drawing.npy", whole.phantom.picture)
    bare = replace(whole, phantom=None)
    joined = with_phantom(bare, scan, tmp_path / "drawing.npy")
    assert joined.phantom is not None
    np.testing.assert_array_equal(joined.phantom.k, whole.phantom.k)
    np.testing.assert_array_equal(joined.phantom.order, whole.phantom.order)
    assert verified(joined)[1].faults == ("shift",)
    unordered = with_phantom(bare, replace(scan, order=None), tmp_path / "drawing.npy")
    _, verification = verified(unordered)
    assert verification.faults == ("shift",)
    assert check(verification, "phase drift").status == "not checked"


def test_phantom_scans_that_do_not_fit(tmp_path: Path) -> None:
    raw = scanned(tmp_path / "capture", all_lines=True)
    drawing = tmp_path / "drawing.npy"
    np.save(drawing, draw_phantom(SIDE, SIDE))
    part = replace(raw, k=raw.k[:, :-1], lines=raw.lines[:-1])
    with pytest.raises(FileError, match="31 of 32 lines of 32 samples; a phantom is scanned with all 32 lines"):
        with_phantom(raw, part, drawing)
    with pytest.raises(FileError, match=r"2 coils .* 4 were calibrated"):
        with_phantom(raw, replace(raw, k=raw.k[:2]), drawing)
    for wrong, message in (
        (np.ones((4, 4)), "float64 of shape .4, 4.; a drawing is a real picture"),
        (np.full((SIDE, SIDE), np.nan), "a drawing is a real picture"),
        (np.ones((SIDE, SIDE)), "the drawing shows nothing"),
    ):
        np.save(drawing, wrong)
        with pytest.raises(FileError, match=message):
            with_phantom(raw, raw, drawing)


def test_another_phantom_than_drawn_is_refused(tmp_path: Path) -> None:
    raw = scanned(tmp_path / "capture")
    assert raw.phantom is not None
    other = np.random.default_rng(0).random((SIDE, SIDE)) ** 4
    _, verification = verified(replace(raw, phantom=replace(raw.phantom, picture=other)))
    assert check(verification, "phantom").status == "failed"


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("phantom", np.ones((COILS, SIDE, 5), np.complex64), "a phantom scan of shape .4, 32, 5."),
        ("phantom", np.zeros((COILS, SIDE, 2 * SIDE), np.complex64), "the phantom scan or its drawing holds nothing"),
        ("phantom_lines", np.zeros(SIDE, np.int64), "duplicated lines 0"),
        ("phantom_lines", np.arange(1, SIDE + 1), "unexpected lines 32 outside 0 .. 31"),
        ("phantom_truth", np.ones((SIDE, SIDE)), "the phantom scan or its drawing holds nothing"),
        ("phantom_truth", np.ones((SIDE, SIDE), np.complex64), "should hold k, lines, noise, truth, phantom"),
    ],
)
def test_captures_with_a_damaged_phantom_are_refused(
    tmp_path: Path, name: str, array: NDArray[Any], message: str
) -> None:
    raw = scanned(tmp_path / "capture")
    with np.load(tmp_path / "capture" / "kspace.npz") as stored:
        arrays = {**stored, name: array}
    scanner = scanner_settings(
        coils=COILS, gain=1.0, noise=NOISE, correlation=0.0, echo_shift_samples=0.0, oversampling=2, seed=0, scene=""
    )
    assert raw.phantom is not None
    with pytest.raises(FileError, match=message):
        write_kspace_capture(tmp_path / "other", capture_record(design(), scanner, ""), arrays, force=False)


def test_more_coils_than_there_are_cannot_be_lost() -> None:
    with pytest.raises(InputError, match=r"--fault coil-loss=3: the scanner has 2 coil"):
        scanner_settings(
            coils=2, gain=1.0, noise=0.1, correlation=0.0, echo_shift_samples=0.0, oversampling=1, seed=0, scene="",
            faults={"coil-loss": 3},
        )  # fmt: skip


def test_small_phantoms_are_not_looked_at() -> None:
    k = centred_fft(draw_phantom(8, 8)[None].astype(np.complex64), (-2, -1))
    noise = (np.random.default_rng(0).standard_normal((1, 64)) * 1e-3).astype(np.complex64)
    scan = PhantomScan(k, np.arange(8), draw_phantom(8, 8))
    raw = RawKspace(Path("some"), "test", k, np.arange(8), 8, "0" * 64, noise=noise, phantom=scan)
    assert examine(raw).phantom is None


def test_the_plan_says_what_to_scan() -> None:
    text = plan_text(scan_plan(design(), COILS))
    assert "all 32 lines of a phantom" in text
    assert "the 15 lines of the design" in text
    assert "too few" not in text
    assert len(scan_plan(design(4), COILS)) == len(scan_plan(design(4), 1)) + 1
