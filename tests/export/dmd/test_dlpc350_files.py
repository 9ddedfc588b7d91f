"""DLPC350 files: bytes worked out by hand, round trips through two readers, and the peers' own files."""

import itertools
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequenceEntry
from cidesign.errors import FileError
from cidesign.export.dmd.dlpc350 import read as dlpc350_reader
from cidesign.export.dmd.dlpc350 import write as dlpc350
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.manifest import read_manifest
from cidesign.export.dmd.writer import write_export
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid

PEER = Path(__file__).parents[3] / ".." / "shared" / "data" / "dmd" / "lightcrafter4500_24bit_bmp.zip"
DLPC350 = exporter_named("dlpc350")


@pytest.mark.parametrize(
    ("plane", "pixel"),
    [(0, "000100"), (7, "008000"), (8, "000001"), (16, "010000"), (23, "800000")],
)
def test_bmp_pixels_are_those_of_the_plane_table(plane: int, pixel: str) -> None:
    groups = np.zeros((3, 2, 4), dtype=np.uint8)
    groups[plane // 8, 0, 0] = 1 << plane % 8
    content = dlpc350.bmp_bytes(groups)
    assert content[54 + 12 :][:3].hex() == pixel  # the top row is stored last
    assert content.count(0, 54) == 24 - 1


def test_bmp_header_by_hand() -> None:
    # 3 x 2 pixels: rows of 9 bytes padded to 12, 24 bytes of pixels, 78 in all.
    content = dlpc350.bmp_bytes(np.zeros((3, 2, 3), dtype=np.uint8))
    assert content[:54].hex() == (
        "424d" "4e000000" "0000" "0000" "36000000" "28000000" "03000000" "02000000" "0100" "1800"
        "00000000" "18000000" "00000000" "00000000" "00000000" "00000000"
    )  # fmt: skip
    assert len(content) == 78


def test_first_word_is_the_documented_example() -> None:
    word = dlpc350.lut_word(SequenceEntry(0, 0, 0, True, 235, 235), 1)
    assert word == 0x047100
    assert word.to_bytes(3, "little").hex() == "007104"
    # Pattern 2 of 5 bits, no image load: 2 << 2 | 5 << 8 | 7 << 12; black afterwards is bit 17.
    assert dlpc350.lut_word(SequenceEntry(9, 2, 2, False, 2000, 2000), 5) == 0x7508
    assert dlpc350.lut_word(SequenceEntry(9, 2, 2, False, 2000, 2230), 5) == 0x27508


def test_fixed_table_and_image_table(tiny, make_pattern, plan_for) -> None:
    plan = plan_for(tiny, make_pattern(tiny, 24, 4))  # 24 patterns and all-on: 25 frames
    table = dlpc350.lut_bytes(plan)
    assert len(table) == 75
    assert table[:6].hex() == "007104047100"  # plane 0 loads its image, plane 1 does not
    assert table[72:].hex() == "007104"  # the 25th frame is plane 0 of the next image
    assert dlpc350.image_table_bytes([0]) == b"\0"
    assert dlpc350.image_table_bytes([0, 1]) == b"\1\0"
    assert dlpc350.image_table_bytes([0, 1, 2]) == b"\0\1\2"


def test_variable_table_carries_the_times(dlp4500, make_pattern, plan_for) -> None:
    plan = plan_for(dlp4500, make_pattern(dlp4500, 48, 4))  # 49 frames: three images, the last with one frame
    assert plan.mode == "variable_exposure"
    table = dlpc350.lut_bytes(plan)
    assert len(table) == 49 * 12
    # 200 ms over 24 frames: 8334 us = 0x208E; 235 us = 0xEB; bit 17: black until the next frame.
    assert table[:12].hex() == "00710600" + "eb000000" + "8e200000"
    assert table[-12:].hex() == "00710600" + "eb000000" + "400d0300"  # the single frame stays 200000 us = 0x30D40


def test_settings_by_hand(tiny, make_pattern, plan_for) -> None:
    plan = plan_for(tiny, make_pattern(tiny, 24, 4), exposure_us=500)
    lines = dlpc350.settings_text(plan).splitlines()
    values = {line.split()[0]: line.split(";")[0].split()[1:] for line in lines}
    assert values["DEFAULT.PATTERNCONFIG.PAT_EXPOSURE"] == ["0x1F4"]
    assert values["DEFAULT.PATTERNCONFIG.NUM_LUT_ENTRIES"] == ["0x18"]  # 25 - 1
    assert values["DEFAULT.PATTERNCONFIG.NUM_SPLASH"] == ["0x1"]  # 2 - 1
    assert values["DEFAULT.SPLASHLUT"] == ["0x0", "0x1"]  # the GUI swaps two entries itself
    assert values["DEFAULT.SEQPATLUT"][:2] == ["0x47100", "0x7104"]
    assert lines[7].startswith("DEFAULT.PATTERNCONFIG.TRIG_MODE")
    assert lines[-1].startswith("DEFAULT.SEQPATLUT")


def read_with_pillow(folder: Path) -> list[NDArray[np.uint8]]:
    """A second reader: Pillow for the pixels, struct for the table, planes by arithmetic on the whole word."""
    from PIL import Image

    images = []
    for name in read_manifest(folder).image_files():
        red, green, blue = np.moveaxis(np.asarray(Image.open(folder / name)).astype(np.uint32), -1, 0)
        images.append(green | red << 8 | blue << 16)
    table = (folder / "lut.bin").read_bytes()
    entries = len(read_manifest(folder).entries)
    size = len(table) // entries
    frames, image = [], -1
    for start in range(0, len(table), size):
        word = int.from_bytes(table[start : start + 3], "little")
        image += word >> 18 & 1
        depth, number = word >> 8 & 15, word >> 2 & 63
        shift = {5: number * 6 + 1, 7: number * 8 + 1}.get(depth, number * depth)
        frames.append((images[image] >> shift & (2**depth - 1)).astype(np.uint8))
    return frames


@pytest.mark.parametrize(
    ("count", "bit_depth"),
    [(23, 1), (22, 1), (24, 1), (47, 1), (48, 1), (7, 2), (9, 3), (6, 4), (5, 5), (4, 6), (4, 7), (7, 8)],
)
def test_both_readers_give_the_design_back(tmp_path, dlp4500, make_pattern, plan_for, count, bit_depth) -> None:
    pattern = make_pattern(dlp4500, count, 12, bit_depth)  # and one all-on frame
    plan = plan_for(dlp4500, pattern)
    folder = tmp_path / "export"
    write_export(DLPC350, pattern, dlp4500, plan, folder)
    grid = superpixel_grid(dlp4500, 12)
    expected = [grid.spread(levels) for levels in pattern.displayed()]
    back = dlpc350_reader.read(folder)
    for wanted, own, second in zip(expected, back.frames, read_with_pillow(folder), strict=True):
        assert own.dtype == np.uint8
        assert np.array_equal(own, wanted)
        assert np.array_equal(second, wanted)
    assert back.plan.entries == plan.entries
    assert (folder / "dlp4500_00.bmp").stat().st_size == 3_119_094


def test_the_letter_stands_upright_on_the_mirrors(tmp_path, dlp4500, make_pattern, plan_for) -> None:
    pattern = make_pattern(dlp4500, 1, 12)
    write_export(DLPC350, pattern, dlp4500, plan_for(dlp4500, pattern), tmp_path / "export")
    shown = next(iter(dlpc350_reader.read(tmp_path / "export").frames))
    rows, columns = np.nonzero(shown)
    # Super-pixels of 47 columns, and of 94 rows, which lie half as far apart: 10 high, 8 wide, centred.
    assert np.ptp(rows) + 1 == pytest.approx(10 * 94, abs=2)
    assert np.ptp(columns) + 1 == pytest.approx(8 * 47, abs=2)
    assert rows.min() == pytest.approx((1140 - 12 * 94) / 2 + 2 * 94, abs=2)
    # The bar is at the top and the stem at the left.
    assert shown[rows.min() + 47].sum() == pytest.approx(8 * 47, abs=2)
    assert shown[rows.max() - 47].sum() == pytest.approx(2 * 47, abs=2)
    assert shown[:, columns.min() + 24].sum() == pytest.approx(10 * 94, abs=2)
    assert shown[:, columns.max() - 24].sum() == pytest.approx(2 * 94, abs=2)


def mutate(path: Path, position: int, value: int) -> None:
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= value
    path.write_bytes(bytes(content))


def test_reader_refuses_what_it_does_not_know(tmp_path, tiny, make_pattern, plan_for) -> None:
    pattern = make_pattern(tiny, 3, 4)
    folder = tmp_path / "export"
    plan = plan_for(tiny, pattern)
    for bit in (0, 15, 16, 17, 19, 20):  # trigger, reserved, inverted, black, shared exposure, reserved
        write_export(DLPC350, pattern, tiny, plan, folder, force=True)
        mutate(folder / "lut.bin", 3 + bit // 8, 1 << bit % 8)
        words = (folder / "sequence.ini").read_text().replace("0x7104", f"0x{0x7104 ^ 1 << bit:X}")
        (folder / "sequence.ini").write_text(words)
        with pytest.raises(FileError, match=r"bits set|and black afterwards is on"):
            dlpc350_reader.read(folder)


def test_reader_wants_the_first_entry_to_load(tmp_path, tiny, make_pattern, plan_for) -> None:
    folder = tmp_path / "export"
    pattern = make_pattern(tiny, 3, 4)
    write_export(DLPC350, pattern, tiny, plan_for(tiny, pattern), folder)
    mutate(folder / "lut.bin", 2, 4)
    text = (folder / "sequence.ini").read_text().replace("0x47100", "0x7100")
    (folder / "sequence.ini").write_text(text)
    with pytest.raises(FileError, match="bit 18"):
        dlpc350_reader.read(folder)


def test_reader_compares_the_two_copies_of_an_image(tmp_path, tiny, make_pattern, plan_for) -> None:
    folder = tmp_path / "export"
    pattern = make_pattern(tiny, 30, 4)
    write_export(DLPC350, pattern, tiny, plan_for(tiny, pattern), folder)
    (folder / "dlp4500_01.png").write_bytes((folder / "dlp4500_00.png").read_bytes())
    frames = dlpc350_reader.read(folder).frames
    assert len([next(frames) for _ in range(24)]) == 24
    with pytest.raises(FileError, match=r"dlp4500_01\.png: this HDMI frame is not the same image as dlp4500_01\.bmp"):
        next(frames)


def test_reader_sees_two_images_in_the_wrong_order(tmp_path, tiny, make_pattern, plan_for) -> None:
    folder = tmp_path / "export"
    pattern = make_pattern(tiny, 30, 4)
    write_export(DLPC350, pattern, tiny, plan_for(tiny, pattern), folder)
    (folder / "images.bin").write_bytes(b"\0\1")
    with pytest.raises(FileError, match="SPLASHLUT"):
        dlpc350_reader.read(folder)


@pytest.mark.parametrize(
    ("header", "word"),
    [({14: 12}, "header size"), ({28: 32}, "32 bits"), ({30: 1}, "compression 1"), ({18: 2000}, "do not fit")],
)
def test_reader_refuses_other_bmp_files(header: dict[int, int], word: str) -> None:
    content = bytearray(dlpc350.bmp_bytes(np.zeros((3, 4, 4), dtype=np.uint8)))
    for offset, value in header.items():
        struct.pack_into("<H", content, offset, value)
    with pytest.raises(FileError, match=word):
        dlpc350_reader.read_bmp(bytes(content), "test.bmp")


def disc_centres(frames: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Centres (x, y) in column pitches of the discs that are whole; NaN where one is cut by the edge or absent."""
    area = max(np.count_nonzero(frame) for frame in frames)
    centres = np.full((len(frames), 2), np.nan)
    for number, frame in enumerate(frames):
        if np.count_nonzero(frame) > 0.99 * area:
            rows, columns = np.nonzero(frame)
            centres[number] = columns.mean(), rows.mean() / 2
    return centres


@pytest.mark.skipif(not PEER.is_file(), reason="the peers' files are not here")
def test_files_made_by_others_hold_24_moving_discs() -> None:
    frames = []
    with zipfile.ZipFile(PEER) as archive:
        for name in sorted(archive.namelist()):
            content = archive.read(name)
            assert len(content) == 3_119_094
            pixels = dlpc350_reader.read_bmp(content, name)
            frames += [dlpc350_reader.pattern_levels(pixels, 1, plane) for plane in range(24)]
    centres = disc_centres(frames).reshape(4, 3, 8, 2)  # file, byte G R B, bit, x y

    def unevenness(order: tuple[int, ...], bits: slice) -> float:
        steps = np.diff(centres[:, order, bits].reshape(96, 2), n=2, axis=0)
        return float(np.nanmax(np.linalg.norm(steps, axis=1)))

    found = {
        (order, bits.step): unevenness(order, bits)
        for order in itertools.permutations(range(3))
        for bits in (slice(None), slice(None, None, -1))
    }
    # The disc moves evenly in the order G0-7, R0-7, B0-7 and in no other.
    assert found.pop(((0, 1, 2), None)) < 2
    assert min(found.values()) > 20
    # Drawn by others for the real lattice: as wide as high where rows lie half a column pitch apart.
    rows, columns = np.nonzero(max(frames, key=np.count_nonzero))
    assert np.ptp(columns) == pytest.approx(np.ptp(rows) / 2, rel=0.02)
