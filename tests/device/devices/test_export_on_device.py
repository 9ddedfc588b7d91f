"""What `cidesign export` writes, shown by the virtual mirrors: bit for bit the design, on every device and coding."""

import struct
from pathlib import Path

import numpy as np
import pytest

from cidesign.constraints.sequence import plan_sequence
from cidesign.device.dlpc900.virtual_image import decode_block
from cidesign.device.dmd import Half, TableEntry
from cidesign.device.emulator import Emulation
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.export.dmd.dlpc900.compression import Lines, erle, rle, uncompressed
from cidesign.export.dmd.dlpc900.write import wire_words
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.manifest import Manifest
from cidesign.export.dmd.writer import write_export
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import PatternStack
from cidesign.testing.virtual_clock import VirtualClock


def _letters(count: int, side: int, bit_depth: int, profile) -> PatternStack:
    """An F that moves and grows from pattern to pattern, on a ramp of levels where there are more than two."""
    levels = np.zeros((count, side, side), dtype=np.uint8)
    for k in range(count):
        top, left, unit = k % 3, k % 5, 1 + k % 2
        value = (k % (2**bit_depth - 1)) + 1
        levels[k, top : top + 7 * unit, left : left + unit] = value
        levels[k, top : top + unit, left : left + 4 * unit] = value
        levels[k, top + 3 * unit : top + 4 * unit, left : left + 3 * unit] = value
    return PatternStack(levels, bit_depth, "complementary", profile.id, profile.digest)


def _export(folder: Path, name: str, count: int, bit_depth: int) -> tuple[PatternStack, Manifest]:
    profile = load_profile(name)
    pattern = _letters(count, 24, bit_depth, profile)
    plan = plan_sequence(profile, 2 * count, bit_depth)
    exporter = exporter_named("dlpc350" if name == "dlp4500" else "dlpc900")
    return pattern, write_export(exporter, pattern, profile, plan, folder, False)


def _entries(manifest: Manifest) -> list[TableEntry]:
    return [
        TableEntry(
            entry.image, entry.slot, manifest.bit_depth, entry.loads_image, entry.exposure_us,
            entry.period_us - entry.exposure_us,
        )
        for entry in manifest.entries
    ]  # fmt: skip


def _load(dmd, folder: Path, manifest: Manifest, role: str) -> None:
    dmd.prepare()
    dmd.load_sequence(_entries(manifest))
    files = [(record.image, record.half or 0, name) for name, record in manifest.files.items() if record.role == role]
    for image, half, name in sorted(files, key=lambda item: (-item[0], item[1])):
        dmd.load_image(image, Half(half), (folder / name).read_bytes())


def _expected(pattern: PatternStack) -> list[np.ndarray]:
    grid = superpixel_grid(load_profile(pattern.profile_id), pattern.side)
    return [grid.spread(levels) for levels in pattern.displayed()]


@pytest.mark.parametrize(
    ("name", "count", "bit_depth"), [("dlp6500", 20, 1), ("dlp6500", 4, 5), ("dlp9000", 3, 1), ("dlp670s", 2, 8)]
)
def test_dlpc900_files_show_the_design(tmp_path: Path, name: str, count: int, bit_depth: int) -> None:
    pattern, manifest = _export(tmp_path / "e", name, count, bit_depth)
    emulation = Emulation(load_profile(name), VirtualClock(), DeviceFaults(), None)
    _load(emulation.dmd, tmp_path / "e", manifest, "image")
    emulation.dmd.start(0)
    shown = [entry.frame() for entry in emulation.controller.shown()]
    for number, (frame, expected) in enumerate(zip(shown, _expected(pattern), strict=True)):
        assert np.array_equal(frame.levels, expected), number
        assert frame.exposure_us == manifest.entries[number].exposure_us


def test_dlp4500_frames_show_the_design(tmp_path: Path) -> None:
    pattern, manifest = _export(tmp_path / "e", "dlp4500", 20, 1)
    clock = VirtualClock()
    emulation = Emulation(load_profile("dlp4500"), clock, DeviceFaults(), None)
    emulation.tick()
    _load(emulation.dmd, tmp_path / "e", manifest, "hdmi-frame")
    emulation.dmd.start(1)
    while emulation.tick():
        clock.wait_us(2_000)
    shown = [entry.frame() for entry in emulation.controller.shown()]
    assert len(shown) == 40
    for number, (frame, expected) in enumerate(zip(shown, _expected(pattern), strict=True)):
        assert np.array_equal(frame.levels, expected), number


def test_dlp4500_bitmaps_in_flash_show_the_design(tmp_path: Path) -> None:
    from PIL import Image

    from cidesign.device.dlpc350.virtual import rgb_words

    pattern, manifest = _export(tmp_path / "e", "dlp4500", 20, 1)
    emulation = Emulation(load_profile("dlp4500"), VirtualClock(), DeviceFaults(), None, hdmi=False)
    for name in manifest.image_files():
        with Image.open(tmp_path / "e" / name) as image:
            emulation.controller._flash.append(rgb_words(np.asarray(image)))
    emulation.dmd.prepare()
    emulation.dmd.load_sequence(_entries(manifest))
    emulation.dmd.start(0)
    shown = [entry.frame() for entry in emulation.controller.shown()]
    for number, (frame, expected) in enumerate(zip(shown, _expected(pattern), strict=True)):
        assert np.array_equal(frame.levels, expected), number


def _image(kind: str, columns: int) -> np.ndarray:
    source = np.random.default_rng(columns)
    if kind == "noise":
        return source.integers(0, 2**24, (40, columns), dtype=np.uint32)
    words = np.repeat(
        np.repeat(source.integers(0, 2**24, (5, 7), dtype=np.uint32), 8, axis=0), columns // 7 + 1, axis=1
    )
    words = words[:, :columns]
    if kind == "mixed":
        noisy = words[3::5, columns // 3 : columns // 3 + 9]
        noisy[:] = source.integers(0, 2**24, noisy.shape, dtype=np.uint32)
        words[:, -1] = source.integers(0, 2**24, 40, dtype=np.uint32)
    return words


@pytest.mark.parametrize("kind", ["blocks", "mixed", "noise"])
@pytest.mark.parametrize("columns", [1, 2, 127, 128, 129, 255, 256, 257, 1358])
def test_every_coding_is_understood(kind: str, columns: int) -> None:
    """The exporter's three encoders against the virtual device's decoder, which share no code."""
    image = _image(kind, columns)
    wire = wire_words(np.stack([image >> shift & 0xFF for shift in (0, 8, 16)]).astype(np.uint8))
    for code, content in ((0, uncompressed(wire)), (1, rle(Lines.of(wire))), (2, erle(Lines.of(wire)))):
        header = struct.pack("<4sHHI8sIBBB", b"Spld", columns, 40, len(content), b"\xff" * 8, 0, 0, code, 1)
        decoded = decode_block(header.ljust(48, b"\0") + content, columns, 40)
        assert np.array_equal(decoded, image), code
