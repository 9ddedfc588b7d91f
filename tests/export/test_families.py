"""Every device family keeps the laws of `cidesign.testing.families`, and general code finds each by what it is for."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.designs.checking import check_path
from cidesign.errors import FileError, InputError, LimitError
from cidesign.export.family import FAMILIES, families, family, family_of, family_of_file, family_of_folder
from cidesign.export.mri.results import not_evaluated
from cidesign.hardware_profiles.loader import load_profile, validate_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.hardware_profiles.schema import KINDS, profile_type
from cidesign.pattern import ApertureMask, CartesianLines, CartesianPoints, PatternStack
from cidesign.testing.families import LAWS, FamilyCase
from cidesign.testing.trajectories import playable_shots

# Format -> a device that takes it, and how many mirrors it has here (rows of ALP files are known for 1024 columns).
DMDS = {
    ("dlpc350", "hdmi"): ("dlp4500", 21, 30),
    ("dlpc900",): ("dlp6500", 22, 30),
    ("alp",): ("dlp7000", 1024, 8),
}
EXTRAS = {"aperture": ("gdstk",), "mri": ("pypulseq", "ismrmrd")}


def patterns(formats: tuple[str, ...], make_pattern: Callable[..., PatternStack]) -> FamilyCase:
    name, columns, rows = DMDS[formats]
    raw: dict[str, Any] = load_profile(name).model_dump(mode="json", exclude_none=True)
    raw["mirrors"]["columns"]["value"], raw["mirrors"]["rows"]["value"] = columns, rows
    profile = validate_profile(raw, "test")
    design = make_pattern(profile, 3, 6)
    other = replace(design, levels=np.ascontiguousarray(design.levels[:, :, ::-1]))
    return FamilyCase(family("dmd"), design, other, profile, formats, {"exposure_us": 20_000.0})


def mask(formats: tuple[str, ...], _: object) -> FamilyCase:
    chrome = load_profile("chrome-laser-10um")
    levels = np.zeros((12, 16), dtype=np.uint8)
    levels[2:9, 3:6] = levels[2:5, 3:14] = 1
    design = ApertureMask(levels, 10.0, chrome.id, chrome.digest)
    other = replace(design, levels=np.ascontiguousarray(levels[:, ::-1]))
    return FamilyCase(family("aperture"), design, other, chrome, formats, {"name": "CODE", "join_rows": False})


def lines(formats: tuple[str, ...], _: object) -> FamilyCase:
    scanner = load_profile("mri-generic-3t")
    design = CartesianLines(16, 12, np.array([2, 7, 8, 9, 12], dtype=np.int64), 3, scanner.id, scanner.digest)
    other = replace(design, acquired=np.array([4, 7, 8, 9, 14], dtype=np.int64))
    return FamilyCase(family("mri"), design, other, scanner, formats, {"te_ms": 8.0, "dummies": 1})


def points(formats: tuple[str, ...], _: object) -> FamilyCase:
    scanner = load_profile("mri-generic-3t")
    acquired = np.array([[0, 2], [2, 1], [2, 2], [3, 1], [3, 2], [5, 0]])
    design = CartesianPoints(6, 4, 8, acquired, (2, 2), scanner.id, scanner.digest)
    other = replace(design, acquired=np.array([[0, 1], [2, 1], [2, 2], [3, 1], [3, 2], [5, 3]]))
    return FamilyCase(family("mri-points"), design, other, scanner, formats, {"te_ms": 8.0, "dummies": 1})


def shots(formats: tuple[str, ...], _: object) -> FamilyCase:
    scanner = load_profile("mri-generic-3t")
    assert isinstance(scanner, MriProfile)
    design = playable_shots(scanner, 2)
    flipped = np.ascontiguousarray(design.gradients_mt_per_m[..., ::-1])
    other = replace(design, gradients_mt_per_m=flipped, starts=np.ascontiguousarray(design.starts[:, ::-1]))
    return FamilyCase(family("mri-shots"), design, other, scanner, formats, {"te_ms": 8.0, "dummies": 1})


CASES = {
    **{f"dmd-{formats[0]}": (patterns, formats) for formats in DMDS},
    **{f"aperture-{name}": (mask, (name,)) for name in ("tiff", "gds", "oasis")},
    **{f"mri-{names[0]}": (lines, names) for names in (("pulseq",), ("ismrmrd", "bart"), ("table", "mat"))},
    **{f"mri-shots-{names[0]}": (shots, names) for names in (("pulseq",), ("ismrmrd", "bart", "npy", "table"))},
    **{f"mri-points-{names[0]}": (points, names) for names in (("pulseq",), ("ismrmrd", "bart"), ("table",))},
}


@pytest.fixture
def case(request: pytest.FixtureRequest, make_pattern: Callable[..., PatternStack]) -> FamilyCase:
    """The case of a name; skipped where the extra that its files need is not installed."""
    for package in EXTRAS.get(request.param.split("-")[0], ()):
        pytest.importorskip(package, reason="an extra is not installed")
    make, formats = CASES[request.param]
    return make(formats, make_pattern)


@pytest.mark.parametrize("law", LAWS, ids=[law.__name__ for law in LAWS])
@pytest.mark.parametrize("case", CASES, indirect=True)
def test_law(case: FamilyCase, law: Callable[[FamilyCase, Path], None], tmp_path: Path) -> None:
    law(case, tmp_path)


@pytest.mark.parametrize(
    "case", ["dmd-dlpc350", "aperture-tiff", "mri-table", "mri-points-table", "mri-shots-ismrmrd"], indirect=True
)
def test_general_code_finds_the_family(case: FamilyCase, tmp_path: Path) -> None:
    assert family_of(case.design) is case.family
    folder = case.export(tmp_path / "e").folders[0]
    assert family_of_folder(folder) is case.family
    assert [family_of_file(tmp_path / f"x{suffix.upper()}") for suffix in case.family.suffixes] == [
        case.family for _ in case.family.suffixes
    ]
    report = check_path(folder)
    assert report.ok
    assert {where for where, _ in report.found} == {folder}
    assert [found.check for found in report.found] == list(case.family.verify_export(folder))
    for other in families():
        kind = next(kind for kind in KINDS if issubclass(profile_type(kind), other.profile_type))
        if other.profile_type is not case.family.profile_type:
            name = {"dmd": "dlp4500", "aperture": "film-20000dpi", "mri": "mri-ge-uhp"}[kind]
            with pytest.raises(InputError, match=f"kind {kind}; {case.family.described} is needed here"):
                check_path(folder, name)


@pytest.mark.parametrize(
    "case", ["dmd-dlpc350", "aperture-tiff", "mri-table", "mri-points-table", "mri-shots-ismrmrd"], indirect=True
)
def test_a_design_is_checked_without_files(case: FamilyCase, tmp_path: Path) -> None:
    options = case.family.options((), case.settings)
    found = case.family.check_design(case.design, case.profile, options, tmp_path / "run")
    assert found[0].name == "design"
    assert {finding.status for finding in found} <= {"passed", "remark"}
    assert not list(tmp_path.iterdir())


def test_a_missing_calibration_line_is_a_broken_limit(tmp_path: Path) -> None:
    one = lines((), None)
    broken = replace(one.design)
    object.__setattr__(broken, "acquired", np.array([2, 7, 9, 12, 13], dtype=np.int64))
    with pytest.raises(LimitError, match=r"calibration lines is .*8"):
        one.family.check_design(broken, one.profile, one.family.options(), tmp_path)


def test_every_kind_suffix_and_option_is_of_one_family() -> None:
    for names in (
        [kind for one in families() for kind in one.kinds],
        [suffix for one in families() for suffix in one.suffixes],
        [flag for one in families() for flag in one.flags],
    ):
        assert len(names) == len(set(names)) > 0
    assert [one.name for one in families()] == list(FAMILIES)
    for kind in KINDS:
        assert any(issubclass(profile_type(kind), one.profile_type) for one in families())


def test_what_no_family_knows_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ndarray: not a design of one of the device families dmd, aperture, mri"):
        family_of(np.zeros(3))
    with pytest.raises(FileError, match=r"cannot be checked; known are \.bmp, .*\.seq"):
        family_of_file(tmp_path / "design.npz")
    for kind, said in (("some", "names the kind 'some'"), (None, "names no kind"), (3, "names no kind")):
        (tmp_path / "manifest.json").write_text(json.dumps({"kind": kind}))
        with pytest.raises(FileError, match=rf"{said}; .* exports of kind export, aperture-export, mri-export"):
            family_of_folder(tmp_path)
    with pytest.raises(InputError, match=r"cell: no such setting for this kind of file; it is for \.tif, "):
        family("mri").file_options({"cell": "A"})
    with pytest.raises(InputError, match=r"a gre protocol has no such field; known are .*fov_mm, "):
        family("mri").options((), {"te": 5})
    with pytest.raises(InputError, match=r"noise_scan=maybe: a value of the kind bool is needed"):
        family("mri").options((), {"noise_scan": "maybe"})
    with pytest.raises(InputError, match=r"echo_train_length=8.5: a value of the kind int is needed"):
        family("mri").options((), {"kind": "tse", "echo_train_length": 8.5})
    with pytest.raises(InputError, match="exactly one of dwell_us and bandwidth_hz_per_px"):
        family("mri").options((), {"dwell_us": 20, "bandwidth_hz_per_px": 250})
    assert family("mri").options((), {"dwell_us": 20}).protocol.dwell_us == 20.0
    assert family("aperture").file_options({"cell": 7}).cell == "7"


def test_a_sequence_is_reported_on_in_full(tmp_path: Path) -> None:
    pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
    path = tmp_path / "a.seq"
    path.write_text("no sequence")
    report = check_path(path, "mri-generic-3t")
    assert not report.ok
    assert report.found[0].check.status == "failed"
    assert report.found[-1].check == not_evaluated(
        "acoustics", "the resonances of the gradient coil are not in the profile; the scanner decides"
    )
    with pytest.raises(FileError, match="1 check failed: file"):
        report.require_ok()
