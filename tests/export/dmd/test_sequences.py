"""Designs that are longer than one sequence of their device: split, written, read back, refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.checks import Check
from cidesign.errors import FileError, LimitError
from cidesign.export.dmd.dlpc350.flash import flash_bytes
from cidesign.export.dmd.dlpc900.compression import Lines, rle
from cidesign.export.dmd.family import FAMILY
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.manifest import read_manifest
from cidesign.export.dmd.planning import plan_design, plan_format, plan_stored
from cidesign.export.dmd.verify import verify_export
from cidesign.files import read_json, write_json
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import PatternStack

PATTERNS, SIDE = 70, 8


@pytest.fixture
def small() -> Callable[..., DmdProfile]:
    """A device with few mirrors and short tables: `small("dlp4500", entries=60, images=9)`."""

    def make(name: str, entries: int = 60, images: int = 9, **memory: int) -> DmdProfile:
        raw = load_profile(name).model_dump(mode="json", exclude_none=True)
        raw["mirrors"]["columns"]["value"], raw["mirrors"]["rows"]["value"] = 48, 64
        raw["sequence_modes"] = [raw["sequence_modes"][-1]]
        raw["sequence_modes"][0]["max_entries"]["value"] = entries
        raw["sequence_modes"][0]["max_images"]["value"] = images
        for field, value in memory.items():
            raw["memory"][field]["value"] = value
        return DmdProfile.model_validate(raw)

    return make


def design(profile: DmdProfile, count: int = PATTERNS, encoding: Any = "complementary") -> PatternStack:
    levels = np.random.default_rng(3).integers(0, 2, (count, SIDE, SIDE), dtype=np.uint8)
    return PatternStack(levels, 1, encoding, profile.id, profile.digest)


def export(profile: DmdProfile, pattern: PatternStack, folder: Path, **options: Any) -> Any:
    formats = options.pop("formats", ())
    return FAMILY.export(pattern, profile, folder, FAMILY.options(formats, options))


def named(checks: list[Check], name: str) -> str:
    return next(check.text for check in checks if check.name == name)


@pytest.mark.parametrize("device", ["dlp4500", "dlp6500", "dlp9000"])
def test_each_sequence_is_written_and_read_on_its_own(
    small: Callable[..., DmdProfile], tmp_path: Path, device: str
) -> None:
    profile = small(device)
    pattern = design(profile)
    done = export(profile, pattern, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert manifest.sequences == 3
    assert [entry.sequence for entry in manifest.entries] == [1] * 60 + [2] * 60 + [3] * 20
    assert [entry.frame for entry in manifest.entries] == list(range(140))
    assert {record.sequence for record in manifest.files.values() if record.role == "image"} == {1, 2, 3}
    assert done.value["sequences"] == 3
    # A folder is a whole sequence: the reader finds its frames there, and nothing else.
    exporter = exporter_named(manifest.format)
    grid = superpixel_grid(profile, SIDE)
    shown = [frame for number in (1, 2, 3) for frame in exporter.read(tmp_path / "out" / f"sequence_{number}").frames]
    for frame, levels in zip(shown, pattern.displayed(), strict=True):
        assert np.array_equal(frame, grid.spread(levels))
    checks = verify_export(tmp_path / "out")
    assert named(checks, "sequence").startswith("140 entries, 7 images, ")
    assert named(checks, "sequence").endswith("3 sequences of 60, 60 and 20: within all limits")


def test_images_of_all_sequences_lie_in_flash_side_by_side(small: Callable[..., DmdProfile], tmp_path: Path) -> None:
    profile = small("dlp4500")
    export(profile, design(profile), tmp_path / "out")
    folder = tmp_path / "out"
    assert (folder / "sequence_1" / "images.bin").read_bytes() == bytes([0, 1, 2])
    assert (folder / "sequence_2" / "images.bin").read_bytes() == bytes([3, 4, 5])
    assert (folder / "sequence_3" / "images.bin").read_bytes() == bytes([6])
    assert sorted(path.name for path in folder.glob("*/*.bmp")) == [f"dlp4500_{image:02d}.bmp" for image in range(7)]
    assert "images in flash" in {check.name for check in verify_export(folder)}


def test_sequences_that_are_loaded_count_images_from_the_first(
    small: Callable[..., DmdProfile], tmp_path: Path
) -> None:
    profile = small("dlp6500", images=3)
    export(profile, design(profile), tmp_path / "out")
    for number in (1, 2):
        assert sorted(path.name for path in (tmp_path / "out" / f"sequence_{number}").glob("*.spld")) == [
            "dlp6500_00.spld", "dlp6500_01.spld", "dlp6500_02.spld",
        ]  # fmt: skip


def test_one_sequence_is_written_as_ever(small: Callable[..., DmdProfile], tmp_path: Path) -> None:
    profile = small("dlp4500")
    export(profile, design(profile, 30), tmp_path / "out")
    raw = read_json(tmp_path / "out" / "manifest.json", "manifest")
    assert "sequence" not in json.dumps(raw["entries"]) + json.dumps(list(raw["files"].values())).replace(
        "sequence-table", ""
    )
    assert not list((tmp_path / "out").glob("sequence_*"))


@pytest.mark.parametrize("tear", ["swap", "table", "entry", "image"])
def test_sequences_that_were_tampered_with_are_refused(
    small: Callable[..., DmdProfile], tmp_path: Path, tear: str
) -> None:
    profile = small("dlp6500")
    folder = tmp_path / "out"
    export(profile, design(profile), folder)
    manifest = folder / "manifest.json"
    raw = read_json(manifest, "manifest")
    if tear == "swap":
        first, second, kept = folder / "sequence_1", folder / "sequence_2", folder / "kept"
        shutil.move(first, kept), shutil.move(second, first), shutil.move(kept, second)
    elif tear == "table":
        shutil.copy(folder / "sequence_3" / "lut.bin", folder / "sequence_2" / "lut.bin")
    elif tear == "image":
        (folder / "sequence_2" / "dlp6500_00.spld").unlink()
    else:
        raw["entries"][60]["sequence"] = 1
        write_json(manifest, raw)
    with pytest.raises(FileError):
        verify_export(folder)


def test_the_tables_are_held_against_the_limits_of_the_device(small: Callable[..., DmdProfile], tmp_path: Path) -> None:
    """What is on disk decides: the manifest's own profile is one with shorter tables."""
    profile = small("dlp6500")
    export(profile, design(profile), tmp_path / "out")
    shorter = small("dlp6500", entries=50)
    with pytest.raises(LimitError, match=r"60 entries and 3 images in sequence 1, the limit is .* 50 entries"):
        verify_export(tmp_path / "out", shorter)


