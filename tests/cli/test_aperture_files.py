"""What the export and check commands do for coded apertures, called as the commands call it."""

from pathlib import Path

import numpy as np
import pytest

from cidesign.designs.checking import check_path
from cidesign.errors import InputError, LimitError
from cidesign.export.aperture.family import FAMILY
from cidesign.export.aperture.verify import picture_beside
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import ApertureMask

pytest.importorskip("gdstk", reason="gdstk is not installed")


@pytest.fixture
def order(tmp_path) -> tuple[Path, dict, str]:
    chrome = load_profile("chrome-laser-10um")
    levels = np.zeros((12, 16), dtype=np.uint8)
    levels[2:9, 3:6] = levels[2:5, 3:14] = 1
    mask = ApertureMask(levels, 10.0, chrome.id, chrome.digest)
    done = FAMILY.export(mask, chrome, tmp_path / "order", FAMILY.options((), {"name": "CLI"}))
    return done.folder, done.value, done.text


def test_export_says_tone_side_and_sizes(order) -> None:
    folder, value, text = order
    assert value["folder"] == str(folder)
    assert set(value["files"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert "code 16 x 12 pixels of 10 um (10 um on the detector), drawing" in text
    assert "tone: 1-pixels and polygons become clear" in text
    assert "reading: right-reading chrome up. Seen from the chrome side" in text
    assert "edge bias: none applied" in text


def test_check_takes_the_folder_and_each_mask_file(order) -> None:
    folder, _, _ = order
    report = check_path(folder)
    assert report.ok
    assert len(report.found) == len(report.value["checks"]) == 10
    assert report.text == f"{folder}: all 10 checks passed"
    for name in ("mask.tif", "mask.gds", "mask.oas"):
        seen = []
        chrome = load_profile("chrome-laser-10um")
        done = FAMILY.check_file(folder / name, chrome, FAMILY.file_options({}), seen.append)
        assert done.failure is None
        assert tuple(seen) == done.checks
        assert check_path(folder / name, chrome).found == tuple((folder / name, finding) for finding in seen)
    with pytest.raises(
        InputError, match=r"mask.gds: a mask file does not say what process it is for; name one with --pr"
    ):
        check_path(folder / "mask.gds")


def test_the_cell_of_a_layout_is_named_with_set(tmp_path, cidesign) -> None:
    import gdstk

    library = gdstk.Library("L", unit=1e-6, precision=1e-9)
    library.new_cell("SOUND").add(gdstk.rectangle((0, 0), (10, 10), layer=1))
    library.new_cell("NARROW").add(gdstk.rectangle((0, 0), (3, 10), layer=1))
    path = tmp_path / "mask.gds"
    library.write_gds(str(path))
    check = ("check", path, "--profile", "chrome-laser-10um")
    done = cidesign(*check)
    assert done.code == 2
    assert "say which is the mask with --set cell=NAME, one of SOUND, NARROW" in done.err
    done = cidesign(*check, "--set", "cell=SOUND")
    assert (done.code, done.out.splitlines()[-1]) == (0, f"{path}: all 4 checks passed")
    done = cidesign(*check, "--set", "cell=NARROW")
    assert (done.code, "smallest feature is less at 1 place" in done.err) == (3, True)
    done = cidesign(*check, "--set", "layer=3")
    assert (done.code, "--set layer: no such setting here; known are cell" in done.err) == (2, True)
    (tmp_path / "a.seq").write_text("")
    done = cidesign("check", tmp_path / "a.seq", "--set", "cell=A")
    assert (done.code, "no such setting for this kind of file" in done.err) == (2, True)
    done = cidesign("check", tmp_path, "--set", "cell=A")
    assert (done.code, "is for a single file" in done.err) == (2, True)


def test_the_picture_of_violations_does_not_spoil_the_order(order, monkeypatch) -> None:
    """Wherever the order is named from: from outside it, from within, and by one of its files."""
    folder, _, _ = order
    picture = folder.with_name("order.violations.png")
    monkeypatch.chdir(folder)
    for path in (folder / "mask.gds", Path("mask.gds")):
        with pytest.raises(LimitError, match=r"order\.violations\.png shows where"):
            check_path(path, "film-20000dpi", {"tone": "clear"})
        assert picture.is_file()
        picture.unlink()
    assert check_path(folder).ok
    assert check_path(Path(".")).ok
    assert picture_beside(Path(".")) == picture
