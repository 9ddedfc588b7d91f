"""Somebody's own patterns on the virtual mirrors, and in the files of every format, bit for bit."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cidesign.constraints.sequence import plan_sequence
from cidesign.device.dmd import Half, TableEntry
from cidesign.device.emulator import Emulation
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.errors import LimitError
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.manifest import Manifest, read_manifest
from cidesign.export.dmd.own import PatternOptions, read_own
from cidesign.export.dmd.verify import verify_export
from cidesign.export.dmd.writer import write_export
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import load_dmd
from cidesign.pattern import Encoding, PatternStack
from cidesign.pattern.hadamard import hadamard_rows, sequency_order
from cidesign.testing.virtual_clock import VirtualClock

BITMAPS = Path(__file__).parents[5] / "shared" / "data" / "dmd" / "lightcrafter4500_24bit_bmp.zip"


def exported(folder: Path, files: list[Path], device: str, **options: object) -> tuple[PatternStack, Manifest]:
    profile = load_dmd(device)
    design = read_own(files, profile, PatternOptions.model_validate(options)).design
    assert isinstance(design, PatternStack)
    plan = plan_sequence(profile, len(design.frames()), design.bit_depth)
    manifest = write_export(exporter_named(profile.controller.value), design, profile, plan, folder)
    assert all(finding.status != "not checked" for finding in verify_export(folder))
    return design, manifest


def uploaded(folder: Path, manifest: Manifest, device: str) -> list[np.ndarray]:
    """The mirrors of the virtual device after an upload and one run of the sequence."""
    clock = VirtualClock()
    emulation = Emulation(load_dmd(device), clock, DeviceFaults(), None)
    emulation.tick()
    emulation.dmd.prepare()
    emulation.dmd.load_sequence(
        [
            TableEntry(
                entry.image, entry.slot, manifest.bit_depth, entry.loads_image, entry.exposure_us,
                entry.period_us - entry.exposure_us,
            )
            for entry in manifest.entries
        ]
    )  # fmt: skip
    role = "hdmi-frame" if manifest.format == "dlpc350" else "image"
    files = [
        (record.image or 0, record.half or 0, name) for name, record in manifest.files.items() if record.role == role
    ]
    for image, half, name in sorted(files, key=lambda item: (-item[0], item[1])):
        emulation.dmd.load_image(image, Half(half), (folder / name).read_bytes())
    emulation.dmd.start(1)
    while emulation.tick():
        clock.wait_us(2_000)
    return [entry.frame().levels for entry in emulation.controller.shown()]


def noisy_bitmaps(folder: Path) -> list[Path]:
    source = np.random.default_rng(11)
    files = []
    for number in range(3):
        # Coarse noise, so that images stay small, on odd corners, so that no flip or shift leaves them equal.
        coarse = source.integers(0, 256, (57, 48, 3), dtype=np.uint8)
        pixels = np.repeat(np.repeat(coarse, 20, axis=0), 19, axis=1)
        files.append(folder / f"p{number}.bmp")
        Image.fromarray(pixels).save(files[-1])
    return files


def real_bitmaps(folder: Path) -> list[Path]:
    if not BITMAPS.exists():
        pytest.skip("the real data are not here")
    with zipfile.ZipFile(BITMAPS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".bmp"))[:3]
        return [Path(archive.extract(name, folder)) for name in names]


@pytest.mark.parametrize("bitmaps", [noisy_bitmaps, real_bitmaps])
def test_72_planes_of_three_bitmaps_reach_the_mirrors(tmp_path: Path, bitmaps: Callable[[Path], list[Path]]) -> None:
    files = bitmaps(tmp_path)
    design, manifest = exported(tmp_path / "export", files, "dlp4500")
    assert (design.count, len(manifest.entries), manifest.images) == (72, 72, 3)
    shown = uploaded(tmp_path / "export", manifest, "dlp4500")
    assert len(shown) == 72
    for number, path in enumerate(files):
        with Image.open(path) as image:
            pixels = np.asarray(image)
        for plane in range(24):
            channel = pixels[..., (1, 0, 2)[plane // 8]]
            assert np.array_equal(shown[24 * number + plane], channel >> plane % 8 & 1), (number, plane)
        # The planes of an image go back to where they were, so its pixels are the same, too.
        with Image.open(tmp_path / "export" / f"dlp4500_{number:02d}.bmp") as image:
            assert np.array_equal(np.asarray(image), pixels)


def test_frames_of_the_mirrors_on_a_device_of_two_controllers(tmp_path: Path) -> None:
    frames = np.kron(
        np.random.default_rng(3).integers(0, 2, (2, 100, 160), dtype=np.uint8), np.ones((1, 16, 16), np.uint8)
    )
    np.save(tmp_path / "frames.npy", frames)
    _, manifest = exported(tmp_path / "export", [tmp_path / "frames.npy"], "dlp9000")
    assert np.array_equal(uploaded(tmp_path / "export", manifest, "dlp9000"), frames)


def test_hadamard_patterns_in_sequency_order_reach_the_mirrors(tmp_path: Path) -> None:
    """Of each pattern and its complement, the difference on each super-pixel is the pattern of +1 and -1."""
    patterns = hadamard_rows(4, sequency_order(4))
    np.save(tmp_path / "h.npy", patterns)
    design, manifest = exported(tmp_path / "export", [tmp_path / "h.npy"], "dlp4500")
    shown = np.array(uploaded(tmp_path / "export", manifest, "dlp4500"), dtype=np.int8)
    difference = shown[0::2] - shown[1::2]
    # Super-pixels of 142 columns, 284 rows of half the pitch, in the middle of 912 x 1140.
    rows, columns = 2 + 142 + 284 * np.arange(4), 172 + 71 + 142 * np.arange(4)
    assert np.array_equal(difference[:, rows[:, None], columns], patterns)
    assert manifest.grid.side == design.side == 4


@pytest.mark.parametrize("encoding", ["as-shown", "offset", "complementary"])
@pytest.mark.parametrize(("name", "device", "columns"), [
    ("dlpc350", "dlp4500", 21), ("hdmi", "dlp4500", 21), ("dlpc900", "dlp6500", 22), ("dlpc900", "dlp9000", 22),
    ("alp", "dlp7000", 1024),
])  # fmt: skip
def test_every_format_writes_frames_of_mirrors(
    tmp_path: Path, shrunk: Callable[[DmdProfile, int, int], DmdProfile], name: str, device: str, columns: int,
    encoding: Encoding,
) -> None:  # fmt: skip
    profile = shrunk(load_dmd(device), columns, 30)
    levels = np.random.default_rng(5).integers(0, 2, (7, 30, columns), dtype=np.uint8)
    design = PatternStack(levels, 1, encoding, profile.id, profile.digest, placement="mirrors").with_sync(3)
    plan = plan_sequence(profile, len(design.frames()), 1)
    write_export(exporter_named(name), design, profile, plan, tmp_path / "export")
    manifest = read_manifest(tmp_path / "export")
    assert (manifest.grid.placement, manifest.grid.side, manifest.encoding) == ("mirrors", None, encoding)
    shown = list(exporter_named(name).read(tmp_path / "export").frames)
    assert np.array_equal(shown, design.displayed())
    own = [shown[place] for place in design.design_frames]
    if encoding == "as-shown":
        assert np.array_equal(own, levels)
    if encoding == "complementary":
        assert np.array_equal(own[1::2], 1 - levels)
    if encoding == "offset":
        assert (own[-1] == 1).all()


def test_frames_of_another_size_are_refused_with_both_sizes(tmp_path: Path) -> None:
    profile = load_dmd("dlp6500")
    design = PatternStack(
        np.zeros((1, 1140, 912), np.uint8), 1, "as-shown", profile.id, profile.digest, placement="mirrors"
    )
    with pytest.raises(LimitError, match=r"912 x 1140.*1920 x 1080 mirrors of dlp6500.*size of dlp4500"):
        write_export(exporter_named("dlpc900"), design, profile, plan_sequence(profile, 1, 1), tmp_path / "export")
    assert not (tmp_path / "export").exists()
