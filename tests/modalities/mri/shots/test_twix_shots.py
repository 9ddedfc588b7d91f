"""Siemens raw data of shots: a real file of lines with other samples in it, as no file of a radial scan is at hand."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from cidesign.calibration.mri.kspace import Samples
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.calibration.mri.shots.capture import Beside
from cidesign.calibration.mri.shots.raw import read_shots
from cidesign.calibration.mri.shots.twin import shots_scanner, simulate_shots
from cidesign.calibration.mri.shots.verify import calibrate_and_verify_shots
from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.pattern import NonCartesian

twixtools = pytest.importorskip("twixtools", reason="the extra 'mri' is not installed")
pytest.importorskip("finufft", reason="the extra 'mri' is not installed")

LINES = Path(__file__).parents[4].parent / "shared" / "data" / "mri" / "twix_gre.dat"
pytestmark = pytest.mark.skipif(not LINES.is_file(), reason="the sample data are not beside the repository")
# Of the file: what its headers say of every readout.
SHOTS, SAMPLES, COILS = 160, 320, 2
# Few pixels: the centre of k-space that is fitted is small then.
SIDE = 14


def spokes(shots: int = SHOTS, samples: int = SAMPLES) -> NonCartesian:
    """Full spokes at a golden angle, none of them along an axis, of two samples for each raster time."""
    corners = samples // 2 + 5
    shape = np.minimum(1.0, np.minimum(np.arange(corners), np.arange(corners)[::-1]) / 2)
    angles = 0.2 + np.arange(shots) * 1.94161
    speed = SIDE * 0.96 / (samples / 2) / (42.576e6 * 0.2 * 1e-5) * 1e3
    gradients = np.stack([speed * shape * f(angles)[:, None] for f in (np.sin, np.cos)], axis=-1)
    half = 0.5 * np.sum(gradients[:, 1:] + gradients[:, :-1], axis=1) * 42.576e6 * 0.2 * 1e-8
    return NonCartesian((SIDE, SIDE), 200.0, gradients, -half / 2, 10_000, samples, 5_000, 20_000, "a", "ab" * 32)


def scanned() -> Samples:
    """(coils, shots, samples) of an object without symmetry, with gradients that come late along rows."""
    scanner = shots_scanner(
        coils=COILS, gain=1.0, noise=0.003, correlation=0.1, delay_rows_us=1.5, delay_columns_us=0.0, seed=1,
        scene="a test", faults={},
    )  # fmt: skip
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    image = np.exp(-(((rows - 0.05) / 0.3) ** 4) - ((columns / 0.22) ** 4)) * (1 + 0.4 * np.sin(9 * columns + 4 * rows))
    maps = np.stack([np.exp(1.2 * columns + 0.3j * rows), np.exp(-1.2 * columns - 0.5j * columns)])
    maps = maps / np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    return simulate_shots(spokes(), image.astype(np.complex64), maps.astype(np.complex64), scanner)["k"]


def write(path: Path, k: Samples, lines: list[int]) -> Path:
    """The real file with other samples, and other line counters."""
    header, channel = twixtools.mdh_def.Scan_header, ctypes.sizeof(twixtools.mdh_def.Channel_header)
    content = bytearray(LINES.read_bytes())
    (scan,) = twixtools.read_twix(str(LINES), parse_pmu=False, parse_geometry=False, verbose=False)
    blocks = [block for block in scan["mdb"] if block.is_image_scan()]
    assert (len(blocks), *blocks[0].data.shape) == (SHOTS, COILS, SAMPLES)
    for number, block in enumerate(blocks):
        at = block.mem_pos + header.Counter.offset  # its first counter is that of lines
        content[at : at + 2] = lines[number].to_bytes(2, "little")
        start = block.mem_pos + ctypes.sizeof(header)
        for coil in range(COILS):
            first = start + channel + coil * (channel + 8 * SAMPLES)
            content[first : first + 8 * SAMPLES] = k[coil, lines[number]].astype(np.complex64).tobytes()
    path.write_bytes(content)
    return path


def test_shots_are_put_in_order_by_the_line_counter_and_calibrated(tmp_path: Path) -> None:
    k, order = scanned(), np.random.default_rng(2).permutation(SHOTS).tolist()
    path = write(tmp_path / "radial.dat", k, order)
    raw = read_shots(path)
    assert np.array_equal(raw.k, k.astype(np.complex64))
    assert any("they are taken to be the design's, shot after shot" in note for note in raw.notes)
    raw.require_design(spokes())
    calibration, verification = calibrate_and_verify_shots(raw, spokes())
    assert calibration.delays_ns == pytest.approx([1500.0, 0.0], abs=150)
    assert {check.name: check.status for check in verification.checks}["centre of k-space"] == "passed"
    # Beside a trajectory the file is held against the design before anything is made of it.
    read_shots(path, Beside(spokes().samples, "1/fov", "traj.npy", "0" * 64)).require_design(spokes())
    with pytest.raises(FileError, match="its trajectory is not the design's"):
        read_shots(path, Beside(spokes().samples[..., ::-1], "1/fov", "t", "0" * 64)).require_design(spokes())


def test_a_real_scan_of_lines_is_no_scan_of_shots() -> None:
    """Its samples are read as they lie in the file; the design tells that they are others."""
    raw, lines = read_shots(LINES), read_kspace(LINES)
    assert raw.k.shape == (COILS, SHOTS, SAMPLES)
    # The line through the centre of k-space has the most energy in both readings.
    assert (np.abs(raw.k) ** 2).sum(axis=(0, 2)).argmax() == (np.abs(lines.k) ** 2).sum(axis=(0, 2)).argmax()
    with pytest.raises(FileError, match=r"twix_gre.dat: 160 shots of 320 samples, the design has 20 of 64"):
        raw.require_design(spokes(20, 64))
    with pytest.raises(LimitError, match=r"centre of k-space: \d+\.\d% of the energy there fits no one image"):
        calibrate_and_verify_shots(raw, spokes())


def test_options_that_a_siemens_file_has_no_use_for() -> None:
    for name, value in (("units", "1/m"), ("encoding", 0)):
        with pytest.raises(InputError, match=f"--set {name}={value}: .* leaves no such thing open"):
            read_shots(LINES, **{name: value})
    with pytest.raises(CidesignError, match=r"1 \(protocol gre, 160 imaging readouts .*; 2 is none of them"):
        read_shots(LINES, measurement="2")
