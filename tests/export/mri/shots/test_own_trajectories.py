"""Trajectories of one's own: nothing is guessed, and what the gradients cannot play is refused with shot and time."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.export.family import family
from cidesign.export.mri.shots.bart import bart_points
from cidesign.export.mri.shots.fit import fit_gradients
from cidesign.export.mri.shots.plan import ShotProtocol
from cidesign.export.mri.shots.scan import SHOTS
from cidesign.export.mri.writer import write_scan
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import write_cfl
from cidesign.pattern import NonCartesian
from cidesign.testing.trajectories import playable_shots

DATA = Path(__file__).parents[4].parent / "shared" / "data"
SAID: dict[str, Any] = {"fov_mm": 220.0, "side": 32, "dwell_us": 8.0, "units": "1/fov", "first": "down"}
BART: dict[str, Any] = {"fov_mm": 220.0, "side": 32, "dwell_us": 8.0}


def scanner(name: str = "mri-siemens-prisma") -> MriProfile:
    profile = load_profile(name)
    assert isinstance(profile, MriProfile)
    return profile


def radial(samples: int = 64, shots: int = 5, reach: float = 15.5) -> NDArray[np.float64]:
    """Spokes at constant speed, (shots, samples, 2) in 1/FOV; the first is not along an axis."""
    angles = 0.3 + np.arange(shots) * 1.94161
    along = (np.arange(samples) - samples / 2 + 0.5) / (samples / 2) * reach
    return np.stack([along * np.sin(angles)[:, None], along * np.cos(angles)[:, None]], axis=-1)


def read(path: Path, options: Mapping[str, Any], name: str = "mri-siemens-prisma") -> OwnDesign:
    return family("mri-shots").read_own([path], scanner(name), options)


def saved(folder: Path, k: NDArray[np.generic]) -> Path:
    np.save(folder / "traj.npy", k)
    return folder / "traj.npy"


def test_a_trajectory_becomes_gradients_that_pass_its_samples(tmp_path: Path) -> None:
    k = radial()
    own = read(saved(tmp_path, k.astype(np.float32)), SAID)
    design = own.design
    assert isinstance(design, NonCartesian)
    assert np.abs(design.samples - k).max() < 1e-4
    assert (design.size, design.fov_mm, design.samples_per_shot, design.dwell_ns) == ((32, 32), 220.0, 64, 8_000)
    # A spoke at constant speed: dk / (gamma FOV dt).
    speed = 31 / 64 / 8e-6 / (42.576e6 * 0.220) * 1e3
    plateau = np.linalg.norm(design.gradients_mt_per_m[:, 10:50], axis=2)
    assert np.abs(plateau - speed).max() < 1e-2 * speed
    assert "the first component along the rows of the image" in own.said[0]
    assert "k reaches" in own.said[1]
    assert own.sources[0][0] == "traj.npy"
    assert Image.open(io.BytesIO(own.preview_png)).size == (640, 640)


@pytest.mark.parametrize(("unit", "step"), [("1/m", 1 / 0.22), ("rad/m", 2 * np.pi / 0.22), ("cycles/px", 1 / 32)])
def test_units_and_the_order_of_components_are_as_said(tmp_path: Path, unit: str, step: float) -> None:
    k = radial()
    path = saved(tmp_path, k[..., ::-1] * step)
    found = read(path, {**SAID, "units": unit, "first": "right"}).design
    assert isinstance(found, NonCartesian)
    assert np.abs(found.samples - k).max() < 1e-6


def test_a_trajectory_of_bart_has_its_columns_first(tmp_path: Path) -> None:
    k = radial()
    write_cfl(tmp_path / "traj", bart_points(k))
    for name in ("traj.cfl", "traj.hdr"):
        found = read(tmp_path / name, BART).design
        assert isinstance(found, NonCartesian)
        assert np.abs(found.samples - k).max() < 1e-4
    with pytest.raises(InputError, match=r"units=1/m: .*traj.cfl says it itself \(1/fov\); leave it out"):
        read(tmp_path / "traj.cfl", {**BART, "units": "1/m"})


@pytest.mark.parametrize("name", ["mri-siemens-prisma", "mri-ge-uhp"])
def test_an_exported_trajectory_is_read_as_it_was(tmp_path: Path, name: str) -> None:
    """The samples, and within them the gradients; what lies outside of the samples no file of k-space holds."""
    design = playable_shots(scanner(name))
    path = saved(tmp_path, design.samples)
    found = read(path, {**SAID, "side": 48}, name).design
    assert isinstance(found, NonCartesian)
    assert np.abs(found.samples - design.samples).max() < 1e-5
    since_ns = np.arange(100_000, 900_000, 10_000)  # the start of sampling

    def along(one: NonCartesian, shot: int, axis: int) -> NDArray[np.float64]:
        corners_ns = np.arange(one.gradients_mt_per_m.shape[1]) * one.raster_ns - one.delay_ns
        return np.interp(since_ns, corners_ns, one.gradients_mt_per_m[shot, :, axis])

    for shot, axis in np.ndindex(3, 2):
        assert np.abs(along(found, shot, axis) - along(design, shot, axis)).max() < 2e-2


@pytest.mark.parametrize("missing", sorted(SAID))
def test_what_the_file_leaves_open_is_asked_for(tmp_path: Path, missing: str) -> None:
    path = saved(tmp_path, radial())
    with pytest.raises(InputError, match=rf"5 shots of 64 samples, the largest .*{missing}=.*: say it with --set"):
        read(path, {name: value for name, value in SAID.items() if name != missing})


def test_all_that_is_open_is_asked_for_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fov_mm=.*side=.*dwell_us=.*units=.*first="):
        read(saved(tmp_path, radial()), {})
    with pytest.raises(InputError, match=r"leaves no such thing open; known are fov_mm, side, dwell_us, units, first"):
        read(saved(tmp_path, radial()), {"fov": 220})


@pytest.mark.parametrize(
    ("change", "options", "error", "expected"),
    [
        (
            lambda k: k * 2,
            {},
            InputError,
            r"k reaches 30\.\d+ of 1/FOV \(shot \d, sample \d+\), an image of 32 pixels has",
        ),
        (
            lambda k: k / 0.22,
            {"fov_mm": 900.0, "units": "1/m"},
            InputError,
            r"another field of view than 900 mm, of \d+\.\d* pix",
        ),
        (lambda k: k / 32, {}, InputError, r"another unit than 1/fov"),
        (
            lambda k: k,
            {"dwell_us": 0.5},
            LimitError,
            r"shot \d, 0\.\d+ ms after its start: gradient is \d+.* 30\.?\d* mT/m",
        ),
        (lambda k: k, {"dwell_us": 8.05}, LimitError, r"dwell time is 8050 ns, the limit is a multiple of 100 ns"),
        (lambda k: k, {"dwell_us": 8.00001}, InputError, r"dwell_us=8\.00001: times are whole nanoseconds"),
        (lambda k: k[:, :62], {}, LimitError, "samples of a shot is 62, the limit is a multiple of 4"),
        (lambda k: k[:, :, :1], {}, FileError, r"shape \(5, 64, 1\); a trajectory is real, \(shots, samples, 2\)"),
        (lambda k: k[..., 0] + 1j * k[..., 1], {}, FileError, r"holds complex128 of shape \(5, 64\)"),
        (lambda k: np.where(k == k[3, 5, 1], np.nan, k), {}, FileError, "shot 3 holds values that are not finite"),
    ],
)
def test_what_is_no_such_trajectory_is_refused(
    tmp_path: Path, change: Any, options: dict[str, Any], error: type[CidesignError], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        read(saved(tmp_path, change(radial())), {**SAID, **options})


def test_a_slew_beyond_the_limit_is_named(tmp_path: Path) -> None:
    k = playable_shots(scanner("mri-ge-uhp")).samples
    with pytest.raises(
        LimitError, match=r"shot 2, 0\.\d+ ms after its start: slew rate is 12\d.* T/m/s, the limit is 120"
    ):
        read(saved(tmp_path, k * 3.2), {**SAID, "side": 160}, "mri-ge-uhp")


def test_a_turn_at_once_is_named(tmp_path: Path) -> None:
    """No gradients with corners on the raster pass the third shot."""
    k = radial()
    k[2, 40:] = k[2, 39:40] + (k[2, 40:] - k[2, 39:40])[:, ::-1] * [1, -1]
    with pytest.raises(
        LimitError, match=r"shot 2, 0\.3\d* ms after its first sample: gradients with corners every 10 us"
    ):
        read(saved(tmp_path, k), SAID)


def test_samples_between_which_no_gradient_is_straight_are_refused(tmp_path: Path) -> None:
    """Five samples in each raster time, of which one lies off a path that is straight between corners."""
    k = radial(samples=320)
    k[1, 100, 0] += 0.01
    with pytest.raises(
        LimitError, match=r"shot 1, 0\.201 ms after its first sample: gradients with corners every 10 us"
    ):
        read(saved(tmp_path, k), {**SAID, "dwell_us": 2.0})


def test_the_fit_recovers_gradients_from_fewer_samples_than_corners() -> None:
    raster_ns, fov_mm = 10_000, 220.0
    design = playable_shots(scanner())
    fitted = fit_gradients(design.samples[:, ::3], 24_000, raster_ns, fov_mm, 130.0)
    assert fitted.apart < 1e-4
    assert fitted.gradients_mt_per_m.shape[1] == 96 + 1 + sum(fitted.ramps_ns) // raster_ns
    assert (fitted.gradients_mt_per_m[:, [0, -1]] == 0).all()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file of a trajectory"):
        read(tmp_path / "none.npy", SAID)
    (tmp_path / "a.csv").write_text("1,2\n")
    with pytest.raises(FileError, match=r"trajectories in a .csv file are not read; use .npy, .cfl, .hdr, .seq"):
        read(tmp_path / "a.csv", SAID)
    write_cfl(tmp_path / "mask", np.ones((8, 8), dtype=np.complex64))
    with pytest.raises(FileError, match=r"a trajectory of BART has dimensions \(3, samples, shots\), not"):
        read(tmp_path / "mask.cfl", BART)
    through = bart_points(radial())
    through[2] = 1
    write_cfl(tmp_path / "through", through)
    with pytest.raises(FileError, match="moves along the third direction"):
        read(tmp_path / "through.cfl", BART)


@pytest.mark.skipif(not (DATA / "mri").is_dir(), reason="the sample data are not beside the repository")
def test_a_real_radial_trajectory_is_a_design() -> None:
    """96 full spokes of 512 samples over half a turn, in 1/FOV of 256 pixels, the rows of the image first."""
    path = DATA / "mri" / "projection_coord.npy"
    said = {"fov_mm": 256.0, "side": 256, "dwell_us": 5.0, "units": "1/fov", "first": "down"}
    found = read(path, said).design
    assert isinstance(found, NonCartesian)
    assert np.abs(found.samples - np.load(path)).max() < 1e-4
    assert np.abs(found.samples[0, [0, -1]] - [[128, 0], [-128, 0]]).max() < 1e-4
    with pytest.raises(
        InputError, match=r"96 shots of 512 samples, the largest component 128; it does not say .*dwell"
    ):
        read(path, {name: value for name, value in said.items() if name != "dwell_us"})
    with pytest.raises(LimitError, match=r"shot \d+, 0\.\d+ ms after its start: gradient is 47\.\d* mT/m, the lim"):
        read(path, {**said, "dwell_us": 1.0, "fov_mm": 250.0}, "mri-generic-3t")


@pytest.mark.skipif(not (DATA / "formats").is_dir(), reason="the sample data are not beside the repository")
def test_the_readouts_of_a_radial_sequence_are_a_design() -> None:
    """60 spokes, 3 degrees apart, of 64 samples of 1/FOV, the first along -x; dummies have no readout."""
    pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
    path = DATA / "formats" / "seq" / "write_radial_gre.seq"
    own = read(path, {"side": 64})
    found = own.design
    assert isinstance(found, NonCartesian)
    assert (found.fov_mm, found.dwell_ns, found.samples.shape) == (260.0, 20_000, (60, 64, 2))
    angles = np.deg2rad(3.0) * np.arange(60)[:, None]
    along = np.arange(64) - 32
    spokes = np.stack([along * np.sin(angles), along * np.cos(angles)], axis=-1)
    # Six digits of gradients and of their lobes.
    assert np.abs(found.samples - spokes).max() < 2e-3
    assert "60 readouts, from the gradients of a Pulseq 1.5.0 file" in own.said[0]
    with pytest.raises(InputError, match=r"fov_mm=256.0: .*radial_gre.seq says it itself \(260.0\); leave it out"):
        read(path, {"side": 64, "fov_mm": 256.0})
    with pytest.raises(InputError, match=r"it does not say the pixels along its side"):
        read(path, {})


@pytest.mark.skipif(not (DATA / "formats").is_dir(), reason="the sample data are not beside the repository")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "write_epi",
            r"the readouts of blocks 3 and 5 share an excitation \(an echo train\); a shot is",
        ),
        ("write_tse", r"share an excitation"),
        ("seq1", r"holds no readout behind an excitation"),
    ],
)
def test_sequences_that_are_no_shots_are_refused(name: str, expected: str) -> None:
    pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
    with pytest.raises(FileError, match=expected):
        read(DATA / "formats" / "seq" / f"{name}.seq", {"side": 64})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shots as this project writes them: a noise scan and a dummy before them, corners of gradients in shapes."""
    for package in ("pypulseq", "ismrmrd"):
        pytest.importorskip(package, reason="the extra 'mri' is not installed")
    folder = tmp_path_factory.mktemp("exported") / "out"
    protocol = ShotProtocol(slice_thickness_mm=5.0, flip_angle_deg=15.0, te_ms=6.0, tr_ms=15.0, dummies=1)
    write_scan(SHOTS, playable_shots(scanner()), scanner(), folder, protocol, ("pulseq",))
    return folder / "gre_3shots_v150.seq"


