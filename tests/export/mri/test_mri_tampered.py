"""Files that were changed after the export, or that nobody should play: each is caught, by the check that is for it."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cidesign.checks import Check
from cidesign.errors import CidesignError, FileError, LimitError
from cidesign.export.mri.checks import check_sequence
from cidesign.export.mri.lines import verify_mri_export, write_mri_export
from cidesign.export.mri.manifest import MriFile
from cidesign.export.mri.protocol import GreProtocol
from cidesign.export.mri.results import in_one_line
from cidesign.export.writing import Output
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines

pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")

ACQUIRED = (2, 7, 8, 9, 13)
NAME = "gre_5of16"


def scanner() -> MriProfile:
    profile = load_profile("mri-generic-3t")
    assert isinstance(profile, MriProfile)
    return profile


def design() -> CartesianLines:
    profile = scanner()
    return CartesianLines(16, 12, np.array(ACQUIRED, dtype=np.int64), 3, profile.id, profile.digest)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mri") / "out"
    protocol = GreProtocol(
        fov_mm=220.0,
        slice_thickness_mm=5.0,
        flip_angle_deg=15.0,
        te_ms=6.0,
        tr_ms=15.0,
        dwell_us=20.0,
        dummies=1,
    )
    write_mri_export(design(), scanner(), folder, protocol, ("pulseq", "ismrmrd", "bart", "table", "mat"))
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "out"))


def signed_again(text: str) -> str:
    """The file with a fresh signature, as an editor that knows the format would leave it."""
    unsigned = text[: text.index("\n[SIGNATURE]")]
    return (
        f"{unsigned}\n[SIGNATURE]\nType md5\nHash {hashlib.md5(unsigned.encode(), usedforsecurity=False).hexdigest()}\n"
    )


def recorded_again(folder: Path, name: str) -> None:
    """Put the new hash of a file into the manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    out = Output(folder, MriFile)
    out.record(name, manifest["files"][name]["role"])
    manifest["files"][name] = out.files[name].model_dump(mode="json")
    path.write_text(json.dumps(manifest))


def in_section(text: str, section: str, change: Callable[[list[str]], list[str]]) -> str:
    """Change the lines of one section of a Pulseq file."""
    head, rest = text.split(f"[{section}]\n", 1)
    body, tail = rest.split("\n\n", 1)
    return f"{head}[{section}]\n" + "\n".join(change(body.split("\n"))) + f"\n\n{tail}"


def amplitudes(lines: list[str], factor: float) -> list[str]:
    rows = [line.split() for line in lines]
    return [" ".join([row[0], f"{float(row[1]) * factor:g}", *row[2:]]) for row in rows]


def without_a_line(text: str) -> str:
    """Leave out the four blocks of the last repetition, and renumber nothing that is kept."""
    return in_section(text, "BLOCKS", lambda lines: lines[:-4])


def doubled_line(text: str) -> str:
    """Play the four blocks of the last repetition twice."""

    def change(lines: list[str]) -> list[str]:
        again = [line.split() for line in lines[-4:]]
        return [*lines, *(" ".join([str(int(row[0]) + 4), *row[1:]]) for row in again)]

    return in_section(text, "BLOCKS", change)


def swapped_labels(text: str) -> str:
    """Give the first two lines each other's LIN."""
    low, high = f" {ACQUIRED[0]} LIN", f" {ACQUIRED[1]} LIN"
    assert low in text
    assert high in text
    return text.replace(low, " # LIN").replace(high, low).replace(" # LIN", high)


def other_dwell(text: str) -> str:
    return in_section(text, "ADC", lambda lines: [line.replace(" 20000 ", " 20050 ") for line in lines])


def no_ramp(text: str) -> str:
    """Make the first trapezoid rise in one microsecond, off the raster."""
    return in_section(text, "TRAP", lambda lines: [re.sub(r"^(\s*\d+\s+\S+\s+)\d+", r"\g<1>1", lines[0]), *lines[1:]])


def longer_repetition(text: str) -> str:
    """Make one block of one repetition 100 us longer."""

    def change(lines: list[str]) -> list[str]:
        row = lines[-1].split()
        return [*lines[:-1], " ".join([row[0], str(int(row[1]) + 10), *row[2:]])]

    return in_section(text, "BLOCKS", change)


