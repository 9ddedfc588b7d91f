"""A device family of another package: its kind of profile and its files are found by entry points."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cidesign as ci
from cidesign.errors import FileError, InputError
from cidesign.export.family import FAMILIES, families, family, family_for, family_of
from cidesign.hardware_profiles.loader import as_profile, load_profile, read_profile

PACKAGE = """
from dataclasses import dataclass
from typing import Literal

from cidesign.export.family import DeviceFamily, NoOptions
from cidesign.export.manifest import ExportManifest
from cidesign.hardware_profiles.sourced import HardwareProfile, Sourced


class DrumProfile(HardwareProfile):
    kind: Literal["drum"]
    slots: Sourced[int]


@dataclass(frozen=True)
class Drum:
    profile_id: str


class DrumManifest(ExportManifest):
    kind: Literal["drum-export"]


class DrumFamily(DeviceFamily):
    name = "drum"
    design_type, profile_type, manifest_type, file_options_type = Drum, DrumProfile, DrumManifest, NoOptions
    suffixes = (".drum",)
    described, plural, contents = "a drum", "drums", "slots"

    def options(self, formats=(), settings={}):
        return NoOptions()

    def export(self, design, profile, folder, options, force=False):
        raise NotImplementedError

    def verify_export(self, folder, profile=None):
        raise NotImplementedError

    def profile_for(self, own, asked, where):
        return asked or own

    def check_design(self, design, profile, options, where):
        return []

    def read_own(self, files, profile, settings={}):
        raise NotImplementedError


FAMILY = DrumFamily()
"""
PROFILE = """
schema_version = 1
kind = "drum"
id = "drum-12"
name = "A drum"
summary = "Twelve slots that turn"
slots = { value = 12, source = "counted", confidence = "M" }
"""
OURS = ["dmd", "aperture", "mri", "mri-points", "mri-shots"]


def _forget() -> None:
    family.cache_clear()
    sys.modules.pop("lab_drum", None)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where packages are installed; what they bring is forgotten afterwards."""
    _forget()
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    _forget()


def _install(site: Path, entries: str, code: str) -> None:
    info = site / "lab_drum-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-drum\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)
    (site / "lab_drum.py").write_text(code)


@pytest.fixture
def drum(site: Path) -> Path:
    """The package, and a profile of its kind."""
    entries = (
        "[cidesign.profile_kinds]\ndrum = lab_drum:DrumProfile\n[cidesign.device_families]\ndrum = lab_drum:FAMILY\n"
    )
    _install(site, entries, PACKAGE)
    (site.parent / "drum.toml").write_text(PROFILE)
    return site.parent / "drum.toml"


def test_its_profiles_and_designs_are_found(drum: Path) -> None:
    profile = read_profile(drum)
    assert (profile.kind, profile.id, len(profile.digest)) == ("drum", "drum-12", 64)
    found = family_for(profile)
    assert (found.name, found.kinds) == ("drum", ("drum-export",))
    assert [one.name for one in families()] == [*OURS, "drum"]
    assert family_of(found.design_type("drum-12")) is found
    assert as_profile(str(drum), found.profile_type, found.described) == profile
    with pytest.raises(InputError, match="drum-12 is a profile of kind drum; a micromirror device is needed"):
        as_profile(profile, family("dmd").profile_type, family("dmd").described)
    drum.write_text(PROFILE.replace("slots", "slotz"))
    with pytest.raises(FileError, match="slotz: unknown field; did you mean slots"):
        read_profile(drum)


def test_nothing_is_trained_for_a_kind_that_no_modality_is_for(drum: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="drum-12: nothing here is designed for profiles of kind drum"):
        ci.distill(drum, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_its_package_a_profile_is_refused_in_one_line(site: Path) -> None:
    (site.parent / "drum.toml").write_text(PROFILE)
    with pytest.raises(FileError, match=r"kind is 'drum'; allowed: aperture, dmd, lensless, mri"):
        read_profile(site.parent / "drum.toml")
    assert [one.name for one in families()] == OURS == list(FAMILIES)


@pytest.mark.parametrize("group", ["profile_kinds", "device_families"])
def test_a_package_that_takes_a_name_of_cidesign_is_refused(site: Path, group: str) -> None:
    _install(site, f"[cidesign.{group}]\ndmd = lab_drum:FAMILY\n", "raise RuntimeError('imported')\n")
    with pytest.raises(InputError, match=rf"dmd: the packages cidesign, lab-drum 1\.0 all claim .* cidesign\.{group}"):
        load_profile("dlp6500") if group == "profile_kinds" else family("dmd")
