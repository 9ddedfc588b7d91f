"""An order folder: written, verified from disk, read by others, and refused when anything in it was changed."""

import contextlib
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.export.aperture import writer as lithography
from cidesign.export.aperture.files import read_code
from cidesign.export.aperture.layout import OrderOptions
from cidesign.export.aperture.order import OrderRecord, is_order, read_order
from cidesign.export.aperture.verify import check_mask_file, verify_aperture_export
from cidesign.export.aperture.writer import write_aperture_export
from cidesign.files import sha256_file
from cidesign.hardware_profiles.loader import load_profile

pytest.importorskip("gdstk", reason="gdstk is not installed")

FILES = {
    "mask.tif",
    "mask.gds",
    "mask.oas",
    "order.json",
    "order.html",
    "preview.png",
    "design.npz",
    "manifest.json",
}


@pytest.fixture
def order(tmp_path, letter, chrome) -> Path:
    folder = tmp_path / "order"
    write_aperture_export(letter, chrome, folder, OrderOptions(name="LETTER_F"))
    return folder


def test_an_order_holds_its_files_and_every_check_passes(order, letter) -> None:
    assert {path.name for path in order.iterdir()} == FILES
    assert is_order(order)
    findings = {finding.name: finding.text for finding in verify_aperture_export(order)}
    for name in ("mask.tif", "mask.gds", "mask.oas"):
        assert findings[name] == "11 x 9 code pixels equal the design bit for bit"
        assert findings[f"{name} rules"] == "feature 10 um, gap 10 um, every rule of chrome-laser-10um holds"
    assert findings["order"] == "1 becomes clear, right-reading chrome up, as the files have it"


@pytest.mark.parametrize("tone", ["clear", "chrome"])
@pytest.mark.parametrize("reading", ["chrome_up", "chrome_down"])
@pytest.mark.parametrize("name", ["chrome-laser-10um", "chrome-ebeam-2um", "film-20000dpi"])
def test_the_letter_keeps_tone_and_side_through_every_format_of_every_process(
    tmp_path, mask_of, letter, tone, reading, name
) -> None:
    profile = load_profile(name)
    options = OrderOptions(tone=tone, reading=reading, compression="deflate")
    manifest = write_aperture_export(
        mask_of(profile, letter.levels), profile, tmp_path / "order", options, ("tiff", "gds", "oasis")
    )
    placement = manifest.placement
    for file_name in manifest.masks():
        np.testing.assert_array_equal(read_code(tmp_path / "order" / file_name, placement), letter.levels)
    # As OpenCV and Pillow see the TIFF: light is where the scene sees it, or its mirror image for chrome down.
    top, left = -placement.top_nm // placement.pitch_nm, -placement.left_nm // placement.pitch_nm
    box = np.s_[top : top + 11, left : left + 9]
    picture = cv2.imread(str(tmp_path / "order" / "mask.tif"), cv2.IMREAD_GRAYSCALE)[box] // 255
    with Image.open(tmp_path / "order" / "mask.tif") as image:
        np.testing.assert_array_equal(np.asarray(image)[box], picture)
    light = picture if tone == "clear" else 1 - picture
    np.testing.assert_array_equal(light if reading == "chrome_up" else light[:, ::-1], letter.levels)


def test_the_order_says_in_words_what_the_files_are(tmp_path, changed, mask_of, letter) -> None:
    profile = changed(lithography__edge_bias_um=0.5, spectrograph__magnification=-2.0)
    options = OrderOptions(name="CODE_7", reading="chrome_down", tone="chrome")
    write_aperture_export(mask_of(profile, letter.levels), profile, tmp_path / "order", options)
    order = json.loads((tmp_path / "order" / "order.json").read_text())
    assert order["tone"]["ones_become"] == "chrome"
    assert order["tone"]["not_drawn_becomes"] == "clear"
    assert order["reading"]["side"] == "right-reading chrome down (wrong-reading chrome up)"
    assert order["reading"]["files_are_mirrored"] is True
    assert order["code"]["pitch_on_detector_um"] == 20
    assert order["edge_bias"]["applied_um"] == -0.5
    assert (order["smallest_feature_um"], order["smallest_gap_um"]) == (9.0, 10.0 + 1.0)
    assert order["drawn_open_fraction_of_code"] < order["open_fraction_of_code"]
    assert order["layers"][0] == {"layer": 1, "datatype": 0, "holds": "the code"}
    assert order["files"]["mask.gds"]["sha256"] == sha256_file(tmp_path / "order" / "mask.gds")
    assert order["files"]["mask.tif"]["pixel_um"] == 0.5
    sheet = (tmp_path / "order" / "order.html").read_text()
    for words in (order["tone"]["says"], order["reading"]["says"], "20 um", order["files"]["mask.oas"]["sha256"]):
        assert words in sheet
    assert not re.search(r"(src|href)='(?!data:)", sheet)  # nothing from elsewhere
    assert "do not correct it again" in sheet


