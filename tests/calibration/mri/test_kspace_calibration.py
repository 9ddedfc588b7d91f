"""Noise, coil maps, echo and scale of a scanner, against known truths and independent programs."""

import json
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.mri.capture import read_kspace_capture, write_kspace_capture
from cidesign.calibration.mri.coils import centre_of, choose_kernel, espirit_maps
from cidesign.calibration.mri.kspace import RawKspace, centred_fft, centred_ifft
from cidesign.calibration.mri.noise import measure_noise
from cidesign.calibration.mri.record import (
    read_kspace_calibration,
    require_fitting_kspace,
    write_kspace_calibration,
)
from cidesign.calibration.mri.response import (
    TRAINING_LEVEL,
    Corrections,
    KspaceCalibration,
    Orientation,
    calibrate_kspace,
    echo_shift,
    shift_echo,
)
from cidesign.calibration.mri.twin import capture_record, noise_covariance, scanner_settings, simulate_kspace
from cidesign.calibration.verify import Verification
from cidesign.errors import FileError, InputError
from cidesign.io.bart import read_cfl, write_cfl
from cidesign.modalities.mri.data.phantoms import coil_maps, phantom_slices
from cidesign.pattern import CartesianLines, centre_block

SIDE, COILS = 48, 4
PASSED = Verification(score=None, score_meaning="", checks=[])
BART = shutil.which("bart")


def design(calibration: int = 24, side: int = SIDE) -> CartesianLines:
    lines = sorted({*centre_block(side, calibration), 1, side - 3})
    return CartesianLines(side, side, np.array(lines, dtype=np.int64), calibration, "some", "0" * 64)


@pytest.fixture(scope="module")
def image() -> NDArray[np.complex64]:
    real, imaginary = phantom_slices(1, SIDE, 2**33 + 3)[0].astype(np.float32)
    return (real + 1j * imaginary).astype(np.complex64)


def captured(
    folder: Path,
    image: NDArray[np.complex64],
    coils: int = COILS,
    lines: CartesianLines | None = None,
    **changes: float,
) -> RawKspace:
    wanted = design() if lines is None else lines
    values = {"gain": 1e-3, "noise": 0.003, "correlation": 0.4, "echo_shift_samples": 0.0, "oversampling": 2, "seed": 1}
    scanner = scanner_settings(coils=coils, scene="test", **{**values, **changes})  # type: ignore[arg-type]
    maps = np.ones((1, SIDE, SIDE), np.complex64) if coils == 1 else coil_maps(coils, SIDE, 1)
    arrays = simulate_kspace(wanted.acquired, image, maps, scanner)
    write_kspace_capture(folder, capture_record(wanted, scanner, "2026-01-01T00:00:00+00:00"), arrays, force=True)
    return read_kspace_capture(folder)


def test_noise_and_its_correlation_are_found_again(tmp_path: Path, image: NDArray[np.complex64]) -> None:
    raw = captured(tmp_path / "capture", image)
    assert raw.scanner is not None
    truth = noise_covariance(raw.scanner) * 1e-6
    noise = measure_noise(raw)
    assert noise.from_scan
    np.testing.assert_allclose(noise.covariance, truth, atol=0.08 * np.abs(truth).max())
    assert noise.largest_correlation == pytest.approx(0.4, abs=0.05)
    assert raw.noise is not None
    white = noise.whiten(raw.noise)
    np.testing.assert_allclose(white @ white.conj().T / white.shape[1], noise.variance * np.eye(COILS), atol=1e-10)
    np.testing.assert_allclose(noise.unwhiten(white), raw.noise, atol=1e-8)


@pytest.mark.parametrize(
    ("oversampling", "source", "tolerance"), [(2, "air beside", 0.15), (1, "borders of the field", 0.3)]
)
def test_without_a_noise_scan_the_edges_of_the_readout_are_used(
    tmp_path: Path, image: NDArray[np.complex64], oversampling: int, source: str, tolerance: float
) -> None:
    raw = captured(tmp_path / "capture", image, oversampling=oversampling)
    noise = measure_noise(replace(raw, noise=None))
    truth = measure_noise(raw)
    assert not noise.from_scan
    assert noise.source.startswith("whitening from readout edges (no noise scan)")
    assert source in noise.source
    assert 0.9 < noise.variance / truth.variance < 1 + tolerance