def test_an_exported_sequence_is_read_as_its_shots(exported: Path) -> None:
    own = read(exported, {"side": 48})
    found = own.design
    assert isinstance(found, NonCartesian)
    assert np.abs(found.samples - playable_shots(scanner()).samples).max() < 2e-3
    assert own.said[1] == "1 readouts without an excitation, or labelled as noise, left out"


def changed(path: Path, target: Path, old: str, new: str) -> Path:
    """The sequence with some words replaced, unsigned as an edited file is."""
    text = path.read_text().partition("[SIGNATURE]")[0]
    assert re.search(old, text)
    target.write_text(re.sub(old, new, text))
    return target


@pytest.mark.parametrize(
    ("old", "new", "error", "expected"),
    [
        (r"(?m)^FOV .*$", "FOV 0.22 0.2 0.005", InputError, r"it does not say the field of view"),
        (r"(?m)^8 1 LIN$", "8 1 SLC", FileError, r"holds several images by its label SLC \(0, 1\)"),
        (
            r"(?m)^4 120 8000",
            "4 96 8000",
            FileError,
            r"of 120 x 8 us \(block 9\) and of 96 x 8 us \(block 17\)",
        ),
        (r"(?m)^(16 443 +0 +2 +3 +)4", r"\g<1>0", FileError, r"k along the slice differs by \d+\.?\d* 1/m between"),
    ],
)
def test_an_edited_sequence(
    exported: Path, tmp_path: Path, old: str, new: str, error: type[CidesignError], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        read(changed(exported, tmp_path / "edited.seq", old, new), {"side": 48})
