"""Sequences of shots that were changed after the export: each change is caught by the check that is for it."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cidesign.checks import Check
from cidesign.export.mri.checks import check_sequence
from cidesign.export.mri.results import in_one_line
from cidesign.export.mri.shots.checks import designed_shots
from cidesign.export.mri.shots.plan import ShotProtocol
from cidesign.export.mri.shots.scan import SHOTS
from cidesign.export.mri.writer import write_scan
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.testing.trajectories import playable_shots

pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")


def scanner() -> MriProfile:
    profile = load_profile("mri-generic-3t")
    assert isinstance(profile, MriProfile)
    return profile


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("shots") / "out"
    protocol = ShotProtocol(slice_thickness_mm=5.0, flip_angle_deg=15.0, te_ms=6.0, tr_ms=15.0, dummies=1)
    write_scan(SHOTS, playable_shots(scanner()), scanner(), folder, protocol, ("pulseq",))
    return {version: (folder / f"gre_3shots_{version}.seq").read_text() for version in ("v150", "v141")}


def signed_again(text: str) -> str:
    unsigned = text[: text.index("\n[SIGNATURE]")]
    digest = hashlib.md5(unsigned.encode(), usedforsecurity=False).hexdigest()
    return f"{unsigned}\n[SIGNATURE]\nType md5\nHash {digest}\n"


def in_section(text: str, section: str, change: Callable[[list[str]], list[str]]) -> str:
    head, rest = text.split(f"[{section}]\n", 1)
    body, tail = rest.split("\n\n", 1)
    return f"{head}[{section}]\n" + "\n".join(change(body.split("\n"))) + f"\n\n{tail}"


def scaled(text: str, row: int, factor: float) -> str:
    """One gradient of the file with another amplitude."""

    def change(lines: list[str]) -> list[str]:
        words = lines[row].split()
        lines[row] = " ".join([words[0], f"{float(words[1]) * factor:g}", *words[2:]])
        return lines

    return in_section(text, "GRADIENTS", change)


def off_raster(text: str) -> str:
    """The time shape of all gradients, whole rasters, becomes one with its second corner at 1.3 rasters."""
    corners = np.arange(121.0)
    corners[1] = 1.3
    plain = "".join(f"{value:g}\n" for value in corners)
    return text.replace("num_samples 121\n0\n1\n1\n118\n", f"num_samples 121\n{plain}")


def other_block(text: str, column: int) -> str:
    """The gradient of an axis in the last readout is that of the readout before."""

    def change(lines: list[str]) -> list[str]:
        last, before = lines[-2].split(), lines[-6].split()
        last[column] = before[column]
        return [*lines[:-2], " ".join(last), lines[-1]]

    return in_section(text, "BLOCKS", change)


def swapped_labels(text: str) -> str:
    return text.replace(" 1 LIN", " # LIN").replace(" 2 LIN", " 1 LIN").replace(" # LIN", " 2 LIN")


def later(text: str) -> str:
    """Samples that start 10 us later."""
    return in_section(text, "ADC", lambda lines: [re.sub(r"^(\S+ \S+ \S+) 24 ", r"\1 34 ", line) for line in lines])


def without_rewinder(text: str) -> str:
    """The last block plays no gradient along y."""

    def change(lines: list[str]) -> list[str]:
        words = lines[-1].split()
        words[4] = "0"
        return [*lines[:-1], " ".join(words)]

    return in_section(text, "BLOCKS", change)


CASES: dict[str, tuple[Callable[[str], str], str, str]] = {
    "0.2 % more of one gradient": (
        lambda text: scaled(text, 2, 1.002),
        "k-space",
        r"of 1/FOV off in shot 1, sample \d+, \d\.\d+ ms after its start \(block \d+\); limit 0\.001 of 1/FOV",
    ),
    "4 x amplitude": (
        lambda text: scaled(text, 5, 4.0),
        "gradient y",
        r"mT/m at \d+\.\d+ ms, block \d+ \(shot 2\); limit 30 mT/m \(mri-generic-3t, design",
    ),
    "4 x slew": (
        lambda text: scaled(text, 5, 4.0),
        "limits of the shots",
        r"shot 2, 0\.\d+ ms after its start: gradient is 3\d\.\d* mT/m",
    ),
    "corner off the raster": (
        off_raster,
        "raster of the shots",
        r"shot 0: a corner along [xy] 13 us after its start; limit corners every 10 us",
    ),
    "a gradient of another shot": (lambda text: other_block(text, 4), "k-space", r"off in shot 2, sample"),
    "swapped labels": (swapped_labels, "labels", r"block \d+ plays shot 1 and is labelled 2"),
    "samples later": (later, "k-space", r"of 1/FOV off in shot"),
    "another dwell": (
        lambda text: text.replace(" 120 8000 ", " 120 8100 "),
        "shots",
        r"shot 0, block \d+: 120 x 8\.1 us; limit 3 shots, 120 x 8 us each",
    ),
    "a shot missing": (
        lambda text: in_section(text, "BLOCKS", lambda lines: lines[:-4]),
        "shots",
        r"2 readouts; limit 3 shots",
    ),
    "another field of view": (
        lambda text: text.replace("FOV 0.22 0.22", "FOV 0.24 0.24"),
        "k-space",
        r"states a FOV of 240 mm; limit 220 mm",
    ),
    "no rewinder": (
        without_rewinder,
        "rewound",
        r"of 1/FOV left in the plane at the end of the repetition that starts",
    ),
    "edited": (lambda text: text.replace("research_only", "clinical_use"), "signature", "edited after export"),
}


@pytest.mark.parametrize("version", ["v150", "v141"])
@pytest.mark.parametrize("case", sorted(CASES))
def test_a_tampered_sequence_fails_the_check_that_is_for_it(
    texts: dict[str, str], tmp_path: Path, case: str, version: str
) -> None:
    change, name, expected = CASES[case]
    text = change(texts[version])
    assert text != texts[version]
    path = tmp_path / "a.seq"
    path.write_text(text if case == "edited" else signed_again(text))
    found = {one.name: one for one in checked(path)}
    assert found[name].status == "failed", found[name]
    assert re.search(expected, in_one_line(found[name])), in_one_line(found[name])
    assert (found["signature"].status == "failed") == (case == "edited")


def test_a_sound_sequence_passes(texts: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.seq"
    path.write_text(texts["v150"])
    assert not [one for one in checked(path) if one.status == "failed"]


def checked(path: Path) -> list[Check]:
    return check_sequence(path, scanner(), designed_shots(playable_shots(scanner()), scanner()), "design")