def test_coils_without_noise_are_refused(tmp_path: Path, image: NDArray[np.complex64]) -> None:
    raw = captured(tmp_path / "capture", image)
    assert raw.noise is not None
    dead, twice = raw.noise.copy(), raw.noise.copy()
    dead[2] = 0
    with pytest.raises(FileError, match=r"coil 2 has no noise .noise scan., so it is not connected"):
        measure_noise(replace(raw, noise=dead))
    twice[3] = twice[0] + 2 * twice[1]
    with pytest.raises(FileError, match="linearly dependent"):
        measure_noise(replace(raw, noise=twice))
    with pytest.raises(FileError, match="32 samples of noise do not give the covariance of 4 coils; at least 64"):
        measure_noise(replace(raw, noise=raw.noise[:, :32]))


def coil_kspace(image: NDArray[np.complex64], noise: float) -> NDArray[np.complex64]:
    rng = np.random.default_rng(2)
    k = centred_fft(coil_maps(COILS, SIDE, 1) * image, (-2, -1))
    return np.asarray(
        k + noise * (rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape)), dtype=np.complex64
    )


def alike(first: NDArray[np.complex64], second: NDArray[np.complex64]) -> NDArray[np.floating]:
    """|<a, b>| of unit vectors over the coils, where both have maps."""
    both = (np.abs(first).max(axis=0) > 0) & (np.abs(second).max(axis=0) > 0)
    return np.asarray(np.abs((first.conj() * second).sum(axis=0))[both])