def test_the_text_of_a_name_cannot_break_the_sheet(order) -> None:
    from cidesign.export.aperture.order_sheet import order_sheet

    record = json.loads((order / "order.json").read_text())
    record["name"] = "<script>alert(1)</script>"
    assert "<script>" not in order_sheet(OrderRecord.model_validate(record), b"")


def test_film_orders_speak_of_emulsion(tmp_path, mask_of, letter) -> None:
    film = load_profile("film-20000dpi")
    write_aperture_export(mask_of(film, letter.levels), film, tmp_path / "order", OrderOptions(tone="chrome"))
    order = json.loads((tmp_path / "order" / "order.json").read_text())
    assert order["tone"]["ones_become"] == "emulsion"
    assert set(order["files"]) == {"mask.tif", "mask.gds"}
    (_, tone, *_) = check_mask_file(tmp_path / "order" / "mask.tif", film)
    assert tone.text == "1 becomes chrome"


def test_the_manifest_places_the_marks_for_calibration(order) -> None:
    manifest = read_order(order)
    corners = {mark.name: (mark.row, mark.column) for mark in manifest.marks if mark.role == "fiducial"}
    assert set(corners) == {"upper left", "upper right", "lower left"}
    assert all(row < 0 or row > 11 for row, _ in corners.values())


def test_a_file_beside_its_manifest_has_its_tone_from_there(order, changed) -> None:
    profile = changed(lithography__min_gap_um=7.0)
    assert list(check_mask_file(order / "mask.gds", profile))[1].text == "1 becomes clear"


def rehash(folder: Path, name: str, role: str = "mask") -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name]["sha256"] = sha256_file(folder / name)
    manifest["files"][name]["bytes"] = (folder / name).stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_an_edited_file_is_found_even_with_a_fitting_hash(order) -> None:
    with Image.open(order / "mask.tif") as image:
        pixels = np.asarray(image).copy()
        info = image.tag_v2
        resolution = {"x_resolution": float(info[282]), "y_resolution": float(info[283]), "resolution_unit": "cm"}
    pixels[20, 20] ^= True
    Image.fromarray(pixels).save(order / "mask.tif", format="TIFF", compression="packbits", **resolution)
    with pytest.raises(FileError, match=r"mask.tif: was changed after it was exported \(its SHA-256"):
        list(verify_aperture_export(order))
    rehash(order, "mask.tif")
    with pytest.raises(FileError, match=r"mask.tif: (1 of 99 code pixels|100 um2 differ)"):
        list(verify_aperture_export(order))


