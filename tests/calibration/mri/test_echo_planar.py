"""Readouts in both directions: turned, and put right by phase-correction readouts of a known delay and phase."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import RawKspace, centred_fft, centred_ifft
from cidesign.calibration.mri.raw.assemble import assemble
from cidesign.calibration.mri.raw.child import FIELDS
from cidesign.calibration.mri.raw.echo_planar import reversed_phase
from cidesign.calibration.mri.raw.flags import ISMRMRD_FLAGS, SIEMENS_FLAGS, FlagTable
from cidesign.calibration.mri.raw.header import MrdHeader, parse_header
from cidesign.calibration.mri.raw.ramps import ReadoutGradient, regridding
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.calibration.mri.raw.readouts import Matrix, Readouts
from cidesign.errors import FileError

DATA = Path(__file__).parents[3].parent / "shared" / "data"
REAL = sorted((DATA / "mri").glob("*epi*.dat"))
COILS, LINES, SAMPLES = 3, 16, 32
RECORDED = 2 * SAMPLES
CENTRE = LINES // 2
DELAY, PHASE = 0.437, 1.234
Complex = NDArray[np.complex64]
FIELD_NAMES = dict.fromkeys(
    ("lines", "samples", "recorded", "centre", "coils", "number_of_samples", "centre_sample", "discard", "dwell_ps",
     "measurement", "channel_mask"), "field",
)  # fmt: skip


def kspace() -> Complex:
    """(coils, lines, recorded) of smooth coils over an object in the middle half of the readout's field of view."""
    rng = np.random.default_rng(3)
    image = np.zeros((COILS, LINES, RECORDED), dtype=np.complex64)
    inner = rng.uniform(0.3, 1, (LINES, SAMPLES - 6)) * np.exp(1j * rng.normal(0, 0.4, (LINES, SAMPLES - 6)))
    maps = np.exp(1j * rng.uniform(0, 6, (COILS, 1, 1))) * np.linspace(0.2, 1, SAMPLES - 6)
    first = RECORDED // 2 - (SAMPLES - 6) // 2
    image[:, :, first : first + SAMPLES - 6] = maps * inner
    return centred_fft(image, (-2, -1))