def own_maps(k: NDArray[np.complex64], noise: float) -> NDArray[np.complex64]:
    return espirit_maps(centre_of(k, SIDE // 2 - 12, 24), (SIDE, SIDE), 6, 2 * noise**2)


def test_maps_are_those_of_the_coils(image: NDArray[np.complex64]) -> None:
    maps = own_maps(coil_kspace(image, 0.002), 0.002)
    body = np.abs(image) > 0.1
    support = np.abs(maps).max(axis=0) > 0
    assert support[body].mean() > 0.99
    similarity = np.abs((maps.conj() * coil_maps(COILS, SIDE, 1)).sum(axis=0))[body & support]
    assert similarity.min() > 0.98
    assert np.median(similarity) > 0.9999
    # Flipped maps must not pass.
    assert np.median(np.abs((maps.conj() * coil_maps(COILS, SIDE, 1)[:, ::-1]).sum(axis=0))[body & support]) < 0.95


@pytest.mark.filterwarnings("ignore")
def test_maps_equal_those_of_sigpy(image: NDArray[np.complex64]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mri = pytest.importorskip("sigpy.mri", reason="sigpy is not installed")
        k = coil_kspace(image, 0.002)
        theirs = mri.app.EspiritCalib(k, calib_width=24, crop=0.8, show_pbar=False).run()
    assert alike(own_maps(k, 0.002), theirs).min() > 0.9999
    own_support = np.abs(own_maps(k, 0.002)).max(axis=0) > 0
    assert (own_support == (np.abs(theirs).max(axis=0) > 0)).mean() > 0.99


@pytest.mark.skipif(BART is None, reason="the program bart is not installed")
def test_maps_agree_with_bart(tmp_path: Path, image: NDArray[np.complex64]) -> None:
    assert BART is not None
    k = coil_kspace(image, 0.002)
    write_cfl(tmp_path / "k", np.ascontiguousarray(k.transpose(2, 1, 0)[:, :, None]))
    subprocess.run([BART, "ecalib", "-m1", "-r24", "k", "maps"], cwd=tmp_path, check=True, capture_output=True)
    theirs = read_cfl(tmp_path / "maps").reshape(SIDE, SIDE, COILS).transpose(2, 1, 0)
    assert np.median(alike(own_maps(k, 0.002), theirs)) > 0.999


def test_narrow_calibration_lines_are_refused(tmp_path: Path, image: NDArray[np.complex64]) -> None:
    where = Path("capture")
    assert [choose_kernel(lines, None, where) for lines in (24, 11, 10, 8, 7)] == [6, 6, 5, 4, 4]
    with pytest.raises(
        FileError, match=r"6 contiguous lines .* too few for coil maps with a kernel of 4 x 4, which calls for 7"
    ):
        choose_kernel(6, None, where)
    with pytest.raises(FileError, match="which calls for 15"):
        choose_kernel(14, 8, where)
    with pytest.raises(InputError, match="--set kernel=1: 2 to 12"):
        choose_kernel(14, 1, where)
    narrow = design(6)
    raw = captured(tmp_path / "capture", image, lines=narrow)
    with pytest.raises(FileError, match=r"6 contiguous lines around the centre .* --acs-lines 7"):
        calibrate_kspace(raw, narrow, Orientation())
    with pytest.raises(FileError, match=r"6 contiguous lines around line 24 .* 9 are asked for"):
        calibrate_kspace(raw, narrow, Orientation(), acs_lines=9)


@pytest.mark.parametrize("shift", [-1.3, 0.0, 0.45])
def test_the_echo_is_found_and_centred(tmp_path: Path, image: NDArray[np.complex64], shift: float) -> None:
    plain = np.abs(image).astype(np.complex64)  # an object with a linear phase of its own moves the echo too
    raw = captured(tmp_path / "capture", plain, coils=1, echo_shift_samples=shift)
    calibration = calibrate_kspace(raw, design(), Orientation())
    assert calibration.echo_shift_samples == pytest.approx(shift, abs=0.03)
    assert echo_shift(calibration.measurements(raw)) == pytest.approx(0, abs=0.03)


def test_an_echo_far_off_and_silence_are_refused(tmp_path: Path, image: NDArray[np.complex64]) -> None:
    plain = np.abs(image).astype(np.complex64)
    raw = captured(tmp_path / "capture", plain, coils=1, echo_shift_samples=7.0)
    with pytest.raises(FileError, match=r"the echo lies \+7.0\d samples from the middle of the readout, at most 4"):
        calibrate_kspace(raw, design(), Orientation())
    silent = captured(tmp_path / "silent", image, coils=1, noise=50.0)
    with pytest.raises(FileError, match="no signal was received"):
        calibrate_kspace(silent, design(), Orientation())


def test_moving_the_echo_keeps_the_magnitude(image: NDArray[np.complex64]) -> None:
    k = centred_fft(image, (-2, -1))
    moved = shift_echo(k, 0.7)
    np.testing.assert_allclose(np.abs(centred_ifft(moved, (-2, -1))), np.abs(image), atol=1e-5)
    np.testing.assert_allclose(shift_echo(moved, -0.7), k, atol=1e-5)
    np.testing.assert_allclose(shift_echo(k, 1.0)[:, 1:], k[:, :-1], atol=1e-4)


def test_whitened_data_fit_the_operator(tmp_path: Path, image: NDArray[np.complex64]) -> None:
    raw = captured(tmp_path / "capture", image, echo_shift_samples=0.3)
    calibration = calibrate_kspace(raw, design(), Orientation())
    maps, norm = calibration.operator()
    assert np.allclose((np.abs(maps) ** 2).sum(axis=0)[norm > 0], 1, atol=1e-5)
    # Root of the sum of squares of the low-resolution image on the scale of the training images.
    low = np.sqrt((np.abs(centred_ifft(calibration.coil_kspace(raw), (-2, -1))) ** 2).sum(axis=0))
    assert np.percentile(low, 99) == pytest.approx(TRAINING_LEVEL, rel=0.1)
    # The known image, in the phase that the maps leave to it, explains the data to their noise.
    seen = np.abs(image) > 0
    full = coil_maps(COILS, SIDE, 1) * image * (raw.gain or 0) * calibration.scale
    ramp = np.exp(2j * np.pi * (0.3 - calibration.echo_shift_samples) / SIDE * (np.arange(SIDE) - SIDE // 2))
    z = (maps.conj() * calibration.noise.whiten((full * ramp).astype(np.complex64))).sum(axis=0) * seen
    left = (centred_fft(maps * z, (-2, -1)) - calibration.measurements(raw))[:, raw.lines]
    chi_square = np.mean(np.abs(left) ** 2) / (2 * calibration.noise_deviation**2)
    assert 0.9 < chi_square < 1.6


def test_orientation() -> None:
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert Orientation().apply(image).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert Orientation(flip_vertical=True).apply(image).tolist() == [[3, 4, 5], [0, 1, 2]]
    assert Orientation(flip_horizontal=True).apply(image).tolist() == [[2, 1, 0], [5, 4, 3]]
    assert Orientation(transpose=True, flip_vertical=True).apply(image).tolist() == [[2, 5], [1, 4], [0, 3]]


def stored(folder: Path, raw: RawKspace, calibration: KspaceCalibration, lines: CartesianLines) -> Path:
    write_kspace_calibration(
        folder, raw, lines, calibration, PASSED, None, None, "2026-01-01T00:00:00+00:00", force=False
    )
    return folder


def test_a_calibration_is_read_as_written(tmp_path: Path, image: NDArray[np.complex64]) -> None:
    raw = captured(tmp_path / "capture", image)
    calibration = calibrate_kspace(raw, design(), Orientation(transpose=True))
    again = read_kspace_calibration(stored(tmp_path / "cal", raw, calibration, design()))
    np.testing.assert_array_equal(again.calibration.maps, calibration.maps)
    np.testing.assert_array_equal(again.calibration.noise.covariance, calibration.noise.covariance)
    assert again.calibration.orientation == Orientation(transpose=True)
    assert again.calibration.scale == calibration.scale
    assert (tmp_path / "cal" / "coil_maps.png").read_bytes().startswith(b"\x89PNG")
    assert require_fitting_kspace(again, raw, design()) == []
    remarks = require_fitting_kspace(again, replace(raw, digest="1" * 64), design(22))
    assert len(remarks) == 2
    with pytest.raises(FileError, match=r"2 coils .* 4 were calibrated"):
        require_fitting_kspace(again, replace(raw, k=raw.k[:2]), design())
    with pytest.raises(FileError, match=r"a field of \(48, 48\) was calibrated, the run has \(64, 64\)"):
        require_fitting_kspace(again, raw, design(side=64))
    other = CartesianLines(SIDE, SIDE, design().acquired, 24, "some", "1" * 64)
    with pytest.raises(FileError, match="profile 000000000000 was calibrated, the run is for profile 111111111111"):
        require_fitting_kspace(again, raw, other)


def test_the_shift_is_read_by_its_earlier_name(tmp_path: Path, image: NDArray[np.complex64]) -> None:
    raw = captured(tmp_path / "capture", image)
    calibration = calibrate_kspace(raw, design(), Orientation(), corrections=Corrections(shift_px=1.25))
    folder = stored(tmp_path / "cal", raw, calibration, design())
    record = json.loads((folder / "calibration.json").read_text())
    record["displacement_px"] = record.pop("shift_px")
    (folder / "calibration.json").write_text(json.dumps(record))
    assert read_kspace_calibration(folder).calibration.corrections.shift_px == 1.25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 9}, "schema version 9, this program reads 2"),
        ({"modality": "single-pixel"}, "a calibration of the modality 'single-pixel'"),
        ({"scale": -1.0}, "scale: Input should be greater than 0"),
        ({"coils": 3}, r"does not hold coil maps \(3, 48, 48\)"),
        ({"arrays_sha256": "0" * 64}, "arrays.npz is not the one that calibration.json names"),
    ],
)
def test_a_changed_calibration_is_refused(
    tmp_path: Path, image: NDArray[np.complex64], changes: dict[str, object], message: str
) -> None:
    raw = captured(tmp_path / "capture", image)
    folder = stored(tmp_path / "cal", raw, calibrate_kspace(raw, design(), Orientation()), design())
    record = json.loads((folder / "calibration.json").read_text())
    (folder / "calibration.json").write_text(json.dumps({**record, **changes}))
    with pytest.raises(FileError, match=message):
        read_kspace_calibration(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 9}, "schema version 9"),
        ({"modality": "single-pixel"}, "a capture of the modality 'single-pixel'; this run takes one of mri"),
        ({"coils": 2}, r"capture.json says 2 coils \(coils\) and 96 samples"),
        ({"readout_samples": 40}, "says 4 coils .* and 80 samples"),
        ({"matrix_lines": 46}, r"a truth of shape \(48, 48\) does not fit the matrix"),
        ({"design_digest": "x"}, "design_digest: String should match"),
        ({"arrays_sha256": "0" * 64}, "kspace.npz is not the one that capture.json names"),
    ],
)
def test_a_changed_capture_is_refused(
    tmp_path: Path, image: NDArray[np.complex64], changes: dict[str, object], message: str
) -> None:
    captured(tmp_path / "capture", image)
    path = tmp_path / "capture" / "capture.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(FileError, match=message):
        read_kspace_capture(tmp_path / "capture")


def test_scanner_settings_out_of_range() -> None:
    values = {"coils": 1, "gain": 1.0, "noise": 0.01, "correlation": 0.0, "echo_shift_samples": 0.0, "oversampling": 2}
    with pytest.raises(InputError, match=r"scanner: correlation 1.0: Input should be less than 1"):
        scanner_settings(**{**values, "correlation": 1.0}, seed=0, scene="")  # type: ignore[arg-type]
    scanner = scanner_settings(**values, seed=0, scene="")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="do not fit together"):
        simulate_kspace(np.arange(4), np.ones((4, 4), np.complex64), np.ones((2, 4, 4), np.complex64), scanner)
    with pytest.raises(InputError, match="holds nothing"):
        simulate_kspace(np.arange(4), np.zeros((4, 4), np.complex64), np.ones((1, 4, 4), np.complex64), scanner)