def test_a_mirrored_gds_is_not_the_order(order) -> None:
    import gdstk

    library = gdstk.read_gds(str(order / "mask.gds"))
    for polygon in library.cells[0].polygons:
        polygon.mirror((0, 0), (0, 1))
    library.write_gds(str(order / "mask.gds"))
    rehash(order, "mask.gds")
    with pytest.raises(FileError, match=r"mask\.gds"):
        list(verify_aperture_export(order))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["placement"].update(tone="chrome"), "places the code or the marks otherwise than the design"),
        (lambda raw: raw["options"].update(reading="chrome_down"), "places the code or the marks otherwise"),
        (lambda raw: raw["marks"].pop(), "places the code or the marks otherwise"),
        (lambda raw: raw["options"].update(name="main"), "contains 'main'"),
        (lambda raw: raw.update(profile_digest="0" * 64), "was changed after the export"),
        (lambda raw: raw.update(design_digest="0" * 64), "is not the design that the manifest names"),
        (lambda raw: raw.update(open_fraction=0.1), "order.json does not say what manifest.json says"),
        (lambda raw: raw["files"]["mask.gds"]["mask"].update(outlines=3), "does not measure what manifest.json says"),
        (lambda raw: raw["files"].pop("mask.oas"), "mask.oas is not in manifest.json"),
        (lambda raw: raw["files"].update({"../x": raw["files"]["mask.gds"]}), "which is not a file inside"),
        (lambda raw: raw.update(schema_version=2), "has schema version 2"),
        (lambda raw: raw.update(extra=1), "is damaged: extra"),
        (lambda raw: raw["profile"].update(kind="dmd"), "mirrors"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(order, change, message) -> None:
    raw = json.loads((order / "manifest.json").read_text())
    change(raw)
    (order / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(CidesignError, match=message):
        list(verify_aperture_export(order))


def test_missing_and_foreign_files_are_refused(order) -> None:
    (order / "notes.txt").write_text("x")
    with pytest.raises(FileError, match=r"notes\.txt is not in manifest\.json"):
        list(verify_aperture_export(order))
    (order / "notes.txt").unlink()
    (order / "mask.oas").unlink()
    with pytest.raises(FileError, match=r"mask\.oas is missing"):
        list(verify_aperture_export(order))
    (order / "manifest.json").unlink()
    assert not is_order(order)
    with pytest.raises(FileError, match="no mask order is in this folder"):
        list(verify_aperture_export(order))


def test_another_process_is_refused_and_the_own_one_may_be_stricter(order, changed) -> None:
    with pytest.raises(LimitError, match="designed for chrome-laser-10um, not for film-20000dpi"):
        list(verify_aperture_export(order, load_profile("film-20000dpi")))
    strict = changed(lithography__min_feature_um=11.0)
    with pytest.raises(
        LimitError, match=r"mask.tif at x = .*smallest feature is less at \d+ places, the limit is 11 um"
    ):
        list(verify_aperture_export(order, strict))
    assert (order.parent / "order.violations.png").is_file()
    assert not list(order.glob("*violations*"))


def test_a_design_that_breaks_its_rule_is_not_written_but_drawn(tmp_path, chrome, mask_of) -> None:
    levels = np.zeros((12, 12), dtype=np.uint8)
    levels[2:4, 2:4] = levels[4:6, 4:6] = 1
    with pytest.raises(LimitError, match=r"corner contacts is found at 1 place, .*order.violations.png shows where"):
        write_aperture_export(mask_of(chrome, levels), chrome, tmp_path / "order", OrderOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["order.violations.png"]


def test_a_drawing_that_the_edge_bias_breaks_is_not_written(tmp_path, changed, mask_of, letter) -> None:
    """The code obeys, but its compensated drawing has features of 9 um."""
    profile = changed(lithography__edge_bias_um=0.5, lithography__min_feature_um=9.5)
    with pytest.raises(LimitError, match="smallest feature is less at"):
        write_aperture_export(mask_of(profile, letter.levels), profile, tmp_path / "order", OrderOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["order.violations.png"]


def test_nothing_is_left_when_writing_fails(tmp_path, letter, chrome, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lithography, "write_oasis", broken)
    with pytest.raises(FileError, match="the disk is full"):
        write_aperture_export(letter, chrome, tmp_path / "order", OrderOptions())
    assert not list(tmp_path.iterdir())


def test_a_writer_that_lies_is_caught_before_the_folder_gets_its_name(tmp_path, letter, chrome, monkeypatch) -> None:
    honest = lithography.write_gds

    def lying(library, path) -> None:
        library.cells[0].remove(library.cells[0].polygons[0])
        honest(library, path)

    monkeypatch.setattr(lithography, "write_gds", lying)
    with pytest.raises(FileError, match=r"order/mask.gds"):
        write_aperture_export(letter, chrome, tmp_path / "order", OrderOptions())
    assert not list(tmp_path.iterdir())


def test_orders_are_not_overwritten_without_being_told(order, letter, chrome) -> None:
    with pytest.raises(FileError, match="exists already"):
        write_aperture_export(letter, chrome, order, OrderOptions())
    write_aperture_export(letter, chrome, order, OrderOptions(name="AGAIN"), ("tiff",), force=True)
    assert {path.name for path in order.iterdir()} == FILES - {"mask.gds", "mask.oas"}


@pytest.mark.parametrize(
    ("formats", "profile_name", "message"),
    [
        (("dxf",), "chrome-laser-10um", "unknown mask format 'dxf'; known are tiff, gds, oasis"),
        ((), "film-20000dpi", "it was designed for chrome-laser-10um"),
    ],
)
def test_orders_that_cannot_be_are_refused(tmp_path, letter, formats, profile_name, message) -> None:
    with pytest.raises(InputError, match=message):
        write_aperture_export(letter, load_profile(profile_name), tmp_path / "order", OrderOptions(), formats)
    assert not list(tmp_path.iterdir())


def test_two_orders_of_one_design_differ_in_their_time_alone(tmp_path, letter, chrome, monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("a", "b"):
        write_aperture_export(letter, chrome, tmp_path / name, OrderOptions())
    for name in FILES - {"design.npz"}:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    shutil.rmtree(tmp_path / "a")


def test_a_damaged_manifest_is_a_file_error_never_a_traceback(order) -> None:
    sound = (order / "manifest.json").read_bytes()

    @given(st.data())
    @settings(max_examples=120, deadline=None)
    def damage(data) -> None:
        content = bytearray(sound)
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from(b'0123456789"{}[],:-ex'))
        (order / "manifest.json").write_bytes(content)
        with contextlib.suppress(CidesignError):
            list(verify_aperture_export(order))

    damage()
