"""Sync frames in every export format, on the virtual mirrors, and nothing new where there are none."""

from pathlib import Path

import numpy as np
import pytest

from cidesign.device.dmd import Half
from cidesign.device.emulator import Emulation
from cidesign.device.link.plan import plan_upload
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.errors import FileError
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.manifest import Manifest, read_manifest
from cidesign.export.dmd.preview import write_preview
from cidesign.export.dmd.verify import verify_export
from cidesign.export.dmd.writer import write_export
from cidesign.files import read_json, sha256_file, write_json
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import BLINK_CODE, PatternStack
from cidesign.testing.virtual_clock import VirtualClock

CASES = [
    ("dlpc350", "dlp4500", 1), ("dlpc350", "dlp4500", 5), ("hdmi", "dlp4500", 1), ("dlpc900", "dlp6500", 1),
    ("dlpc900", "dlp9000", 1), ("alp", "dlp7000", 1), ("alp", "dlp7000", 8),
]  # fmt: skip
OLD_KEYS = [
    "schema_version", "kind", "format", "cidesign_version", "created_utc", "profile_id", "profile_digest", "profile",
    "design_digest", "bit_depth", "encoding", "polarity", "plane_order", "grid", "flips", "timing", "images",
    "entries", "notes", "files",
]  # fmt: skip


@pytest.mark.parametrize("encoding", ["offset", "complementary"])
@pytest.mark.parametrize(("name", "device", "bit_depth"), CASES)
def test_every_format_shows_the_sync_frames(
    tmp_path, make_pattern, plan_for, name, device, bit_depth, encoding
) -> None:
    profile = load_profile(device)
    plain = make_pattern(profile, 5, 10, bit_depth, encoding)
    pattern = plain.with_sync(2)
    exporter = exporter_named(name)
    manifest = write_export(exporter, pattern, profile, plan_for(profile, pattern), tmp_path / "e")
    assert read_manifest(tmp_path / "e") == manifest
    assert (manifest.sync_every, manifest.patterns_digest, manifest.run_digest, manifest.design_digest) == (
        2,
        plain.design_digest,
        plain.design_digest,
        pattern.design_digest,
    )
    shown = list(exporter.read(tmp_path / "e").frames)
    grid = superpixel_grid(profile, 10)
    assert len(shown) == len(plain.frames()) + 13 + 2 * 3
    for number, levels in zip(pattern.design_frames, plain.displayed(), strict=True):
        assert np.array_equal(shown[number], grid.spread(levels)), number
    full, empty = grid.spread(np.full((10, 10), pattern.max_level, np.uint8)), np.zeros_like(shown[0])
    for number, role in enumerate(BLINK_CODE):
        assert np.array_equal(shown[number], full if role == "on" else empty), number
    assert np.array_equal(shown[-2], full)
    assert np.array_equal(shown[-1], empty)
    assert [(entry.pattern, entry.role) for entry in manifest.entries] == pattern.frames()
    assert "sync frames" in [finding.name for finding in verify_export(tmp_path / "e")]


def test_without_sync_frames_the_files_are_as_they_were(tmp_path, tiny, make_pattern, plan_for) -> None:
    """The digests were taken before there were sync frames."""
    pattern = make_pattern(tiny, 4, 4)
    manifest = write_export(exporter_named("dlpc350"), pattern, tiny, plan_for(tiny, pattern), tmp_path / "e")
    for name, digest in (
        ("dlp4500_00.bmp", "fad609e4946c838b"),
        ("images.bin", "6e340b9cffb37a98"),
        ("lut.bin", "7b486ad4b09d9577"),
        ("sequence.ini", "08b3c21e360eeacb"),
    ):
        assert sha256_file(tmp_path / "e" / name).startswith(digest), name
    assert sorted(read_json(tmp_path / "e" / "manifest.json", "manifest")) == sorted(OLD_KEYS)
    assert (manifest.sync_every, manifest.patterns_digest, manifest.run_digest) == (None, None, pattern.design_digest)
    assert "sync frames" not in [finding.name for finding in verify_export(tmp_path / "e")]


@pytest.fixture
def synced(tmp_path, tiny, make_pattern, plan_for) -> tuple[Path, PatternStack, Manifest]:
    pattern = make_pattern(tiny, 4, 4).with_sync(2)
    manifest = write_export(exporter_named("dlpc350"), pattern, tiny, plan_for(tiny, pattern), tmp_path / "e")
    return tmp_path / "e", pattern, manifest