def test_what_the_flash_does_not_hold_goes_over_hdmi(small: Callable[..., DmdProfile], tmp_path: Path) -> None:
    profile = small("dlp4500", flash_bytes=5000)
    pattern = design(profile)
    needed = plan_stored(profile, pattern).flash_bytes
    assert needed is not None
    assert needed > 5000
    plan = plan_design(profile, pattern)
    assert plan.streamed
    assert "its flash of 5 kB does not hold them" in plan.notes[-1]
    done = export(profile, pattern, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.format, manifest.sequences, done.value["streamed"]) == ("hdmi", 1, True)
    assert any("over HDMI" in note for note in done.notes)
    assert "time from flash" not in {check.name for check in verify_export(tmp_path / "out")}
    with pytest.raises(LimitError, match=r"size of 7 images is about .* kB, the limit is 5 kB; .*HDMI"):
        export(profile, pattern, tmp_path / "flash", formats=("dlpc350",))
    assert not (tmp_path / "flash").exists()


def test_hdmi_takes_what_the_flash_splits_in_one_go(small: Callable[..., DmdProfile], tmp_path: Path) -> None:
    profile = small("dlp4500")
    export(profile, design(profile), tmp_path / "out", formats=("dlpc350", "hdmi"))
    flash, hdmi = read_manifest(tmp_path / "out" / "dlpc350"), read_manifest(tmp_path / "out" / "hdmi")
    assert (flash.sequences, hdmi.sequences) == (3, 1)
    assert [entry.image for entry in hdmi.entries] == [frame // 24 for frame in range(140)]
    verify_export(tmp_path / "out" / "hdmi")


def test_more_images_than_a_table_can_name_are_streamed(small: Callable[..., DmdProfile], tmp_path: Path) -> None:
    profile = small("dlp4500", images=4)
    assert plan_format(exporter_named("dlpc350"), profile, design(profile)).mode is None
    export(profile, design(profile), tmp_path / "out")
    assert read_manifest(tmp_path / "out").format == "hdmi"
    with pytest.raises(LimitError, match="140 entries and 6 images, the limit is"):
        export(profile, design(profile), tmp_path / "flash", formats=("dlpc350",))


def test_names_of_more_than_a_hundred_images_sort(small: Callable[..., DmdProfile], tmp_path: Path) -> None:
    profile = small("dlp4500", images=4)
    export(profile, design(profile, 1220), tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").glob("*_*.png"))
    assert names == [f"dlp4500_{image:03d}.png" for image in range(102)]
    assert named(verify_export(tmp_path / "out"), "mirrors").startswith("2440 frames")


def test_a_torn_pair_is_avoided_and_sync_frames_are_told(small: Callable[..., DmdProfile], tmp_path: Path) -> None:
    profile = small("dlp6500")
    done = export(profile, design(profile), tmp_path / "out", sync_every=20)
    manifest = read_manifest(tmp_path / "out")
    for number in range(2, manifest.sequences + 1):
        first = next(entry for entry in manifest.entries if entry.sequence == number)
        assert first.role in ("+", "on")
    assert any("the blink code marks the first sequence alone" in note for note in done.notes)


def test_offset_encoding_says_what_it_cannot_see(small: Callable[..., DmdProfile], tmp_path: Path) -> None:
    profile = small("dlp6500")
    done = export(profile, design(profile, 100, "offset"), tmp_path / "out")
    assert any("what the lamp does between the sequences goes unseen" in note for note in done.notes)


@pytest.mark.parametrize("side", [6, 24])
@pytest.mark.parametrize("device", ["dlp4500", "dlp6500"])
def test_bytes_of_flash_are_those_of_run_lengths(small: Callable[..., DmdProfile], device: str, side: int) -> None:
    """Against the coder of another controller, which has the same runs, literals and padding of lines."""
    profile = small(device)
    levels = np.random.default_rng(1).integers(0, 2, (30, side, side), dtype=np.uint8)
    pattern = PatternStack(levels, 1, "as-shown", profile.id, profile.digest)
    grid = superpixel_grid(profile, side)
    plan = plan_stored(profile, pattern)
    expected = 0
    for first, last in ((0, 24), (24, 30)):
        words = sum(grid.spread(one).astype(np.uint32) << np.uint32(bit) for bit, one in enumerate(levels[first:last]))
        assert isinstance(words, np.ndarray)
        coded = len(rle(Lines.of(words)))
        expected += 32 + min(coded, 3 * words.size)
    # The end of an image, two bytes and padding to sixteen, is not counted.
    assert abs(flash_bytes(pattern, plan, grid) - expected) <= 2 * 18


def test_the_planes_of_an_alp_board_are_split_by_its_memory(tmp_path: Path) -> None:
    raw = load_profile("dlp7000").model_dump(mode="json", exclude_none=True)
    raw["sequence_modes"][0]["max_entries"]["value"] = raw["memory"]["full_rate_planes"]["value"] = 60
    profile = DmdProfile.model_validate(raw)
    export(profile, design(profile), tmp_path / "out")
    sizes = [(tmp_path / "out" / f"sequence_{number}" / "alp_planes.bin").stat().st_size for number in (1, 2, 3)]
    assert sizes == [frames * 768 * 128 for frames in (60, 60, 20)]
    checks = verify_export(tmp_path / "out")
    assert "the device holds one at a time" in named(checks, "sequences")
    assert named(checks, "mirrors").startswith("140 frames")
