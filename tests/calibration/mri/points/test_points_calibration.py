"""Simulated 3-D scans: what a calibration of points finds of the scanner, which faults it names, and its folder."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.mri.capture import SimulatedScanner
from cidesign.calibration.mri.kspace import centred_fft
from cidesign.calibration.mri.points.capture import read_points_capture, write_points_capture
from cidesign.calibration.mri.points.record import (
    PointsOperator,
    StoredPointsCalibration,
    read_points_calibration,
    write_points_calibration,
)
from cidesign.calibration.mri.points.twin import points_record, simulate_volume
from cidesign.calibration.mri.points.verify import calibrate_and_verify_volume, verify_stored_volume
from cidesign.calibration.mri.points.volume import RawVolume, placed, require_points
from cidesign.calibration.mri.twin import scanner_settings
from cidesign.checks import FaultName
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.pattern import CartesianPoints, calibration_region

LINES, PARTITIONS, SAMPLES, COILS = 24, 20, 12, 4


def design() -> CartesianPoints:
    mask = np.random.default_rng(5).random((LINES, PARTITIONS)) < 0.4
    mask |= calibration_region((LINES, PARTITIONS), (10, 8)).astype(bool)
    return CartesianPoints(LINES, PARTITIONS, SAMPLES, np.argwhere(mask), (10, 8), "mri-generic-3t", "ab" * 32)


def ellipsoid() -> NDArray[np.complex64]:
    """An object that is its own mirror image along no axis."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (SAMPLES, LINES, PARTITIONS)), indexing="ij")
    body = ((x / 0.8) ** 2 + ((y - 0.1) / 0.8) ** 2 + ((z + 0.1) / 0.75) ** 2 < 1).astype(np.float64)
    body += 0.5 * ((x - 0.2) ** 2 + (y + 0.3) ** 2 + (z - 0.2) ** 2 < 0.1)
    return (body / body.max()).astype(np.complex64)