def unset_labels(text: str) -> str:
    """Take the labels out of the first block."""
    return in_section(text, "BLOCKS", lambda lines: [lines[0][: lines[0].rindex(" ")] + " 0", *lines[1:]])


TAMPERED: dict[str, tuple[Callable[[str], str], str, str]] = {
    "20 x amplitude": (
        lambda text: in_section(text, "TRAP", lambda lines: amplitudes(lines, 20)),
        "gradient z",
        r"\d{3}\.?\d* mT/m at \d+\.\d+ ms, block \d+; limit 30 mT/m \(mri-generic-3t, design: mrseq",
    ),
    "20 x slew": (
        lambda text: in_section(text, "TRAP", lambda lines: amplitudes(lines, 20)),
        "slew x",
        r"T/m/s at \d+\.\d+ ms, block \d+; limit 120 T/m/s",
    ),
    "wrong raster": (
        lambda text: text.replace("GradientRasterTime 1e-05", "GradientRasterTime 4e-06"),
        "raster GradientRasterTime",
        r"4 us; limit 10 us \(mri-generic-3t: Pulseq demos",
    ),
    "raster missing": (
        lambda text: text.replace("AdcRasterTime 1e-07 \n", ""),
        "raster AdcRasterTime",
        "missing; limit 0.1 us",
    ),
    "missing line": (without_a_line, "lines", r"missing 13; limit 5 of 16 lines, each once \(the design\)"),
    "doubled line": (doubled_line, "lines", r"duplicated 13; limit 5 of 16 lines"),
    "swapped labels": (swapped_labels, "labels", r"block \d+ measures line 2 and is labelled 7 \(and 1 more\)"),
    "labels without start": (unset_labels, "labels have a start value", "without: LIN, NOISE"),
    "dwell off the raster": (other_dwell, "timing", r"adc dwell: 20\.05 us, raster \(adc raster time\)"),
    "ramp off the raster": (no_ramp, "timing", r"rise time: 1 us, raster \(grad raster time\)"),
    "scaled field of view": (
        lambda text: text.replace("FOV 0.22 0.22", "FOV 0.22 0.2"),
        "distance from the grid",
        r"steps; limit 0\.001 steps",
    ),
    "no field of view": (
        lambda text: re.sub(r"FOV .*\n", "", text),
        "lines",
        "states no FOV of three lengths",
    ),
    "one repetition unlike the others": (longer_repetition, "repetitions are alike", "TRID 1: block 23 on differs"),
    "another centre": (
        lambda text: text.replace("kSpaceCenterLine 8", "kSpaceCenterLine 7"),
        "centre line",
        "kSpaceCenterLine 7; limit 8",
    ),
    "edited": (lambda text: text.replace("research_only", "clinical_use"), "signature", "file edited after export"),
}


@pytest.mark.parametrize("version", ["v150", "v141"])
@pytest.mark.parametrize("case", sorted(TAMPERED))
def test_a_tampered_sequence_fails_the_check_that_is_for_it(folder: Path, case: str, version: str) -> None:
    change, check, expected = TAMPERED[case]
    path = folder / f"{NAME}_{version}.seq"
    text = change(path.read_text())
    assert text != path.read_text()
    path.write_text(text if case == "edited" else signed_again(text))
    lines = {line.name: line for line in check_sequence(path, scanner(), design(), "design")}
    assert lines[check].status == "failed", lines[check]
    assert re.search(expected, in_one_line(lines[check])), lines[check]
    assert (lines["signature"].status == "failed") == (case == "edited")


def test_blocks_of_the_same_number_hide_each_other(folder: Path) -> None:
    path = folder / f"{NAME}_v150.seq"
    path.write_text(signed_again(in_section(path.read_text(), "BLOCKS", lambda lines: [*lines, lines[-1]])))
    line = check_sequence(path, scanner(), design(), "design")[0]
    assert line.status == "failed"
    assert "in [BLOCKS]: the number 26 occurs twice, first in line" in line.value


