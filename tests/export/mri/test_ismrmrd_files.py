"""The ISMRMRD template: read by h5py, by the schema and by the reconstruction of the ISMRMRD project."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import FileError
from cidesign.export.mri.blocks import MriPlan
from cidesign.export.mri.ismrmrd import check_ismrmrd, write_ismrmrd
from cidesign.export.mri.lines import plan_scan
from cidesign.export.mri.protocol import GreProtocol, TseProtocol
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines

pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")
h5py = pytest.importorskip("h5py", reason="the extra 'mri' is not installed")

SCHEMA = Path("/usr/share/ismrmrd/schema/ismrmrd.xsd")
ACQUIRED = (1, 4, 14, 15, 16, 17, 21, 28)
COMMON = {"fov_mm": 220.0, "slice_thickness_mm": 5.0, "te_ms": None, "tr_ms": None, "dwell_us": 20.0, "dummies": 1}


def scanner() -> MriProfile:
    profile = load_profile("mri-generic-3t")
    assert isinstance(profile, MriProfile)
    return profile


def design() -> CartesianLines:
    profile = scanner()
    return CartesianLines(32, 24, np.array(ACQUIRED, dtype=np.int64), 4, profile.id, profile.digest)


def write(path: Path, protocol: GreProtocol | TseProtocol) -> MriPlan:
    plan = plan_scan(design(), protocol, scanner())
    write_ismrmrd(path, plan, design(), protocol, scanner())
    return plan


def gre() -> GreProtocol:
    return GreProtocol(flip_angle_deg=15.0, **COMMON)  # type: ignore[arg-type]


def tse() -> TseProtocol:
    return TseProtocol(flip_angle_deg=90.0, echo_train_length=4, **COMMON)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mrd") / "scan.h5"
    write(path, gre())
    return path


@pytest.mark.parametrize("protocol", [gre(), tse()], ids=["gre", "tse"])
def test_counters_and_flags_as_h5py_sees_them(tmp_path: Path, protocol: GreProtocol | TseProtocol) -> None:
    path = tmp_path / "scan.h5"
    plan = write(path, protocol)
    with h5py.File(path) as file:
        heads = file["dataset/data"]["head"]
        xml = file["dataset/xml"][0].decode()
    steps = heads["idx"]["kspace_encode_step_1"].tolist()
    assert steps == [row.line for row in plan.acquisitions]
    assert sorted(steps) == list(ACQUIRED)
    assert heads["idx"]["segment"].tolist() == [row.echo for row in plan.acquisitions]
    assert set(heads["center_sample"].tolist()) == {24}
    assert set(heads["number_of_samples"].tolist()) == {48}
    assert set(heads["trajectory_dimensions"].tolist()) == {0}
    calibration = (heads["flags"] >> np.uint64(20)) & np.uint64(1)
    assert sorted(step for step, flag in zip(steps, calibration, strict=True) if flag) == [14, 15, 16, 17]
    assert heads["flags"][-1] >> np.uint64(24) & np.uint64(1)
    assert "<x>440.0</x>" in xml  # the encoded field of view is doubled with the oversampling
    assert "<center>16</center>" in xml
    assert "the data are zeros" in xml
    assert f"<H1resonanceFrequency_Hz>{round(3 * 42.576e6)}</H1resonanceFrequency_Hz>" in xml
    assert check_ismrmrd(path, design(), steps).startswith("8 acquisitions, counters equal")


@pytest.mark.parametrize(
    ("matrix", "lines", "expected"),
    [
        ((32, 24), (1, 4, 14, 15, 16, 17, 21, 27), "(missing [27], unexpected [28], duplicated 0)"),
        ((32, 24), ACQUIRED[::-1], "not the lines of the design in their order"),
        ((64, 24), ACQUIRED, "its matrix is 24 x 32, the design has 24 x 64 (encoding.reconSpace.matrixSize)"),
    ],
)
def test_another_design_is_told_apart(
    sound: Path, matrix: tuple[int, int], lines: tuple[int, ...], expected: str
) -> None:
    other = CartesianLines(*matrix, np.sort(np.array(lines, dtype=np.int64)), 0, "some", "0" * 64)
    with pytest.raises(FileError) as caught:
        check_ismrmrd(sound, other, list(lines))
    assert expected in str(caught.value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 12_000))
def test_files_cut_short_are_refused(sound: Path, tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.h5"
    path.write_bytes(sound.read_bytes()[:length])
    with pytest.raises(FileError, match="this ISMRMRD file cannot be read"):
        check_ismrmrd(path, design(), list(ACQUIRED))


def test_a_file_that_another_program_holds_is_said(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path / "held.h5"))
    with path.open("rb+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(FileError, match=r"held\.h5: this ISMRMRD file cannot be read .* not open elsewhere"):
            check_ismrmrd(path, design(), list(ACQUIRED))


@pytest.mark.skipif(
    not shutil.which("xmllint") or not SCHEMA.exists(), reason="xmllint or the ISMRMRD schema is absent"
)
@pytest.mark.parametrize("protocol", [gre(), tse()], ids=["gre", "tse"])
def test_the_header_is_valid_in_the_schema(tmp_path: Path, protocol: GreProtocol | TseProtocol) -> None:
    write(tmp_path / "scan.h5", protocol)
    with h5py.File(tmp_path / "scan.h5") as file:
        (tmp_path / "header.xml").write_bytes(file["dataset/xml"][0])
    command = ["xmllint", "--noout", "--nonet", "--schema", str(SCHEMA), str(tmp_path / "header.xml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("ismrmrd_recon_cartesian_2d"), reason="ismrmrd-tools is not installed")
def test_the_reconstruction_of_the_project_takes_it(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path / "scan.h5"))
    command = ["ismrmrd_recon_cartesian_2d", str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with h5py.File(path) as file:
        images = [name for name in file["dataset"] if name not in ("xml", "data")]
        assert images
        assert file["dataset"][images[0]]["data"].shape[-2:] == (32, 24)