@pytest.mark.parametrize(
    "change",
    [{"sync_every": 3}, {"sync_every": None}, {"patterns_digest": "0" * 64}, {"patterns_digest": None}],
    ids=str,
)
def test_a_manifest_that_lies_about_sync_frames_is_caught(synced, change) -> None:
    folder, _, _ = synced
    raw = read_json(folder / "manifest.json", "manifest")
    write_json(folder / "manifest.json", raw | change)
    with pytest.raises(FileError, match=r"says something else about sync frames than design\.npz"):
        verify_export(folder)


def test_an_entry_that_swaps_on_and_off_is_caught(synced) -> None:
    folder, _, _ = synced
    raw = read_json(folder / "manifest.json", "manifest")
    assert raw["entries"][5]["role"] == "off"
    raw["entries"][5]["role"] = "on"
    write_json(folder / "manifest.json", raw)
    with pytest.raises(FileError, match="frame 5 of the device files is not what the manifest says"):
        verify_export(folder)


def test_the_note_says_how_many_frames_and_how_long(synced) -> None:
    # 5 frames of 235 us are one image; 22 still are.
    said = "17 sync frames were added to the 5 frames of the design and take 4.0 ms more: a blink code of 13 frames"
    assert synced[2].notes[0].startswith(said)


def test_the_preview_begins_with_the_first_pattern(synced, make_pattern, plan_for, tiny, tmp_path) -> None:
    from PIL import Image

    from cidesign.export.dmd.base import Job

    folder, pattern, _ = synced
    plain = make_pattern(tiny, 4, 4)
    job = Job(plain, tiny, plan_for(tiny, plain), superpixel_grid(tiny, 4))
    write_preview(job, tmp_path / "plain.png")
    with Image.open(tmp_path / "plain.png") as one, Image.open(folder / "preview.png") as other:
        line = 18  # one line of text more, and below it the same pictures of patterns 0 and 1
        assert other.size == (one.width, one.height + line)
        cell = (8, 8 + 18, 8 + 2 * 428 - 8, one.height // 2)
        moved = (cell[0], cell[1] + line, cell[2], cell[3] + line)
        assert np.array_equal(np.asarray(one.crop(cell)), np.asarray(other.crop(moved)))
        assert np.asarray(other.crop((8, 8, 600, 8 + line))).max() > 200
    assert pattern.frames()[13].pattern == 0


def test_an_upload_carries_the_whole_sequence(synced) -> None:
    folder, pattern, manifest = synced
    plan = plan_upload(folder, None, 115_200)
    assert len(plan.entries) == len(pattern.frames())
    assert plan.value(115_200)["design_digest"] == manifest.design_digest == pattern.design_digest


@pytest.mark.parametrize(("name", "device"), [("dlpc350", "dlp4500"), ("dlpc900", "dlp6500")])
def test_the_virtual_mirrors_show_the_sync_frames(tmp_path, make_pattern, plan_for, name, device) -> None:
    """What an upload sends, on a virtual device: bit for bit the displayed frames, in order."""
    profile = load_profile(device)
    pattern = make_pattern(profile, 12, 10, 1, "complementary").with_sync(5)
    write_export(exporter_named(name), pattern, profile, plan_for(profile, pattern), tmp_path / "e")
    plan = plan_upload(tmp_path / "e", None, 115_200)
    clock = VirtualClock()
    emulation = Emulation(profile, clock, DeviceFaults(), None)
    emulation.tick()
    emulation.dmd.prepare()
    emulation.dmd.load_sequence(list(plan.entries))
    for item in plan.upload.objects[1:]:
        emulation.dmd.load_image(item.slot.number, Half(item.slot.kind - 1), item.content)
    emulation.dmd.start(1 if name == "dlpc350" else 0)
    while name == "dlpc350" and emulation.tick():
        clock.wait_us(2_000)
    shown = [entry.frame().levels for entry in emulation.controller.shown()]
    grid = superpixel_grid(profile, 10)
    assert len(shown) == 13 + 24 + 6
    for number, (frame, levels) in enumerate(zip(shown, pattern.displayed(), strict=True)):
        assert np.array_equal(frame, grid.spread(levels)), number
