"""Reading Pulseq files of four versions, of others and damaged ones; k-space against pypulseq's own."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError
from cidesign.export.mri.checks import check_sequence
from cidesign.export.mri.lines import write_mri_export
from cidesign.export.mri.protocol import GreProtocol, TseProtocol
from cidesign.export.mri.pulseq.read import kspace_at, read_pulseq
from cidesign.export.mri.pulseq.text import read_seq_text
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines

pypulseq = pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")

PEERS = Path(__file__).parents[3].parent / "shared" / "data" / "formats" / "seq"
needs_peers = pytest.mark.skipif(not PEERS.is_dir(), reason="the sample files of other programs are not here")


def scanner(name: str = "mri-generic-3t") -> MriProfile:
    profile = load_profile(name)
    assert isinstance(profile, MriProfile)
    return profile


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seq")
    profile = scanner()
    lines = CartesianLines(16, 12, np.array([2, 7, 8, 13], dtype=np.int64), 2, profile.id, profile.digest)
    common = {"fov_mm": 220.0, "slice_thickness_mm": 5.0, "te_ms": None, "tr_ms": None, "dwell_us": 20.0}
    gre = GreProtocol(flip_angle_deg=15.0, dummies=1, **common)  # type: ignore[arg-type]
    tse = TseProtocol(flip_angle_deg=90.0, echo_train_length=2, **common)  # type: ignore[arg-type]
    write_mri_export(lines, profile, folder / "gre", gre, ("pulseq",))
    write_mri_export(lines, profile, folder / "tse", tse, ("pulseq",))
    return folder


@pytest.mark.parametrize("kind", ["gre", "tse"])
@pytest.mark.parametrize("version", [150, 141])
def test_kspace_equals_that_of_pypulseq(written: Path, kind: str, version: int) -> None:
    path = written / kind / f"{kind}_4of16_v{version}.seq"
    played = read_pulseq(path, scanner())
    times = np.concatenate([sampling.times_s for sampling in played.samplings])
    sequence = pypulseq.Sequence()
    sequence.read(str(path), detect_rf_use=version == 141)
    theirs, _, _, _, t_adc = sequence.calculate_kspace()
    assert np.allclose(times, t_adc, atol=1e-9)
    measured = np.repeat([not sampling.labels.get("NOISE") for sampling in played.samplings], 24)
    assert np.allclose(kspace_at(played, times)[:, measured], theirs[:, measured], atol=1e-3)


@needs_peers
@pytest.mark.parametrize(
    ("name", "version", "readouts"),
    [
        ("seq1", (1, 5, 0), 0),
        ("simple_mprage120", (1, 2, 0), 96),
        ("simple_mprage130", (1, 3, 0), 96),
        ("simple_mprage140", (1, 4, 0), 96),
        ("simple_mprage150", (1, 5, 0), 96),
        ("write_gre", (1, 5, 0), 64),
        ("write_epi", (1, 5, 0), 192),
        ("write_radial_gre", (1, 5, 0), 60),
        ("write_tse", (1, 5, 0), 64),
    ],
)
def test_files_of_others_are_read_and_reported_on(name: str, version: tuple[int, ...], readouts: int) -> None:
    path = PEERS / f"{name}.seq"
    played = read_pulseq(path, scanner("mri-siemens-prisma"))
    assert played.text.version == version
    assert len(played.samplings) == readouts
    lines = {line.name: line for line in check_sequence(path, scanner("mri-siemens-prisma"))}
    assert lines["file"].status == "passed"
    assert lines["gradient x"].status == "passed"
    assert lines["lines"].status == lines["SAR"].status == "not checked"
    assert lines["signature"].status == ("passed" if version >= (1, 4, 0) else "not checked")
    assert lines["raster AdcRasterTime"].status == ("passed" if version >= (1, 4, 0) else "not checked")
    # pypulseq warns of every version before 1.4.1: that is told, and breaks nothing.
    assert lines["reader's remarks"].status == ("passed" if version >= (1, 4, 1) else "remark")


@needs_peers
def test_what_is_wrong_with_files_of_others_is_found() -> None:
    """Uneven echo spacing of one published turbo spin echo, and slews of another file beyond a weaker scanner.

    The spacing breaks no limit of a scanner, and may be meant: it is told.
    """
    lines = {line.name: line for line in check_sequence(PEERS / "write_tse.seq", scanner())}
    assert lines["TE on all lines"].status == "remark"
    assert "that may be meant" in lines["TE on all lines"].value
    lines = {line.name: line for line in check_sequence(PEERS / "write_gre.seq", scanner("mri-ge-mr750"))}
    assert lines["nerve stimulation (PNS)"].status == "failed"
    assert lines["raster BlockDurationRaster"].status == "failed"
    assert [lines[f"slew {axis}"].status for axis in "xyz"] == ["passed"] * 3
    assert lines["slew, any orientation"].status == "remark"
    lines = {
        line.name: line for line in check_sequence(PEERS / "write_gre.seq", scanner("mri-ge-mr750"), orientation="any")
    }
    assert lines["slew, any orientation"].status == "failed"


@needs_peers
@pytest.mark.parametrize("name", ["simple_mprage120", "simple_mprage140", "write_epi", "write_radial_gre", "write_gre"])
def test_kspace_of_others_equals_that_of_pypulseq(name: str) -> None:
    import warnings

    path = PEERS / f"{name}.seq"
    played = read_pulseq(path, scanner("mri-siemens-prisma"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sequence = pypulseq.Sequence(
            system=pypulseq.Opts(rf_dead_time=100e-6, rf_ringdown_time=30e-6, adc_dead_time=1e-5)
        )
        sequence.read(str(path), detect_rf_use=played.text.version < (1, 5, 0))
        theirs = sequence.calculate_kspace()[0]
    times = np.concatenate([sampling.times_s for sampling in played.samplings])
    assert np.abs(kspace_at(played, times) - theirs).max() < 1e-3 * np.abs(theirs).max()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no [VERSION] or no [BLOCKS]"),
        (b"\xff\xfe\x00", "not a Pulseq text file"),
        (b"[VERSION]\nmajor 1\n[BLOCKS]\n", "[VERSION] is not major, minor and revision"),
        (b"[VERSION]\nmajor 1\nminor x\nrevision 0\n[BLOCKS]\n", "[VERSION] is not major"),
        (b"[VERSION]\nmajor 1\nminor 5\nrevision 0\n\n[BLOCKS]\n\n", "it has no blocks"),
        (
            b"[VERSION]\nmajor 1\nminor 5\nrevision 0\n\n[ADC]\n1 99999999999 1 1\n[BLOCKS]\n",
            "declares 99999999999 samples",
        ),
        (
            b"[VERSION]\nmajor 1\nminor 5\nrevision 0\n\n[SHAPES]\nshape_id 1\nnum_samples nan\n[BLOCKS]\n",
            "declares nan samples",
        ),
    ],
)
def test_what_is_no_sequence_is_one_failed_check(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "some.seq"
    path.write_bytes(content)
    lines = check_sequence(path, scanner())
    assert [line.name for line in lines if line.status == "failed"] == ["file"]
    assert expected in lines[0].value
    assert {line.name for line in lines if line.status == "not checked"} == {"SAR", "B1 limit", "acoustics"}


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        check_sequence(tmp_path / "none.seq", scanner())


def test_version_and_definitions_are_read_without_pypulseq(written: Path) -> None:
    text = read_seq_text(written / "gre" / "gre_4of16_v141.seq")
    assert text.version == (1, 4, 1)
    assert text.numbers("FOV") == [0.22, 0.22, 0.005]
    assert text.numbers("kSpaceCenterLine") == [8]
    assert text.definitions["Name"] == "cidesign_gre_research_only"
    assert text.numbers("Name") == []
    assert text.signature is not None
    assert text.signature.stated == text.signature.actual


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_never_end_in_a_traceback(written: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray((written / "tse" / "tse_4of16_v150.seq").read_bytes())
    # The shapes are most of the file; mutations go where the numbers matter.
    end = content.index(b"[SHAPES]") + 200
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, end - 1))
        kind = data.draw(st.sampled_from(["byte", "digit", "cut", "copy"]))
        if kind == "byte":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "digit":
            content[at : at + 1] = data.draw(
                st.sampled_from([b"9999999", b"-1", b"nan", b"1e308", b" ", b"\n", b"inf"])
            )
        elif kind == "cut":
            del content[at : at + data.draw(st.integers(1, 400))]
        else:
            content[at:at] = content[at : at + data.draw(st.integers(1, 200))]
        end = min(end, len(content))
    path = tmp_path / "mutated.seq"
    path.write_bytes(bytes(content))
    try:
        lines = check_sequence(path, scanner("mri-ge-uhp"))
    except CidesignError as error:
        raise AssertionError(f"a damaged file is a failed check, not {error}") from error
    assert all("\n" not in str(line) for line in lines)