def coils(count: int = COILS) -> NDArray[np.complex64]:
    """Smooth sensitivities (coils, n, lines, partitions) that differ along all three axes."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (SAMPLES, LINES, PARTITIONS)), indexing="ij")
    angles = 2 * np.pi * np.arange(count)[:, None, None, None] / count
    towards = y * np.cos(angles) + z * np.sin(angles)
    maps = np.exp(0.9 * towards) * (1 + 0.2 * x * np.cos(2 * angles)) * np.exp(1j * (angles + 0.7 * towards))
    return (maps / np.sqrt((np.abs(maps) ** 2).sum(axis=0))).astype(np.complex64)


def scanner(faults: dict[FaultName, float] | None = None, **changes: Any) -> SimulatedScanner:
    values: dict[str, Any] = {
        "coils": COILS,
        "gain": 1e-3,
        "noise": 0.01,
        "correlation": 0.3,
        "echo_shift_samples": 0.3,
        "oversampling": 2,
        "seed": 4,
        "scene": "test",
    }
    return scanner_settings(**{**values, **changes}, faults=faults)


def capture(
    folder: Path, faults: dict[FaultName, float] | None = None, everything: bool = False, **changes: Any
) -> RawVolume:
    one, settings = design(), scanner(faults, **changes)
    points = np.argwhere(np.ones(one.matrix)) if everything else np.random.default_rng(1).permutation(one.acquired)
    arrays = simulate_volume(points, ellipsoid(), coils(settings.coils), settings)
    write_points_capture(folder, points_record(one, settings, ""), arrays, False)
    return read_points_capture(folder)


def test_readouts_are_the_transform_of_what_the_coils_receive(tmp_path: Path) -> None:
    raw = capture(tmp_path / "c", noise=1e-9, echo_shift_samples=0.0)
    wanted = centred_fft(1e-3 * coils() * ellipsoid(), (1, 2, 3))
    there = design().acquired
    assert np.array_equal(raw.points, there)
    assert np.abs(raw.k - wanted[:, :, there[:, 0], there[:, 1]].transpose(0, 2, 1)).max() < 1e-6 * np.abs(wanted).max()
    slices = placed(raw.k, raw.points, raw.matrix)
    hybrid = centred_fft(1e-3 * coils() * ellipsoid(), (2, 3)).transpose(1, 0, 2, 3) * design().mask
    assert np.abs(slices - hybrid).max() < 1e-5 * np.abs(hybrid).max()


def test_a_clean_scan_passes_and_finds_the_scanner(tmp_path: Path) -> None:
    raw = capture(tmp_path / "c")
    found, verification = calibrate_and_verify_volume(raw, design())
    statuses = {check.name: check.status for check in verification.checks}
    assert verification.verdict != "failed"
    assert statuses["held-out points"] == statuses["noise of the image"] == statuses["signal of the coils"] == "passed"
    assert statuses["centre along the lines"] == statuses["centre along the partitions"] == "passed"
    assert {statuses[name] for name in ("orientation", "position", "order of readouts", "phase drift")} == {
        "not checked"
    }
    assert (found.noise.variance / 2) ** 0.5 == pytest.approx(1e-5, rel=0.05)
    assert found.echo_shift_samples == pytest.approx(0.3, abs=0.1)
    assert (found.acs, found.kernel) == ((10, 8), 4)
    # Maps of a slice are those of the coils, but for a phase of every pixel.
    seen = np.abs(ellipsoid()) > 0
    for number in (4, 7):
        overlap = np.abs((found.maps[number].conj() * coils()[:, number]).sum(axis=0))
        assert np.median(overlap[seen[number]]) > 0.995


FAULTS: list[tuple[FaultName, float, str, str]] = [
    ("dark", 2.0, "constant offset", "corrected"),
    ("saturation", 200.0, "range of the receiver", "failed"),
    ("coil-loss", 1.0, "signal of the coils", "corrected"),
    ("trajectory-delay", 3.0, "echo of the object", "warning"),
    ("line-offset", 3.0, "centre along the lines", "failed"),
    ("lost-trigger", 1.0, "held-out points", "failed"),
]


@pytest.mark.parametrize(("name", "strength", "check", "status"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_faults_are_named(tmp_path: Path, name: FaultName, strength: float, check: str, status: str) -> None:
    found, verification = calibrate_and_verify_volume(capture(tmp_path / "c", {name: strength}), design())
    seen = {one.name: one for one in verification.checks}[check]
    # That something is wrong is seen of lost readouts, and not what.
    assert (seen.status, seen.fault) == (status, None if name == "lost-trigger" else name)
    if name == "coil-loss":
        assert found.coils == COILS - 1
    if name == "dark":
        assert found.corrections.offset is not None


def test_other_coils_do_not_predict_the_points(tmp_path: Path) -> None:
    stored = calibrated(tmp_path)
    raw = capture(tmp_path / "again", seed=9)
    passed = {check.name: check for check in stored.examine(raw, design()).verification.checks}
    assert passed["held-out points"].status == "passed"
    turned = np.ascontiguousarray(stored.calibration.maps[:, ::-1].conj())
    wrong = replace(stored, calibration=replace(stored.calibration, maps=turned))
    found = {check.name: check for check in wrong.examine(raw, design()).verification.checks}
    assert found["held-out points"].status == "failed"
    louder = capture(tmp_path / "loud", noise=0.03)
    assert {check.name: check for check in stored.examine(louder, design()).verification.checks}[
        "noise as calibrated"
    ].status == "failed"


def test_maps_with_a_hole_inside_the_object_are_told(tmp_path: Path) -> None:
    """What lies there would be missing from every image, while points are predicted from the rest."""
    raw = capture(tmp_path / "capture")
    found, verification = calibrate_and_verify_volume(raw, design())
    whole = next(check for check in verification.checks if check.name == "cover of the coil maps")
    assert whole.status == "passed"
    maps = found.maps.copy()
    maps[:, :, 10:16, 8:13] = 0
    holed = verify_stored_volume(replace(found, maps=maps), raw)
    (told,) = [check for check in holed.checks if check.name == "cover of the coil maps"]
    assert told.status == "warning"
    assert told.value is not None
    assert told.value > 10 * max(float(whole.value or 0), 1e-4)
    assert "will be missing from all images" in told.text


def calibrated(folder: Path) -> StoredPointsCalibration:
    raw = capture(folder / "c")
    found, verification = calibrate_and_verify_volume(raw, design())
    return write_points_calibration(folder / "cal", raw, design(), found, verification, "", False)


def test_a_stored_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    stored = calibrated(tmp_path)
    read = read_points_calibration(tmp_path / "cal")
    assert np.array_equal(read.calibration.maps, stored.calibration.maps)
    assert read.calibration.scale == stored.calibration.scale
    assert read.size == read.size_of(design()) == (SAMPLES, LINES, PARTITIONS)
    raw = read_points_capture(tmp_path / "c")
    assert np.array_equal(read.calibration.slices(raw), stored.calibration.slices(raw))
    assert read.examine(raw, design()).same
    (tmp_path / "cal" / "arrays.npz").write_bytes(b"")
    with pytest.raises(FileError):
        read_points_calibration(tmp_path / "cal")


def test_the_operator_is_linear_and_has_its_adjoint() -> None:
    rng = np.random.default_rng(0)
    operator = PointsOperator(design().mask, coils().transpose(1, 0, 2, 3))
    x = rng.standard_normal((2, *operator.image_shape)) + 1j * rng.standard_normal((2, *operator.image_shape))
    y = rng.standard_normal((2, *operator.reading_shape)) + 1j * rng.standard_normal((2, *operator.reading_shape))
    left, right = np.vdot(operator.A(x), y), np.vdot(x, operator.A_adjoint(y))
    assert left == pytest.approx(right, rel=1e-5)
    wanted = centred_fft(coils() * ellipsoid(), (2, 3)).transpose(1, 0, 2, 3) * design().mask
    assert np.abs(operator.A(ellipsoid()) - wanted).max() < 1e-4


def test_a_full_scan_is_sampled_and_other_points_are_refused(tmp_path: Path) -> None:
    one = design()
    assert require_points(capture(tmp_path / "all", everything=True), one) == "retrospective"
    raw = capture(tmp_path / "c")
    assert require_points(raw, one) == "prospective"
    fewer = RawVolume(
        replace(raw.readouts, k=raw.k[:, 1:], lines=raw.readouts.lines[1:], design_digest=None),
        raw.points[1:],
        raw.matrix,
    )
    first = tuple(one.acquired[0].tolist())
    with pytest.raises(FileError, match=rf"missing \({first[0]}, {first[1]}\); unexpected none"):
        require_points(fewer, one)
    with pytest.raises(FileError, match="was recorded with design"):
        require_points(raw, replace(one, readout=SAMPLES + 2))
    with pytest.raises(FileError, match=r"24 x 20 x 12 .* the design has 24 x 20 x 14"):
        require_points(
            RawVolume(replace(raw.readouts, design_digest=None), raw.points, raw.matrix), replace(one, readout=14)
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record.update(matrix_lines=23), "truth of shape"),
        (lambda record: record.update(modality="mri"), "a capture of the modality 'mri'"),
        (lambda record: record.update(schema_version=9), "schema version 9"),
        (lambda record: record.update(arrays_sha256="0" * 64), "copy the capture again"),
    ],
)
def test_damaged_captures_are_refused(tmp_path: Path, change: Any, said: str) -> None:
    capture(tmp_path / "c")
    path = tmp_path / "c" / "capture.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(FileError, match=said) as caught:
        read_points_capture(tmp_path / "c")
    assert "\n" not in str(caught.value)


def test_what_cannot_be_calibrated_is_said(tmp_path: Path) -> None:
    raw, one = capture(tmp_path / "c"), design()
    bare = replace(one, calibration=(0, 0))
    free = RawVolume(replace(raw.readouts, design_digest=None), raw.points, raw.matrix)
    cases: list[tuple[Any, str]] = [
        (lambda: calibrate_and_verify_volume(free, bare), "no fully sampled centre"),
        (lambda: calibrate_and_verify_volume(raw, one, (11, 8)), "the design samples 10 x 8 fully"),
        (lambda: calibrate_and_verify_volume(raw, one, None, 6), "too few for coil maps with a kernel of 6 x 6"),
        (lambda: read_points_capture(tmp_path / "scan.h5"), "no capture folder of a 3-D scan"),
    ]
    for act, said in cases:
        with pytest.raises(CidesignError, match=said):
            act()
    with pytest.raises(InputError, match="do not fit together"):
        simulate_volume(one.acquired, ellipsoid()[1:], coils(), scanner())
