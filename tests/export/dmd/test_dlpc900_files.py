"""DLPC900 files: bytes worked out by hand, halves of dual-controller devices, and the batch file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cidesign.constraints.sequence import SequenceEntry, SequencePlan
from cidesign.errors import FileError, LimitError
from cidesign.export.dmd.bitplanes import pack_planes
from cidesign.export.dmd.dlpc900 import read as dlpc900_reader
from cidesign.export.dmd.dlpc900 import write as dlpc900
from cidesign.export.dmd.dlpc900.read_batch import read_commands
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.writer import write_export
from cidesign.hardware_profiles.loader import load_profile

DLPC900 = exporter_named("dlpc900")


def plan(*entries: SequenceEntry, bit_depth: int = 1) -> SequencePlan:
    return SequencePlan(bit_depth, entries, 1, "variable_exposure", None, None, entries[0].exposure_us, ())


@pytest.mark.parametrize(
    ("plane", "pixel"),
    [(0, "000001"), (7, "000080"), (8, "000100"), (16, "010000"), (23, "800000")],
)
def test_wire_bytes_are_those_of_the_plane_table(plane: int, pixel: str) -> None:
    levels = np.zeros((24, 1, 1), dtype=np.uint8)
    levels[plane] = 1
    word = dlpc900.wire_words(pack_planes(levels, 1))
    assert word.astype("<u4").tobytes()[:3].hex() == pixel


def test_header_and_image_by_hand() -> None:
    """8 x 2 pixels, four white and four black in each line: 16 bytes of enhanced coding."""
    words = np.array([[0xFFFFFF] * 4 + [0] * 4] * 2, dtype=np.uint32)
    name, content = dlpc900.image_block(words)
    assert name == "erle"
    assert content[:48].hex() == "53706c64" + "0800" + "0200" + "10000000" + "ff" * 8 + "00" * 5 + "0201" + "00" * 21
    assert content[48:].hex() == "04ffffff" + "04000000" + "000108" + "000100" + "0000"


def test_table_entries_by_hand() -> None:
    """TI's example (200 us, 1 bit, no dark, image 0 plane 0) with white LEDs; plane 1 is `00 08`."""
    table = dlpc900.lut_bytes(
        plan(
            SequenceEntry(0, 0, 0, True, 200, 200),
            SequenceEntry(1, 0, 1, False, 200, 200),
            SequenceEntry(2, 3, 23, True, 0x012345, 0x012345 + 0x0ABCDE),
        )
    )
    assert table[:12].hex() == "0000" + "c80000" + "70" + "000000" + "00" + "0000"
    assert table[12:24].hex() == "0100" + "c80000" + "70" + "000000" + "00" + "0008"
    # Plane 23 of image 3: 23 << 11 | 3 = 0xB803.
    assert table[24:].hex() == "0200" + "452301" + "70" + "debc0a" + "00" + "03b8"
    # Five bits in slot 1 begin at plane 7 (G7): (5 - 1) << 1 | 7 << 4 = 0x78; 7 << 11 = 0x3800.
    five = dlpc900.lut_bytes(plan(SequenceEntry(0, 0, 1, True, 1215, 1215), bit_depth=5))
    assert five.hex() == "0000" + "bf0400" + "78" + "000000" + "00" + "0038"


def test_batch_by_hand() -> None:
    lines = list(
        dlpc900.batch_lines(plan(SequenceEntry(0, 0, 0, True, 200, 200)), [[b"\x01" * 505], [b"\x02", b"\x03"]])
    )
    assert lines[:5] == [
        "PAT_START_STOP: 0x00\n",
        "DISP_MODE: 0x03\n",
        "DELAY: 0xb8 0x0b 0x00 0x00\n",
        "MBOX_DATA: 0x00 0x00 0xc8 0x00 0x00 0x70 0x00 0x00 0x00 0x00 0x00 0x00\n",
        "PAT_CONFIG: 0x01 0x00 0x00 0x00 0x00 0x00\n",
    ]
    assert lines[5:9] == [  # the highest image first, its primary half before the secondary one
        "PATMEM_LOAD_INIT_MASTER: 0x01 0x00 0x01 0x00 0x00 0x00\n",
        "PATMEM_LOAD_DATA_MASTER: 0x01 0x00 0x02\n",
        "PATMEM_LOAD_INIT_SLAVE: 0x01 0x00 0x01 0x00 0x00 0x00\n",
        "PATMEM_LOAD_DATA_SLAVE: 0x01 0x00 0x03\n",
    ]
    assert lines[9] == "PATMEM_LOAD_INIT_MASTER: 0x00 0x00 0xf9 0x01 0x00 0x00\n"  # 505 bytes
    assert lines[10].startswith("PATMEM_LOAD_DATA_MASTER: 0xf8 0x01 0x01 0x01")  # 504 at once
    assert lines[11] == "PATMEM_LOAD_DATA_MASTER: 0x01 0x00 0x01\n"  # never a packet of length 0
    assert lines[12] == lines[4]
    assert len(lines) == 13


def write(profile, pattern, plan_for, folder: Path) -> Path:
    write_export(DLPC900, pattern, profile, plan_for(profile, pattern), folder)
    return folder