def test_a_sound_sequence_passes(sound: Path) -> None:
    for version in ("v150", "v141"):
        lines = check_sequence(sound / f"{NAME}_{version}.seq", scanner(), design(), "design")
        assert not [line for line in lines if line.status == "failed"]


def test_without_the_design_the_lines_are_not_evaluated(sound: Path) -> None:
    lines: list[Check] = check_sequence(sound / f"{NAME}_v150.seq", scanner())
    statuses = {line.name: line.status for line in lines}
    assert statuses["lines"] == statuses["labels"] == "not checked"
    assert statuses["gradient x"] == "passed"


@pytest.mark.parametrize(
    ("case", "error", "expected"),
    [
        ("20 x amplitude", LimitError, r"gradient x is .* the limit is 30 mT/m"),
        ("missing line", FileError, r"lines is missing 13, the limit is 5 of 16 lines"),
        ("swapped labels", FileError, r"labels is block \d+ measures line 2 and is labelled 7"),
        ("wrong raster", LimitError, r"raster GradientRasterTime is 4 us, the limit is 10 us"),
    ],
)
def test_a_folder_whose_hashes_were_mended_is_still_caught(
    folder: Path, case: str, error: type[CidesignError], expected: str
) -> None:
    name = f"{NAME}_v141.seq"
    path = folder / name
    path.write_text(signed_again(TAMPERED[case][0](path.read_text())))
    with pytest.raises(FileError, match=r"was changed after it was exported"):
        list(verify_mri_export(folder))
    recorded_again(folder, name)
    with pytest.raises(error) as caught:
        list(verify_mri_export(folder))
    assert re.search(expected, str(caught.value)), caught.value


def test_an_edited_sequence_is_caught_by_its_hash(folder: Path) -> None:
    path = folder / f"{NAME}_v150.seq"
    path.write_text(path.read_text().replace("research_only", "researchaonly"))
    with pytest.raises(
        FileError, match=r"gre_5of16_v150\.seq: was changed after it was exported \(its SHA-256 does not fit\)"
    ):
        list(verify_mri_export(folder))


def test_a_truncated_array_names_the_bytes(folder: Path) -> None:
    path = folder / f"{NAME}_mask.cfl"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(FileError, match="has 1528 bytes, the manifest says 1536"):
        list(verify_mri_export(folder))
    recorded_again(folder, path.name)
    with pytest.raises(FileError, match=r"gre_5of16_mask\.cfl: has 1528 bytes, its header says 1536 \(12 x 16"):
        list(verify_mri_export(folder))


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (f"{NAME}_mask.cfl", lambda data: data[:96][::-1] + data[96:], "is not the mask of the design"),
        (f"{NAME}_traj.cfl", lambda data: data[::-1], "is not the trajectory of the design"),
        (f"{NAME}.csv", lambda data: data.replace(b"0,0,2,-6", b"0,0,3,-5"), "not the order of lines"),
        (f"{NAME}.csv", lambda data: data.replace(b"0,0,2,-6", b"0,zero,2"), "this table of lines is damaged"),
        (f"{NAME}.mat", lambda data: data[:150], ".mat"),
        (f"{NAME}.h5", lambda data: data[:900], "this ISMRMRD file cannot be read"),
        ("design.npz", lambda data: data[:100], "design"),
    ],
)
def test_companions_that_were_changed(folder: Path, name: str, change: Callable[[bytes], bytes], expected: str) -> None:
    path = folder / name
    changed = change(path.read_bytes())
    if name.endswith("mask.cfl"):
        changed = np.roll(np.frombuffer(path.read_bytes(), dtype="<c8"), 12).tobytes()
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    recorded_again(folder, name)
    with pytest.raises(FileError) as caught:
        list(verify_mri_export(folder))
    assert expected in str(caught.value)


def test_missing_and_foreign_files(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"notes\.txt is not in manifest\.json"):
        list(verify_mri_export(folder))
    (folder / "notes.txt").unlink()
    (folder / f"{NAME}.h5").unlink()
    with pytest.raises(FileError, match=r"gre_5of16\.h5 is missing"):
        list(verify_mri_export(folder))
