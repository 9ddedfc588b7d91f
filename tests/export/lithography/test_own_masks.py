"""Masks of one's own: what each kind of file holds, what it leaves open, and what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import savemat

from cidesign.errors import CidesignError, FileError, InputError
from cidesign.export.aperture.gds.write import build_library, write_gds, write_oasis
from cidesign.export.aperture.layout import OrderOptions, plan_plate
from cidesign.export.aperture.own import MaskOptions, read_own
from cidesign.export.aperture.writer import write_aperture_export
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import ApertureMask

PROFILE = load_profile("chrome-laser-10um")
assert isinstance(PROFILE, ApertureProfile)
# No turn or flip leaves it as it is, and every border row and column is drawn in, in both polarities.
CODE = np.array(
    [[1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 1], [0, 1, 1, 0, 0, 0], [1, 0, 1, 0, 1, 0]], dtype=np.uint8
)  # fmt: skip
GREY = np.linspace(0.02, 1.0, 24, dtype=np.float32).reshape(4, 6) ** 2


def read(path: Path, **options: object) -> OwnDesign:
    return read_own([path], PROFILE, MaskOptions.model_validate(options))


def levels(path: Path, **options: object) -> np.ndarray:
    design = read(path, **options).design
    assert isinstance(design, ApertureMask)
    assert (design.profile_id, design.profile_digest) == (PROFILE.id, PROFILE.digest)
    return design.levels


def save(path: Path, array: np.ndarray) -> Path:
    kind = path.suffix
    if kind == ".npy":
        np.save(path, array)
    elif kind == ".npz":
        np.savez(path, mask=array, other=np.zeros(3))
    elif kind == ".mat":
        savemat(path, {"mask": array, "note": "x"})
    elif kind == ".tif":
        tifffile.imwrite(path, array, photometric="minisblack")
    else:
        Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize("kind", [".npy", ".npz", ".mat"])
@pytest.mark.parametrize(
    "array", [CODE, CODE.astype(bool), CODE.astype(np.float64), CODE * np.uint8(255), CODE * 65535.0]
)
def test_binary_arrays(tmp_path: Path, kind: str, array: np.ndarray) -> None:
    found = read(save(tmp_path / f"a{kind}", array))
    design = found.design
    assert isinstance(design, ApertureMask)
    assert design.levels.dtype == np.uint8
    assert np.array_equal(design.levels, CODE)
    assert design.pitch_um == PROFILE.pixel_pitch_um.value
    assert any("the greater value lets light pass; --set polarity=inverted" in one for one in found.said)
    assert found.sources[0][0] == f"a{kind}"


@pytest.mark.parametrize("kind", [".npy", ".npz", ".mat", ".tif"])
def test_grey_transmissions_are_kept_exactly(tmp_path: Path, kind: str) -> None:
    found = read(save(tmp_path / f"a{kind}", GREY))
    assert isinstance(found.design, ApertureMask)
    assert found.design.levels.dtype == np.float32
    assert np.array_equal(found.design.levels, GREY)
    assert any(one.startswith("grey: ") for one in found.said)


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("kind", [".png", ".tif"])
def test_grey_pictures_of_8_and_16_bits(tmp_path: Path, dtype: type, full: int, kind: str) -> None:
    stored = np.rint(GREY * full).astype(dtype)
    found = levels(save(tmp_path / f"a{kind}", stored))
    assert np.array_equal(found, (stored / full).astype(np.float32))


def test_pictures_of_one_bit_palettes_and_equal_colours(tmp_path: Path) -> None:
    grey = Image.fromarray(CODE * np.uint8(255))
    for name, picture in {
        "a.png": grey.convert("1"), "b.bmp": grey.convert("1"), "c.tif": grey.convert("1"), "d.png": grey.convert("P"),
        "e.png": grey.convert("RGB"), "f.bmp": grey.convert("RGB"),
    }.items():  # fmt: skip
        picture.save(tmp_path / name)
        assert np.array_equal(levels(tmp_path / name), CODE), name
    inverse = Image.fromarray(1 - CODE).convert("P")
    inverse.putpalette([255, 255, 255, 0, 0, 0])
    inverse.save(tmp_path / "g.png")
    assert np.array_equal(levels(tmp_path / "g.png"), CODE)  # index 0 is white


def test_orientation_and_polarity_are_the_owners(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", CODE)
    assert np.array_equal(levels(path, transpose=True), CODE.T)
    assert np.array_equal(levels(path, flip_vertical=True), CODE[::-1])
    assert np.array_equal(levels(path, flip_horizontal=True), CODE[:, ::-1])
    assert np.array_equal(levels(path, transpose=True, flip_vertical=True), CODE.T[::-1])
    assert np.array_equal(levels(path, polarity="inverted"), 1 - CODE)
    grey = save(tmp_path / "b.npy", GREY)
    np.testing.assert_allclose(levels(grey, polarity="inverted"), 1 - GREY, rtol=0, atol=1e-7)
    design = read(path, pitch_um=12.5).design
    assert isinstance(design, ApertureMask)
    assert design.pitch_um == 12.5


def test_scales_are_asked_for_and_not_guessed(tmp_path: Path) -> None:
    camera = save(tmp_path / "a.npy", np.rint(GREY * 180).astype(np.uint8))
    with pytest.raises(InputError, match=r"--set white=180\) or the full scale of uint8, 255 \(--set white=255\)"):
        read(camera)
    np.testing.assert_allclose(levels(camera, white=180), np.rint(GREY * 180) / 180, atol=1e-7)
    signs = save(tmp_path / "b.npy", 2.0 * CODE - 1)
    with pytest.raises(InputError, match="--set black=-1 --set white=1"):
        read(signs)
    assert np.array_equal(levels(signs, black=-1), CODE)
    with pytest.raises(InputError, match=r"12 of 24 values are outside 0 to 0.5"):
        read(save(tmp_path / "c.npy", np.arange(24).reshape(4, 6) % 2), white=0.5)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.where(CODE == 1, np.nan, 0.0), "of 24 values are not finite, the first nan at row 0, column 0"),
        (CODE * 1j, "holds complex128 values; a transmission is a real number"),
        (np.ones((4, 6)), "all 24 values are 1; there is no mask in it"),
        (np.arange(24.0), r"has shape \(24,\); a mask is \(H, W\)"),
        (np.stack([CODE] * 3), "a cube of 3 bands of 4 x 6; one mask"),
        (np.stack([GREY] * 28, axis=2), "a cube of 4 bands of 6 x 28|a cube of 28 bands of 4 x 6"),
    ],
)
def test_what_is_no_mask_is_refused_in_one_line(tmp_path: Path, array: np.ndarray, said: str) -> None:
    with pytest.raises(FileError, match=said) as caught:
        read(save(tmp_path / "a.npy", array))
    assert "\n" not in str(caught.value)


def test_axes_of_one_element_are_left_out(tmp_path: Path) -> None:
    assert np.array_equal(levels(save(tmp_path / "a.npy", CODE[None])), CODE)
    assert np.array_equal(levels(save(tmp_path / "b.npy", CODE[..., None])), CODE)


def test_colour_pages_and_turned_tiffs_are_refused(tmp_path: Path) -> None:
    rgb = np.repeat(CODE[..., None] * np.uint8(255), 3, axis=2)
    rgb[1, 2] = (10, 20, 30)
    with pytest.raises(FileError, match=r"is in colour, first \(10, 20, 30\) at row 1, column 2"):
        read(save(tmp_path / "a.png", rgb))
    tifffile.imwrite(tmp_path / "b.tif", np.stack([CODE] * 2), photometric="minisblack")
    with pytest.raises(FileError, match="holds 2 pictures"):
        read(tmp_path / "b.tif")
    tifffile.imwrite(tmp_path / "c.tif", CODE, photometric="miniswhite")
    with pytest.raises(FileError, match="WhiteIsZero"):
        read(tmp_path / "c.tif")
    tifffile.imwrite(tmp_path / "d.tif", CODE, photometric="minisblack", extratags=[(274, 3, 1, 3, True)])
    with pytest.raises(FileError, match="Orientation is 3"):
        read(tmp_path / "d.tif")
    (tmp_path / "e.png").write_bytes(
        save(tmp_path / "f.png", GREY[:, :, None].repeat(3, 2).astype(np.uint8)).read_bytes()[:40]
    )
    with pytest.raises(FileError, match=r"e\.png"):
        read(tmp_path / "e.png")


def test_several_files_and_arrays_have_to_be_chosen_from(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", code=CODE, flat=GREY)
    with pytest.raises(InputError, match=r"code \(4, 6\), flat \(4, 6\); say which is the mask with --set array=NAME"):
        read(tmp_path / "a.npz")
    assert np.array_equal(levels(tmp_path / "a.npz", array="flat"), GREY)
    with pytest.raises(InputError, match="a mask is one file, 2 are named"):
        read_own([tmp_path / "a.npz", tmp_path / "b.npz"], PROFILE, MaskOptions())
    with pytest.raises(FileError, match="no such file"):
        read(tmp_path / "no.npy")
    with pytest.raises(InputError, match="--set layer: means nothing"):
        read(tmp_path / "a.npz", layer="1/0")


def _layout(tmp_path: Path, kind: str) -> Path:
    """The code as its exporter draws it, clear on layer 1/0."""
    mask = ApertureMask(np.kron(CODE, np.ones((2, 2), np.uint8)), 10.0, PROFILE.id, PROFILE.digest)
    options = OrderOptions(name="own", fiducials=False)
    library = build_library(plan_plate(mask, PROFILE, options), "own", False)
    path = tmp_path / f"a.{kind}"
    (write_gds if kind == "gds" else write_oasis)(library, path)
    return path


@pytest.mark.parametrize("kind", ["gds", "oas"])
def test_layouts_ask_for_polarity_and_give_the_code_back(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("gdstk")
    path = _layout(tmp_path, kind)
    wanted = np.kron(CODE, np.ones((2, 2), np.uint8))
    share = CODE.mean()
    with pytest.raises(InputError, match=rf"{share:.1%} of the mask is open \(--set polarity=normal\); if chrome, "):
        read(path, layer="1/0")
    found = read(path, layer="1/0", polarity="normal")
    assert isinstance(found.design, ApertureMask)
    assert found.design.pitch_um == 10.0
    assert np.array_equal(found.design.levels, wanted)
    assert np.array_equal(levels(path, layer="1/0", polarity="inverted"), 1 - wanted)


def test_layouts_of_other_programs(tmp_path: Path) -> None:
    """Rows run up in a layout; the pitch is that of its own grid; layers and cells have to be named."""
    gdstk = pytest.importorskip("gdstk")
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    cell = library.new_cell("MASK")
    height = CODE.shape[0]
    for row, column in np.argwhere(CODE):
        y = 12 * (height - 1 - row)
        cell.add(gdstk.rectangle((12 * column, y), (12 * column + 12, y + 12), layer=7))
    library.write_gds(tmp_path / "a.gds")
    found = read(tmp_path / "a.gds", polarity="normal")
    assert isinstance(found.design, ApertureMask)
    assert found.design.pitch_um == 12.0
    assert np.array_equal(found.design.levels, CODE)
    assert any("is not that of chrome-laser-10um, 10 um: no order" in one for one in found.said)
    cell.add(gdstk.rectangle((0, 0), (5, 5), layer=3))
    library.write_gds(tmp_path / "b.gds")
    with pytest.raises(InputError, match=r"draws on layers 3/0 \(1 shapes\), 7/0 \(\d+ shapes\); say which"):
        read(tmp_path / "b.gds", polarity="normal")
    assert np.array_equal(levels(tmp_path / "b.gds", polarity="normal", layer="7/0"), CODE)
    with pytest.raises(InputError, match="draws nothing on layer 9/0"):
        read(tmp_path / "b.gds", polarity="normal", layer="9/0")
    with pytest.raises(InputError, match="off the grid of 10 um"):
        read(tmp_path / "a.gds", polarity="normal", pitch_um=10)


def test_edges_that_an_order_compensated_are_taken_to_the_grid(tmp_path: Path) -> None:
    gdstk = pytest.importorskip("gdstk")
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    cell = library.new_cell("MASK")
    for row, column in np.argwhere(CODE):
        x, y = 10 * column, 10 * (CODE.shape[0] - 1 - row)
        cell.add(gdstk.rectangle((x + 0.4, y + 0.4), (x + 9.6, y + 9.6)))
    library.write_gds(tmp_path / "a.gds")
    found = read(tmp_path / "a.gds", polarity="normal")
    assert isinstance(found.design, ApertureMask)
    assert np.array_equal(found.design.levels, CODE)
    assert any("edges lie up to 0.4 um off the grid" in one for one in found.said)


def test_a_bilevel_tiff_says_how_large_its_pixels_are(tmp_path: Path) -> None:
    fine = np.kron(CODE, np.ones((5, 5), np.uint8)).astype(bool)
    tifffile.imwrite(tmp_path / "a.tif", fine, photometric="minisblack", resolution=(5000, 5000), resolutionunit=3)
    design = read(tmp_path / "a.tif").design
    assert isinstance(design, ApertureMask)
    assert (design.pitch_um, design.levels.shape) == (10.0, CODE.shape)
    assert np.array_equal(design.levels, CODE)


def test_grey_masks_are_not_exported_and_leave_nothing(tmp_path: Path) -> None:
    design = read(save(tmp_path / "a.npy", GREY)).design
    assert isinstance(design, ApertureMask)
    with pytest.raises(InputError, match="code pixels are grey") as caught:
        write_aperture_export(design, PROFILE, tmp_path / "out", OrderOptions(name="own"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_picture_shows_the_mask_upright(tmp_path: Path) -> None:
    found = read(save(tmp_path / "a.npy", CODE))
    shown = np.asarray(Image.open(io.BytesIO(found.preview_png)))[4:-4, 4:-4, 0]
    step = shown.shape[0] // CODE.shape[0]
    assert np.array_equal(shown[step // 2 :: step, step // 2 :: step], CODE * 255)


def test_a_large_mask_is_read_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    mask = rng.random((660, 661), dtype=np.float32)
    assert np.array_equal(levels(save(tmp_path / "a.mat", mask)), mask)


def test_every_refusal_is_one_line(tmp_path: Path) -> None:
    for name, content in {
        "a.gds": b"no",
        "b.oas": b"",
        "c.mat": b"x" * 200,
        "d.npy": b"\x93NUMPY",
        "e.bmp": b"BM",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CidesignError) as caught:
            read(tmp_path / name, polarity="normal")
        assert "\n" not in str(caught.value)