def test_halves_go_to_the_controllers_left_and_right(tmp_path, make_pattern, plan_for) -> None:
    profile = load_profile("dlp670s")
    folder = write(profile, make_pattern(profile, 2, 12), plan_for, tmp_path / "export")
    left = dlpc900_reader.read_block((folder / "dlp670s_00_primary.spld").read_bytes(), "left")
    right = dlpc900_reader.read_block((folder / "dlp670s_00_secondary.spld").read_bytes(), "right")
    assert left.shape == right.shape == (1600, 1358, 3)
    # Frame 0 is plane 0, bit 0 of the third byte; the stem of the F is in the left half, its bar ends in the right.
    assert (left[:, :, 2] & 1).any(axis=1).sum() > (right[:, :, 2] & 1).any(axis=1).sum() > 0
    whole = np.concatenate([left, right], axis=1)[:, :, 2] & 1
    assert np.array_equal(whole, next(iter(dlpc900_reader.read(folder).frames)))
    (folder / "dlp670s_00_secondary.spld").unlink()
    (folder / "sequence.batch.txt").unlink()
    with pytest.raises(FileError, match="image 0 needs one file"):
        list(dlpc900_reader.read(folder).frames)


def test_swapped_halves_are_found(tmp_path, make_pattern, plan_for) -> None:
    from cidesign.export.dmd.verify import compare_frames
    from cidesign.hardware_profiles.dmd.lattice import superpixel_grid

    profile = load_profile("dlp500yx")
    pattern = make_pattern(profile, 2, 12)
    folder = write(profile, pattern, plan_for, tmp_path / "export")
    first, second = folder / "dlp500yx_00_primary.spld", folder / "dlp500yx_00_secondary.spld"
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    (folder / "sequence.batch.txt").unlink()
    with pytest.raises(FileError, match="frame 0 differs from the design"):
        compare_frames(folder, dlpc900_reader.read(folder), pattern, superpixel_grid(profile, 12))


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0, 5, "entry 0 has index 5"),
        (5, 0x71, "waits for a trigger, clears early or has no trigger output"),
        (5, 0xF0, "waits for a trigger"),
        (9, 1, "has no trigger output"),
        (11, 0x28, r"shows 2 bits from plane 5, where none begin"),
        (5, 0x7E, "the entries have different bit depths"),
    ],
)
def test_reader_refuses_other_tables(small_export, offset: int, value: int, message: str) -> None:
    _, folder = small_export("dlpc900", "dlp6500")
    table = bytearray((folder / "lut.bin").read_bytes())
    if offset == 11:
        table[5] = 0x72
    table[offset] = value
    (folder / "lut.bin").write_bytes(table)
    with pytest.raises(FileError, match=message):
        dlpc900_reader.read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[1:], "stop, mode, table and configuration are not those of lut.bin"),
        (lambda lines: [*lines[:-1]], "stop, mode, table and configuration"),
        (lambda lines: [*lines, lines[0]], "stop, mode, table and configuration"),
        (
            lambda lines: [*lines[:35], lines[35][:-4] + "0x55", *lines[36:]],
            "image 1 primary is not the one in its own",
        ),
        (lambda lines: [*lines[:34], lines[34].replace("0x01 ", "0x02 ", 1), *lines[35:]], "image 2 primary is not"),
        (lambda lines: [*lines[:34], *lines[36:38], *lines[34:36], lines[38]], "from the highest index down"),
        (lambda lines: [line for line in lines if "LOAD_DATA" not in line], "does not follow what came before"),
        (lambda lines: [line.replace("MASTER", "OTHER") for line in lines], "is no command of this controller"),
        (lambda lines: [*lines[:3], "MBOX_DATA: 12", *lines[3:]], "line 4 is not"),
        (lambda lines: [line[:-5] if "LOAD_DATA" in line else line for line in lines], "has a wrong length"),
    ],
)
def test_reader_compares_the_batch_with_the_files(small_export, change, message: str) -> None:
    _, folder = small_export("dlpc900", "dlp6500")
    path = folder / "sequence.batch.txt"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(FileError, match=message):
        dlpc900_reader.read(folder)


def test_batch_replays_the_upload(small_export) -> None:
    _, folder = small_export("dlpc900", "dlp6500")
    commands = read_commands((folder / "sequence.batch.txt").read_text(), "batch")
    loads = [data for name, data in commands if name == "PATMEM_LOAD_INIT_MASTER"]
    assert [int.from_bytes(data[:2], "little") for data in loads] == [1, 0]
    sizes = [(folder / f"dlp6500_{image:02d}.spld").stat().st_size for image in (1, 0)]
    assert [int.from_bytes(data[2:], "little") for data in loads] == sizes


def test_limits_of_the_controller(tmp_path, make_pattern, plan_for) -> None:
    profile = load_profile("dlp6500")
    for count, bit_depth, message in (
        (400, 1, "sequence length is 401 entries"),
        (205, 2, "bit planes of a sequence is 412, the limit is 400"),
    ):
        pattern = make_pattern(profile, count, 4, bit_depth)
        in_one = replace(plan_for(profile, pattern), starts=(0,))
        with pytest.raises(LimitError, match=message):
            write_export(DLPC900, pattern, profile, in_one, tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_a_batch_that_nobody_would_replay_is_left_out_and_said(tmp_path, make_pattern, plan_for, monkeypatch) -> None:
    monkeypatch.setattr(dlpc900, "_MAX_BATCH_BYTES", 1000)
    profile = load_profile("dlp6500")
    pattern = make_pattern(profile, 2, 4)
    manifest = write_export(DLPC900, pattern, profile, plan_for(profile, pattern), tmp_path / "export")
    assert "sequence.batch.txt is left out" in manifest.notes[1]
    assert not (tmp_path / "export" / "sequence.batch.txt").exists()