def plain(k: Complex) -> Complex:
    image = centred_ifft(k, (-1,))
    return centred_fft(image[..., SAMPLES // 2 : SAMPLES // 2 + SAMPLES], (-1,))


def backwards(row: Complex, delay: float = DELAY, phase: float = PHASE) -> Complex:
    """(coils, m) as a readout in the other direction records it."""
    count = row.shape[-1]
    ramp = phase + 2 * np.pi * delay * (np.arange(count) - count // 2) / count
    return centred_fft(centred_ifft(row, (-1,)) * np.exp(1j * ramp), (-1,))[..., ::-1]


class Scan:
    """Readouts in the order of time, with the flags of one format."""

    def __init__(self, table: FlagTable) -> None:
        self.kinds_of = table
        self.rows: list[Complex] = []
        self.flags: list[int] = []
        self.table: list[dict[str, int]] = []

    def add(self, row: Complex, *bits: int, **fields: int) -> None:
        self.rows.append(row)
        self.flags.append(sum(1 << bit for bit in bits))
        values = {"samples": row.shape[1], "channels": len(row), "centre_sample": row.shape[1] // 2, "dwell_ps": 1}
        self.table.append({**values, "counter": len(self.rows), **fields})

    def navigators(self, k: Complex, directions: str = "+-+", drift: float = 0.0, **fields: int) -> "Scan":
        """Echoes without phase encoding; the field turns each by `drift` more than the one before."""
        for number, direction in enumerate(directions):
            row = k[:, CENTRE] * np.complex64(np.exp(1j * drift * number) * 0.97**number)
            back = [self.kinds_of.reverse] if direction == "-" else []
            self.add(
                backwards(row) if back else row, self.kinds_of.phase_correction, *back, **{"line": CENTRE, **fields}
            )
        return self

    def lines(self, k: Complex, every: int = 1) -> "Scan":
        for line in range(0, LINES, every):
            if (line // every) % 2:
                self.add(backwards(k[:, line]), self.kinds_of.reverse, line=line)
            else:
                self.add(k[:, line], line=line)
        return self

    def read(self, path: Path, recorded: int | None = RECORDED, gradient: ReadoutGradient | None = None) -> RawKspace:
        path.write_bytes(b"scan")
        table = np.array([[row.get(name, 0) for name in FIELDS] for row in self.table], dtype=np.int64)
        flat = np.concatenate([np.ascontiguousarray(row).reshape(-1) for row in self.rows]).astype(np.complex64)
        readouts = Readouts(path, "scan", table, np.array(self.flags, dtype=np.uint64), flat, self.kinds_of)
        return assemble(readouts, Matrix(LINES, CENTRE, SAMPLES, FIELD_NAMES, recorded, gradient=gradient), 0, "")


@pytest.mark.parametrize("table", [ISMRMRD_FLAGS, SIEMENS_FLAGS])
@pytest.mark.parametrize(
    ("directions", "drift"), [("+-+", 0.0), ("+-+", 0.5), ("-+-", -0.7), ("+-+-+", 1.2), ("+-", 0)]
)
def test_delay_and_phase_are_taken_away(table: FlagTable, directions: str, drift: float, tmp_path: Path) -> None:
    k = kspace()
    raw = Scan(table).navigators(k, directions, drift).lines(k).read(tmp_path / "a")
    np.testing.assert_allclose(raw.k, plain(k), atol=2e-5 * float(np.abs(k).max()))
    (said,) = [note for note in raw.notes if "backwards" in note]
    assert said.startswith(f"{LINES // 2} of {LINES} readouts were sampled backwards, and are turned; +0.437 samples")
    assert f"{np.rad2deg(PHASE):+.2f} degrees" in said
    assert ("grows from echo to echo" in said) == (directions == "+-")


def test_each_shot_has_its_own_navigators(tmp_path: Path) -> None:
    """Only neighbours are compared: what lies between two shots says nothing of the directions."""
    k, table = kspace(), ISMRMRD_FLAGS
    turned = (k * np.exp(1j)).astype(np.complex64)
    scan = Scan(table).navigators(k, "+-+").lines(k, 2).navigators(turned, "-+-")
    for line in range(1, LINES, 2):
        scan.add(backwards(k[:, line]), table.reverse, line=line)
    raw = scan.read(tmp_path / "a")
    np.testing.assert_allclose(raw.k, plain(k), atol=2e-5 * float(np.abs(k).max()))
    assert "4 pairs" in " ".join(raw.notes)


def test_with_noise_the_delay_is_found_to_a_hundredth_of_a_sample() -> None:
    rng = np.random.default_rng(1)
    row = kspace()[:, CENTRE]
    noise = rng.normal(size=(3, 2, COILS, RECORDED)) * 0.01 * float(np.abs(row).max())
    rows = np.stack([row, backwards(row)[:, ::-1], row]) + noise[:, 0] + 1j * noise[:, 1]
    back = np.array([False, True, False])
    found = reversed_phase(Path("a"), rows.transpose(1, 0, 2).astype(np.complex64), back, np.ones(2, np.bool_))
    assert abs(found.delay_samples - DELAY) < 0.01
    assert abs(found.phase_rad - PHASE) < 0.01
    assert found.drift_known


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ("", r"and no phase-correction readouts of the same image \(AcquisitionHeader.flags\)"),
        ("++", "no two of its phase-correction readouts are of opposite direction"),
    ],
)
def test_without_opposed_navigators_it_is_refused(directions: str, message: str, tmp_path: Path) -> None:
    k = kspace()
    with pytest.raises(FileError, match=message):
        Scan(ISMRMRD_FLAGS).navigators(k, directions).lines(k).read(tmp_path / "a")


def test_navigators_of_another_slice_or_of_a_reference_scan_say_nothing(tmp_path: Path) -> None:
    k, table = kspace(), SIEMENS_FLAGS
    scan = Scan(table).lines(k)
    for number, direction in enumerate((False, True, False)):
        bits = [table.phase_correction, table.calibration, *([table.reverse] if direction else [])]
        scan.add(backwards(k[:, CENTRE]) if direction else k[:, CENTRE], *bits, line=number)
    with pytest.raises(FileError, match="no phase-correction readouts"):
        scan.navigators(k, "+-+", slice=1).read(tmp_path / "a")


def test_navigators_that_agree_on_nothing_are_refused(tmp_path: Path) -> None:
    k = kspace()
    noise = np.random.default_rng(0).normal(size=(2, *k.shape))
    scan = Scan(ISMRMRD_FLAGS)
    for number, back in enumerate((False, True, False)):
        row = (noise[0, :, number] + 1j * noise[1, :, number]).astype(np.complex64)
        scan.add(row, 23, *([21] if back else []))
    scan.lines(k)
    with pytest.raises(FileError, match="agree on no linear phase"):
        scan.read(tmp_path / "a")


def test_all_readouts_backwards_need_nothing_but_turning(tmp_path: Path) -> None:
    k, scan = kspace(), Scan(ISMRMRD_FLAGS)
    for line in range(LINES):
        scan.add(k[:, line, ::-1], 21, line=line)
    raw = scan.read(tmp_path / "a")
    np.testing.assert_allclose(raw.k, plain(k), atol=1e-5)
    assert "16 of 16 readouts were sampled backwards, and are turned" in raw.notes


class TestPartialEchoes:
    """Readouts that are too short at one end, and whose header says where the echo is."""

    MISSING = 6

    def cut(self, k: Complex) -> Complex:
        left = k.copy()
        left[..., : self.MISSING] = 0
        return left

    @pytest.mark.parametrize("recorded", [RECORDED, None])
    def test_are_placed_by_their_echo(self, tmp_path: Path, recorded: int | None) -> None:
        k, scan = kspace(), Scan(ISMRMRD_FLAGS)
        for line in range(LINES):
            scan.add(k[:, line, self.MISSING :], line=line, centre_sample=RECORDED // 2 - self.MISSING)
        raw = scan.read(tmp_path / "a", recorded)
        np.testing.assert_allclose(raw.k, plain(self.cut(k)), atol=1e-5)
        assert raw.oversampling == 2.0
        assert "6 samples before and 0 after them, of 64, are 0" in " ".join(raw.notes)

    def test_in_both_directions(self, tmp_path: Path) -> None:
        """The end that is missing is the same once they are turned, and discarded samples are at the other."""
        k, scan, table = self.cut(kspace()), Scan(ISMRMRD_FLAGS), ISMRMRD_FLAGS
        kept = RECORDED - self.MISSING
        for number, (line, back) in enumerate([(8, 0), (8, 1), (8, 0), *((line, line % 2) for line in range(LINES))]):
            row = k[:, line, self.MISSING :]
            bits = [*([table.phase_correction] if number < 3 else []), *([table.reverse] if back else [])]
            centre = RECORDED // 2 - self.MISSING
            scan.add(
                row[:, ::-1] if back else row, *bits, line=line, centre_sample=kept - 1 - centre if back else centre
            )
        np.testing.assert_allclose(scan.read(tmp_path / "a").k, plain(k), atol=1e-5)

    def test_samples_to_discard_change_ends(self, tmp_path: Path) -> None:
        k, scan, table = self.cut(kspace()), Scan(ISMRMRD_FLAGS), ISMRMRD_FLAGS
        spoilt = k.copy()
        spoilt[..., : self.MISSING] = 99
        for number, (line, back) in enumerate([(8, 0), (8, 1), (8, 0), *((line, line % 2) for line in range(LINES))]):
            row, name = spoilt[:, line], "discard_post" if back else "discard_pre"
            bits = [*([table.phase_correction] if number < 3 else []), *([table.reverse] if back else [])]
            scan.add(row[:, ::-1] if back else row, *bits, line=line, **{name: self.MISSING})
        np.testing.assert_allclose(scan.read(tmp_path / "a").k, plain(k), atol=1e-5)

    @pytest.mark.parametrize(
        ("missing", "centre", "message"),
        [
            (12, RECORDED // 2 - 12, "12 of 64 samples at one end of a readout are missing; at most 8 are set to 0"),
            (6, (RECORDED - 6) // 2, r"readouts of 58 samples \(field\), the header says 64"),
            (6, 1, "at one end of a readout are missing"),
        ],
    )
    def test_of_too_little_are_refused(self, tmp_path: Path, missing: int, centre: int, message: str) -> None:
        k, scan = kspace(), Scan(ISMRMRD_FLAGS)
        for line in range(LINES):
            scan.add(k[:, line, missing:], line=line, centre_sample=centre)
        with pytest.raises(FileError, match=message):
            scan.read(tmp_path / "a")


HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><trajectory>epi</trajectory>
<trajectoryDescription><identifier>ConventionalEPI</identifier>{numbers}</trajectoryDescription></encoding>
</ismrmrdHeader>"""
FLAT = {
    "rampUpTime": 100, "flatTopTime": 260, "rampDownTime": 100, "acqDelayTime": 102, "dwellTime": 4.0, "numSamples": 64,
}  # fmt: skip


def described(**numbers: float) -> MrdHeader:
    kinds = {name: "Double" if name == "dwellTime" else "Long" for name in numbers}
    text = "".join(
        f"<userParameter{kinds[name]}><name>{name}</name><value>{value}</value></userParameter{kinds[name]}>"
        for name, value in numbers.items()
    )
    return parse_header(Path("a.h5"), HEADER.format(numbers=text))


def test_a_header_tells_whether_samples_lie_on_ramps() -> None:
    assert described(**FLAT).gradient(0, 64) is None
    assert described(**FLAT).require_cartesian(0) == []
    ramps = described(**{**FLAT, "acqDelayTime": 38, "numSamples": 96}).gradient(0, 96)
    assert ramps == ReadoutGradient(100, 260, 100, 38, 384)
    unknown = described(**{name: value for name, value in FLAT.items() if name != "flatTopTime"})
    assert unknown.gradient(0, 64) is None
    assert "does not say whether samples were taken while the gradient ramps" in unknown.require_cartesian(0)[0]
    with pytest.raises(FileError, match=r"from 300 to 556 us of a readout gradient of 460 us .* cannot be"):
        described(**{**FLAT, "acqDelayTime": 300}).gradient(0, 64)


@pytest.mark.parametrize("rounded", [False, True])
def test_positions_on_ramps_are_those_of_twixtools(rounded: bool) -> None:
    helpers = pytest.importorskip("twixtools.recon_helpers", reason="the extra 'mri' is not installed")
    times = {
        "alRegridMode": [4 if rounded else 2], "alRegridDestSamples": [160], "aflRegridADCDuration": [496.0],
        "alRegridDelaySamplesTime": [32], "alRegridRampupTime": [160], "alRegridFlattopTime": [240],
        "alRegridRampdownTime": [160],
    }  # fmt: skip
    scan = {"sKSpace": {"lBaseResolution": 160}, "sSliceArray": {"asSlice": [{"dReadoutFOV": 1.0}]}}
    wanted = helpers.calc_regrid_traj({"Meas": times, "MeasYaps": scan})
    found = ReadoutGradient(160, 240, 160, 32, 496, rounded).positions(160)
    np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.parametrize("rounded", [False, True])
def test_samples_on_ramps_are_brought_to_even_places(rounded: bool) -> None:
    """A readout of known pixels, sampled where the gradient was: what comes back is its even k-space."""
    gradient = ReadoutGradient(160, 240, 160, 32, 496, rounded)
    places = gradient.positions(RECORDED)
    rng = np.random.default_rng(2)
    image = np.zeros((5, RECORDED), dtype=np.complex128)
    image[:, SAMPLES // 2 : -SAMPLES // 2] = rng.normal(size=(5, SAMPLES)) + 1j * rng.normal(size=(5, SAMPLES))
    pixels = np.arange(RECORDED) - RECORDED // 2
    taken = image @ np.exp(-2j * np.pi / RECORDED * np.outer(pixels, places)) / RECORDED**0.5
    found = regridding(Path("a"), places)
    np.testing.assert_allclose(taken @ found.matrix.T, centred_fft(image, (-1,)), atol=2e-3)
    noise = rng.normal(size=(2, 4000, RECORDED)) / 2**0.5
    even = centred_ifft((noise[0] + 1j * noise[1]) @ found.matrix.T, (-1,))[:, SAMPLES // 2 : -SAMPLES // 2]
    assert abs(float(np.abs(even).std()) / float(np.abs(noise[0] + 1j * noise[1]).std()) / found.noise - 1) < 0.05


def test_ramps_in_both_directions_with_delay_and_phase(tmp_path: Path) -> None:
    """The window is not in the middle of the lobe: the two directions have their samples in other places."""
    k, gradient = kspace(), ReadoutGradient(100, 260, 100, 40, 384)
    places = gradient.positions(RECORDED)
    pixels = np.arange(RECORDED) - RECORDED // 2
    taken = np.exp(-2j * np.pi / RECORDED * np.outer(pixels, places)) / RECORDED**0.5
    ramp = np.exp(1j * (PHASE + 2 * np.pi * DELAY * pixels / RECORDED))
    image = centred_ifft(k, (-1,))
    scan, table = Scan(ISMRMRD_FLAGS), ISMRMRD_FLAGS
    for number, (line, back) in enumerate([(8, 0), (8, 1), (8, 0), *((line, line % 2) for line in range(LINES))]):
        bits = [*([table.phase_correction] if number < 3 else []), *([table.reverse] if back else [])]
        # Backwards the gradient has the other sign: so have the places.
        row = (image[:, line] * ramp) @ taken.conj() if back else image[:, line] @ taken
        scan.add(row.astype(np.complex64), *bits, line=line)
    raw = scan.read(tmp_path / "a", gradient=gradient)
    np.testing.assert_allclose(raw.k, plain(k), atol=3e-3 * float(np.abs(k).max()))
    assert raw.edges is None
    assert "brought to even places" in raw.notes[-1]
    assert "+0.437 samples" in " ".join(raw.notes)


def test_a_window_at_one_end_of_the_lobe_is_refused() -> None:
    with pytest.raises(FileError, match="one end is missing"):
        regridding(Path("a"), ReadoutGradient(100, 260, 100, 0, 300).positions(RECORDED))


@pytest.mark.skipif(not REAL, reason="no real echo-planar scan is shared")
def test_a_real_echo_planar_scan_has_hardly_a_ghost() -> None:
    """Half the field of view away from the object the image of a scan that was put right is dark."""
    raw = read_kspace(REAL[0])
    image = np.sqrt((np.abs(centred_ifft(raw.placed(), (-2, -1))) ** 2).sum(axis=0))
    assert raw.complete
    assert ghost(image) < 0.11
    # The same phantom by a gradient echo, with as many lines.
    other = read_kspace(REAL[0].with_name("twix_gre.dat")).placed()[:, 40:120, 40:120]
    wanted = np.sqrt((np.abs(centred_ifft(other, (-2, -1))) ** 2).sum(axis=0))
    assert np.corrcoef(wanted.ravel(), image.ravel())[0, 1] > 0.85


def ghost(image: NDArray[np.floating]) -> float:
    """The mean of where an image has nothing but its own ghost, over that of the object."""
    smooth = image > 0.25 * np.percentile(image, 99)
    moved = np.roll(smooth, len(image) // 2, axis=0)
    return float(image[moved & ~smooth].mean() / image[smooth].mean())
