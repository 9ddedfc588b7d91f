"""Scans of shots: the sums, the delay of the gradients, and the gate, against a simulated scanner's own truth."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.calibration.mri.phantom import draw_phantom
from cidesign.calibration.mri.shots.capture import RawShots, Recorded, read_shots_capture, write_shots_capture
from cidesign.calibration.mri.shots.centre import Centre, covered_radius
from cidesign.calibration.mri.shots.delays import estimate_delay
from cidesign.calibration.mri.shots.record import ShotOperator, read_shots_calibration, write_shots_calibration
from cidesign.calibration.mri.shots.twin import shots_record, shots_scanner, simulate_shots
from cidesign.calibration.mri.shots.verify import calibrate_and_verify_shots
from cidesign.checks import Check
from cidesign.errors import FileError, InputError
from cidesign.pattern import NonCartesian

pytest.importorskip("finufft", reason="the extra 'mri' is not installed")
from cidesign.calibration.mri.shots.nufft import ShotSums

SIDE, RASTER_NS = 32, 10_000
rng = np.random.default_rng(3)


def spokes(count: int = 20) -> NonCartesian:
    """Full spokes at a golden angle, none of them along an axis."""
    gradients = np.zeros((count, 69, 2))
    angles = 0.2 + np.arange(count) * 1.94161
    shape = np.minimum(1.0, np.minimum(np.arange(69), np.arange(69)[::-1]) / 2)
    speed = SIDE * 0.96 / 64 / (42.576e6 * 0.2 * 1e-5) * 1e3
    gradients[..., 0], gradients[..., 1] = (speed * shape * f(angles)[:, None] for f in (np.sin, np.cos))
    half = 0.5 * np.sum(gradients[:, 1:] + gradients[:, :-1], axis=1) * 42.576e6 * 0.2 * 1e-8
    return NonCartesian(
        (SIDE, SIDE), 200.0, gradients, -half / 2, RASTER_NS, 64, 10_000, 20_000, "mri-generic-3t", "ab" * 32
    )


def scene() -> np.ndarray[Any, np.dtype[np.complex64]]:
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    body = np.exp(-((rows / 0.3) ** 4 + (columns / 0.25) ** 4)) * (1 + 0.3 * np.sin(14 * columns + 5 * rows))
    return (body / body.max() * np.exp(1j * rows)).astype(np.complex64)


def maps(coils: int = 3) -> np.ndarray[Any, np.dtype[np.complex64]]:
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    places = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    found = np.exp(np.cos(places) * rows * 1.5 + np.sin(places) * columns * 1.5 + 1j * (places + rows))
    return (found / np.sqrt((np.abs(found) ** 2).sum(axis=0))).astype(np.complex64)


def capture(folder: Path, phantom: bool = True, **faults: float) -> RawShots:
    design = spokes()
    scanner = shots_scanner(
        coils=3, gain=0.01, noise=0.01, correlation=0.2, delay_rows_us=1.2, delay_columns_us=-0.6, seed=5,
        scene="a test", faults={name.replace("_", "-"): value for name, value in faults.items()},
    )  # fmt: skip
    drawing = draw_phantom(SIDE, SIDE) if phantom else None
    arrays = simulate_shots(design, scene(), maps(), scanner, drawing)
    write_shots_capture(folder, shots_record(design, scanner, "2026-01-01T00:00:00+00:00"), arrays, False)
    return read_shots_capture(folder)


def checks(raw: RawShots) -> dict[str, Check]:
    return {check.name: check for check in calibrate_and_verify_shots(raw, spokes())[1].checks}


def test_sums_are_those_of_the_definition_and_their_adjoint() -> None:
    points, size = rng.uniform(-6, 6, (4, 7, 2)), (12, 9)
    sums = ShotSums(points, size)
    x = rng.standard_normal((2, *size)) + 1j * rng.standard_normal((2, *size))
    places = [(np.arange(n) - n // 2) / n for n in size]
    waves = np.exp(
        -2j * np.pi * (points[..., 0, None, None] * places[0][:, None] + points[..., 1, None, None] * places[1])
    )
    exact = np.einsum("smhw,bhw->bsm", waves, x) / np.sqrt(np.prod(size))
    assert np.abs(sums.forward(x) - exact).max() < 1e-5
    y = rng.standard_normal(exact.shape) + 1j * rng.standard_normal(exact.shape)
    assert np.vdot(sums.forward(x), y) == pytest.approx(np.vdot(x, sums.adjoint(y)), rel=1e-5)
    operator = ShotOperator(points[..., :2], maps()[:, :12, :9])
    forward = operator.A(x[0].astype(np.complex64))
    assert forward.shape == (3, 4, 7)
    assert np.vdot(forward, np.tile(y[0], (3, 1, 1))) == pytest.approx(
        np.vdot(x[0], operator.A_adjoint(np.tile(y[0], (3, 1, 1)).astype(np.complex64))), rel=1e-4
    )


@pytest.mark.parametrize("delays_ns", [(0.0, 0.0), (2_000.0, -1_000.0), (7_000.0, 4_000.0)])
def test_the_delay_of_gradients_is_found_from_spokes_that_cross(delays_ns: tuple[float, float]) -> None:
    design = spokes()
    y = ShotSums(design.delayed(delays_ns), design.size).forward(maps() * scene())
    deviation = 0.01
    y = y + deviation * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))
    found = estimate_delay(design, y, 2 * deviation**2, covered_radius(design.samples, 12))
    for told, error, true in zip(found.delays_ns, found.errors_ns, delays_ns, strict=True):
        assert error < 50
        assert abs(told - true) < 5 * error
    assert found.left < 2 * found.noise_part
    assert found.left_without >= found.left


def test_gradients_that_come_later_sample_what_was_there_before() -> None:
    design = spokes()
    later = design.delayed((10_000.0, 0.0))
    assert np.abs(later[:, 1:, 0] - design.samples[:, :-1, 0]).max() < 1e-9
    assert np.array_equal(later[..., 1], design.samples[..., 1])
    assert np.abs(design.at(np.array([-1e6]))[:, 0] - design.starts).max() < 1e-12


def test_the_centre_on_the_grid_is_that_of_a_cartesian_scan() -> None:
    design, image = spokes(), scene()
    y = ShotSums(design.samples, design.size).forward(image[None])
    inside = np.linalg.norm(design.samples, axis=2) <= 6
    grid = Centre(design.samples[inside], 6, 1e-6).grid(y[:, inside])
    steps = np.stack(np.meshgrid(np.arange(-6.0, 6), np.arange(-6.0, 6), indexing="ij"), axis=-1)
    exact = ShotSums(steps, design.size).forward(image[None])
    near = np.linalg.norm(steps, axis=2) <= 5
    assert np.abs(grid - exact)[:, near].max() < 0.02 * np.abs(exact).max()


def test_a_sound_scanner_passes_and_its_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    raw, design = capture(tmp_path / "capture"), spokes()
    found, verification = calibrate_and_verify_shots(raw, design)
    assert verification.verdict == "passed"
    assert found.delays_ns == pytest.approx((1_200, -600), abs=60)
    assert (found.noise.variance / 2) ** 0.5 == pytest.approx(1e-4, rel=0.1)
    seen = np.abs(scene()) > 0.3
    likeness = np.abs((found.maps.conj() * maps()).sum(axis=0))[seen]
    assert np.median(likeness) > 0.99
    stored = write_shots_calibration(
        tmp_path / "cal", raw, design, found, verification, "2026-01-01T00:00:00+00:00", False
    )
    again = read_shots_calibration(tmp_path / "cal")
    assert again.record == stored.record
    assert np.array_equal(again.calibration.maps, found.maps)
    examined = again.examine(raw, design)
    assert examined.same
    assert examined.verification.verdict == "passed"
    y = examined.measure()[0]
    assert y.shape == (3, design.shots, 64)
    assert again.operator_for(design).A(scene()).shape == y.shape


def test_without_a_phantom_nothing_is_said_to_be_verified(tmp_path: Path) -> None:
    verification = calibrate_and_verify_shots(capture(tmp_path / "c", phantom=False), spokes())[1]
    assert verification.verdict == "not verified"
    assert [one.check for one in verification.not_looked_at] == ["orientation"]


@pytest.mark.parametrize(
    ("faults", "name", "status", "expected"),
    [
        ({"trajectory_delay": 4.0}, "gradient delay", "corrected", r"\+5\.2\d us \(rows\) and \+3\.4\d us \(columns\)"),
        ({"lost_trigger": 2}, "centre of k-space", "failed", "fits no one image in all shots: shots lost"),
        ({"drift": 120}, "centre of k-space", "failed", "a field that drifts"),
        ({"coil_loss": 1}, "coils", "corrected", "receives nothing; it is left out"),
        ({"mirror": 2}, "orientation", "failed", "gradients run against their names"),
        ({"mirror": 1}, "orientation", "failed", "gradients run against their names"),
    ],
)
def test_faults_are_seen_by_the_check_that_is_for_them(
    tmp_path: Path, faults: dict[str, float], name: str, status: str, expected: str
) -> None:
    found = checks(capture(tmp_path / "c", **faults))[name]
    assert found.status == status, found

    assert re.search(expected, found.text), found.text


def test_a_capture_of_another_delay_contradicts_its_calibration(tmp_path: Path) -> None:
    raw, design = capture(tmp_path / "a"), spokes()
    found, verification = calibrate_and_verify_shots(raw, design)
    stored = write_shots_calibration(tmp_path / "cal", raw, design, found, verification, "2026-01-01T00:00:00", False)
    later = stored.examine(capture(tmp_path / "b", trajectory_delay=3.0), design)
    failed = {check.name for check in later.verification.failed}
    assert failed == {"gradient delay"}


def test_shots_that_do_not_cross_leave_the_delay_unknown(tmp_path: Path) -> None:
    design = spokes(3)
    assert covered_radius(design.samples, 12) < 4


def test_damaged_captures_are_refused(tmp_path: Path) -> None:
    raw = capture(tmp_path / "c")
    with pytest.raises(FileError, match=r"20 shots of 64 samples, the design has|was recorded with design"):
        raw.require_design(spokes(19))
    (tmp_path / "c" / "shots.npz").write_bytes(b"none")
    with pytest.raises(FileError):
        read_shots_capture(tmp_path / "c")
    with pytest.raises(FileError, match=r"no capture of shots \(capture.json is missing\); name a capture folder"):
        read_shots_capture(tmp_path)
    with pytest.raises(InputError, match="scanner: coils 0"):
        shots_scanner(coils=0, gain=1.0, noise=0.1, correlation=0.0, delay_rows_us=0.0, delay_columns_us=0.0, seed=1,
                      scene="x")  # fmt: skip


@pytest.mark.parametrize(("apart_steps", "refused"), [(0.045, False), (0.055, True)])
def test_a_trajectory_is_the_designs_to_a_twentieth_of_a_step(apart_steps: float, refused: bool) -> None:
    design = spokes()
    points = design.samples.astype(np.float64)
    points[7, 11] += np.array([0.6, -0.8]) * apart_steps
    recorded = Recorded(points)
    if refused:
        with pytest.raises(FileError, match=r"sample 11 of shot 7 lies 0\.055 of 1/FOV from it \(limit 0\.05\)"):
            recorded.require_design(Path("scan.h5"), design)
    else:
        recorded.require_design(Path("scan.h5"), design)
