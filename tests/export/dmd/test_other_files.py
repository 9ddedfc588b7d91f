"""HDMI frames and ALP planes: bytes worked out by hand, and second readers."""

import json
import zlib

import numpy as np
import pytest

from cidesign.errors import FileError, InputError
from cidesign.export.dmd.alp import read as alp_reader
from cidesign.export.dmd.alp import write as alp
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.hdmi import read as hdmi_reader
from cidesign.export.dmd.hdmi import write as hdmi
from cidesign.export.dmd.writer import write_export
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.loader import load_profile


def test_png_by_hand() -> None:
    """2 x 2 pixels; planes 0-7 are green, 8-15 red, 16-23 blue; each row is the difference to the one above."""
    groups = np.zeros((3, 2, 2), dtype=np.uint8)
    groups[0, 0, 0], groups[1, 0, 1], groups[2, 1, 0] = 0x80, 0x01, 0x02
    content = hdmi.png_bytes(groups)
    assert content[:33].hex() == (
        "89504e470d0a1a0a" + "0000000d" + "49484452" + "00000002" + "00000002" + "0802000000" + "fdd49a73"
    )
    length = int.from_bytes(content[33:37], "big")
    # Row 0: filter 2, pixels (0,80,0) (1,0,0).  Row 1: filter 2, (0,-80,2) (-1,0,0).
    assert zlib.decompress(content[41 : 41 + length]).hex() == "02" + "008000" + "010000" + "02" + "008002" + "ff0000"
    assert content[-12:].hex() == "0000000049454e44ae426082"


def test_frames_are_what_an_image_viewer_shows(tmp_path, dlp4500, make_pattern, plan_for) -> None:
    import cv2

    pattern = make_pattern(dlp4500, 30, 12)
    folder = tmp_path / "export"
    write_export(exporter_named("hdmi"), pattern, dlp4500, plan_for(dlp4500, pattern), folder)
    grid = superpixel_grid(dlp4500, 12)
    for image, count in ((0, 24), (1, 7)):
        blue, green, red = np.moveaxis(cv2.imread(str(folder / f"dlp4500_{image:02d}.png")), -1, 0)
        assert green.shape == (1140, 912)
        planes = [colour >> bit & 1 for colour in (green, red, blue) for bit in range(8)]
        for slot in range(count):
            assert np.array_equal(planes[slot], grid.spread(pattern.displayed()[24 * image + slot]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.__setitem__("bit_depth", 9), "bit_depth is 9"),
        (lambda c: c.__setitem__("bit_depth", True), "bit_depth is 'True'; a whole number"),
        (lambda c: c.__setitem__("mode", "fast"), "mode 'fast', which no device has"),
        (lambda c: c.__setitem__("entries", []), "a list of four numbers"),
        (lambda c: c["entries"][3].__setitem__(1, 24), "entry 3 asks for pattern 24 of 1 bit"),
        (lambda c: c["entries"][3].__setitem__(2, -1), "entry 3 is '-1'"),
        (lambda c: c["entries"][3].pop(), "a list of four numbers"),
        (lambda c: c.pop("mode"), "the field 'mode' is missing"),
        (lambda c: c.__setitem__("gamma", 1), "the field 'gamma' is not known"),
    ],
)
def test_a_wrong_hdmi_sidecar_is_refused(small_export, change, message: str) -> None:
    _, folder = small_export("hdmi", "dlp4500")
    content = json.loads((folder / "sequence.json").read_text())
    change(content)
    (folder / "sequence.json").write_text(json.dumps(content))
    with pytest.raises(FileError, match=message):
        list(hdmi_reader.read(folder).frames)


def test_binary_frames_by_hand() -> None:
    """Bit 7 is the leftmost mirror; 1080p rows have 240 bytes and 16 of padding; XGA rows 128."""
    levels = np.zeros((2, 1920), dtype=np.uint8)
    levels[0, 0], levels[0, 9], levels[1, 1919] = 1, 1, 1
    content = alp.frame_bytes(levels, 1)
    assert len(content) == 512
    assert content[:3].hex() == "804000"
    assert content[256 + 239] == 1
    assert sum(content) == 0x80 + 0x40 + 1
    assert alp.row_bytes(1024) == 128
    with pytest.raises(InputError, match="ALP rows of 1280 mirrors: known are 1024, 1920"):
        alp.row_bytes(1280)


def test_grey_frames_have_their_bits_on_the_left() -> None:
    levels = np.array([[0, 1, 5, 7]], dtype=np.uint8)
    assert alp.frame_bytes(levels, 3).hex() == "0020a0e0"
    assert alp.frame_bytes(levels, 8).hex() == "00010507"


def test_planes_read_back_with_unpackbits(small_export) -> None:
    exporter, folder = small_export("alp", "dlp7000")
    stored = np.fromfile(folder / "alp_planes.bin", dtype=np.uint8).reshape(30, 30, 128)
    for plane, frame in zip(stored, exporter.read(folder).frames, strict=True):
        assert np.array_equal(np.unpackbits(plane, axis=1), frame)
    sidecar = json.loads((folder / "alp_planes.json").read_text())
    assert sidecar == {
        "columns": 1024,
        "rows": 30,
        "row_bytes": 128,
        "bit_planes": 1,
        "data_format": "ALP_DATA_BINARY_TOPDOWN",
        "pictures": 30,
        "picture_time_us": 44,
        "illuminate_time_us": 44,
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pictures", 29, "115200 bytes, but 29 pictures take 111360"),
        ("row_bytes", 127, "rows of 127 bytes do not hold 1024 mirrors"),
        ("rows", 0, "cannot be"),
        ("bit_planes", 2, "2 bit planes are stored as ALP_DATA_MSB_ALIGN"),
        ("bit_planes", 9, "9 bit planes"),
        ("columns", 1.5, "columns is '1.5'; a whole number"),
        ("columns", 512, "mirrors on in the padding"),
        ("data_format", "ALP_DATA_BINARY_BOTTOMUP", "stored as ALP_DATA_BINARY_TOPDOWN"),
    ],
)
def test_a_wrong_alp_sidecar_is_refused(small_export, field: str, value: object, message: str) -> None:
    _, folder = small_export("alp", "dlp7000")
    content = json.loads((folder / "alp_planes.json").read_text())
    content[field] = value
    (folder / "alp_planes.json").write_text(json.dumps(content))
    with pytest.raises(FileError, match=message):
        list(alp_reader.read(folder).frames)


def test_planning_values_are_said_in_the_manifest(tmp_path, make_pattern, plan_for) -> None:
    profile = load_profile("dlp7000")
    pattern = make_pattern(profile, 2, 12, 8)
    manifest = write_export(exporter_named("alp"), pattern, profile, plan_for(profile, pattern), tmp_path / "export")
    assert "3449 us is a planning value" in manifest.timing.notes[0]
    assert "AlpSeqInquire" in manifest.notes[0]
