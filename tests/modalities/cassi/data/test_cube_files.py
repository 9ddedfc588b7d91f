"""Cube files: every format gives the same cube, two possible readings are an error, and so is any damage."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from cidesign.errors import CidesignError, FileError
from cidesign.modalities.cassi.data.cube_files import read_cube

SHARED = Path(__file__).parents[4].parent / "shared" / "data" / "hsi"
NM = np.array([450.0, 500.0, 560.0, 650.0])
# (L, H, W) with no symmetry: every value names its band, line and column.
CUBE = np.arange(4)[:, None, None] * 100 + np.arange(5)[:, None] * 10 + np.arange(3.0)
HWL = CUBE.transpose(1, 2, 0)

Writer = Callable[[Path], Path]


def _mat(folder: Path) -> Path:
    savemat(folder / "a.mat", {"hsi": HWL.astype(np.int16), "wavelengths": NM[:, None], "truth": np.eye(5)})
    return folder / "a.mat"


def _mat73(folder: Path) -> Path:
    with h5py.File(folder / "b.mat", "w", userblock_size=512) as stored:
        stored["hsi"] = HWL.T  # MATLAB's order of axes, as HDF5 sees it
        stored["wavelengths"] = NM[None]
        stored["#refs#/x"] = np.zeros((4, 5, 6))
    with (folder / "b.mat").open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return folder / "b.mat"


def _hdf5(folder: Path) -> Path:
    with h5py.File(folder / "c.h5", "w") as stored:
        stored["scene/radiance"] = CUBE.astype(np.float32)
        stored["scene/wavelength"] = NM / 1000
        stored["scene/wavelength"].attrs["units"] = "micrometers"
        stored["label"] = np.zeros((5, 3))
    return folder / "c.h5"


def _npz(folder: Path) -> Path:
    np.savez(folder / "d.npz", cube=CUBE, wavelengths_nm=NM)
    return folder / "d.npz"


def _npy(folder: Path) -> Path:
    np.save(folder / "e.npy", np.asfortranarray(HWL))
    (folder / "e.json").write_text(json.dumps({"wavelengths_um": (NM / 1000).tolist()}))
    return folder / "e.npy"


def _envi(interleave: str, order: str, kind: tuple[int, str], suffix: str) -> Writer:
    def write(folder: Path) -> Path:
        axes = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}[interleave]
        stored = CUBE.transpose(axes).astype(order + kind[1])
        (folder / f"f{suffix}").write_bytes(b"head" + stored.tobytes())
        (folder / "f.hdr").write_text(
            f"ENVI\ndescription = {{ two\n lines }}\nsamples = 3\nlines=5\nbands = 4\nheader offset = 4\n"
            f"data type = {kind[0]}\ninterleave = {interleave.upper()}\nbyte order = {int(order == '>')}\n"
            "wavelength units = Nanometers\nwavelength = {450, 500,\n 560.0, 650}\n"
        )
        return folder / "f.hdr"

    return write


WRITERS: list[Writer] = [
    _mat,
    _mat73,
    _hdf5,
    _npz,
    _npy,
    _envi("bsq", "<", (12, "u2"), ""),
    _envi("bil", ">", (2, "i2"), ".raw"),
    _envi("bip", "<", (4, "f4"), ".img"),
    _envi("bil", ">", (5, "f8"), ".bil"),
]


# Each of these starts a process.
IN_A_CHILD: list[Writer] = [_mat, _mat73, _hdf5]


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_gives_the_same_cube(tmp_path: Path, write: Writer) -> None:
    found = read_cube(write(tmp_path))
    np.testing.assert_array_equal(found.values, CUBE.astype(np.float32))
    np.testing.assert_allclose(found.wavelengths_nm, NM, rtol=1e-12)
    assert found.values.dtype == np.float32


def test_envi_scale_holes_and_bad_bands(tmp_path: Path) -> None:
    path = _envi("bsq", "<", (2, "i2"), ".dat")(tmp_path)
    with path.open("a") as header:
        header.write("reflectance scale factor = 100\ndata ignore value = 0\nbbl = {1, 1, 0, 1}\n; a remark = 3\n")
    found = read_cube(path)
    assert found.wavelengths_nm.tolist() == [450, 500, 650]
    assert np.isnan(found.values[0, 0, 0])
    np.testing.assert_allclose(found.values[2], CUBE[3] / 100, rtol=1e-6)
    assert any("bad" in note for note in found.notes)
    assert any("holes" in note for note in found.notes)


def test_envi_wavelengths_beside_it(tmp_path: Path) -> None:
    path = _envi("bsq", "<", (2, "i2"), ".dat")(tmp_path)
    path.write_text(path.read_text().replace("wavelength = {", "names = {"))
    path.with_suffix(".json").write_text(json.dumps({"wavelengths_nm": [400, 410, 420, 430]}))
    found = read_cube(path)
    assert found.wavelengths_nm.tolist() == [400, 410, 420, 430]
    assert found.notes == ("the wavelengths are those of f.json",)
    path.with_suffix(".json").write_text(json.dumps({"wavelengths_nm": [400, 410]}))
    with pytest.raises(FileError, match=r"f\.json: 2 wavelengths for 4 bands"):
        read_cube(path)


def test_bands_are_sorted_and_it_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", cube=CUBE[::-1], wavelengths=NM[::-1])
    found = read_cube(tmp_path / "x.npz")
    np.testing.assert_array_equal(found.values, CUBE)
    assert "bands are sorted by wavelength" in found.notes
    assert any("can only be nm" in note for note in found.notes)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"cube": CUBE}, r'without wavelengths; give .*`wavelengths_nm`.*x\.json as {"wavelengths_nm"'),
        ({"a": CUBE, "b": CUBE, "wavelengths_nm": NM}, "several readings are possible: `a` with .*`b` with"),
        ({"a": np.zeros((4, 4, 6)), "wavelengths_nm": NM}, "along axis 0, `a` with `wavelengths_nm` along axis 1"),
        ({"a": CUBE, "wavelengths_nm": NM, "wl": NM + 1}, "with `wavelengths_nm` along.*with `wl` along"),
        ({"a": CUBE, "wavelengths_nm": np.arange(400.0, 410)}, r"no axis of `a` \(4, 5, 3\) is as long as"),
        ({"a": CUBE[0], "wavelengths_nm": NM}, r"no real array of three axes .* only a \(5, 3\)"),
        ({"a": CUBE + 1j, "wavelengths_nm": NM}, "no real array"),
        ({"a": CUBE, "bands": np.arange(4)}, "from 0 to 3 are not optical ones"),
        ({"a": CUBE, "wavelengths_um": NM}, "from 450 to 650 um are not optical ones"),
        ({"a": CUBE, "wavelengths_nm": NM[[0, 0, 1, 2]]}, "two bands are at 450 nm"),
        ({"a": CUBE, "wavelengths_nm": NM * np.nan}, "not optical ones"),
    ],
)
def test_what_cannot_be_told_is_an_error(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(FileError, match=message):
        read_cube(tmp_path / "x.npz")


def test_the_wavelengths_choose_between_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", rgb=np.zeros((5, 3, 3)), rad=CUBE, bands=NM)
    found = read_cube(tmp_path / "x.npz")
    assert found.values.shape == CUBE.shape
    assert any("`rad` is read" in note for note in found.notes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("wavelength = {", "unused = {", "without wavelengths; give .* `wavelength` in the header"),
        ("Nanometers", "Wavenumber", "'Wavenumber' are not read"),
        ("Nanometers", "Micrometers", "um are not optical ones"),
        ("samples = 3", "samples = 7", "bytes; the header beside it describes"),
        ("samples = 3", "samples = -3", "`samples` is '-3'; a whole number"),
        ("samples = 3", "sample = 3", "`samples` is missing"),
        ("samples = 3", "samples = 999999999999999", "the header beside it describes"),
        ("data type = 12", "data type = 6", "data type 6 is not read"),
        ("interleave = BSQ", "interleave = odd", "interleave 'odd' is unknown"),
        ("byte order = 0", "byte order = 2", "byte order 2 is unknown"),
        ("650}", "six}", "is not a number"),
        ("650}", "650", "not closed by a brace"),
        ("560.0, 650}", "560.0}", "holds 3 numbers; 4 finite"),
        ("samples = 3", "samples = 3\nsamples = 3", "`samples` is there twice"),
    ],
)
def test_envi_headers_that_are_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = _envi("bsq", "<", (12, "u2"), ".raw")(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(FileError, match=message):
        read_cube(path)


def test_envi_data_file_must_be_one(tmp_path: Path) -> None:
    path = _envi("bsq", "<", (12, "u2"), ".raw")(tmp_path)
    (tmp_path / "f.img").write_bytes(b"")
    with pytest.raises(FileError, match=r"found f\.raw, f\.img"):
        read_cube(path)
    (tmp_path / "f.raw").unlink()
    (tmp_path / "f.img").unlink()
    with pytest.raises(FileError, match="found none"):
        read_cube(path)


def test_values_in_other_files_are_not_opened(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as stored:
        stored["wavelength_nm"] = NM
        layout = h5py.VirtualLayout(shape=CUBE.shape, dtype="f4")
        layout[:] = h5py.VirtualSource("secret.h5", "cube", shape=CUBE.shape)
        stored.create_virtual_dataset("cube", layout)
    with pytest.raises(FileError, match="lie in another file"):
        read_cube(tmp_path / "x.h5")


def test_sizes_are_checked_before_memory_is_taken(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as stored:
        stored["wavelength_nm"] = NM
        stored.create_dataset("cube", shape=(4, 10**6, 10**6), dtype="f4", chunks=(1, 10, 10))
    with pytest.raises(FileError, match="`cube` declares 16000000000000 bytes"):
        read_cube(tmp_path / "x.h5")
    np.save(tmp_path / "y.npy", CUBE)
    content = (tmp_path / "y.npy").read_bytes().replace(b"(4, 5, 3)", b"(4, 5, 3000000)").replace(b" " * 6, b"", 1)
    (tmp_path / "y.npy").write_bytes(content)
    with pytest.raises(FileError, match="but holds"):
        read_cube(tmp_path / "y.npy")


@pytest.mark.parametrize("name", ["x.mat", "x.npz", "x.npy", "x.h5", "x.hdr", "x.tif"])
def test_missing_empty_and_foreign_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match=name):
        read_cube(tmp_path / name)
    for content in (b"", b"text that is no array"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=name):
            read_cube(tmp_path / name)


@pytest.mark.parametrize(
    "sidecar", ["[]", "{}", '{"wavelengths_nm": "x"}', '{"wavelengths_nm": [1e400, 2, 3, 4]}', "{"]
)
def test_damaged_sidecars(tmp_path: Path, sidecar: str) -> None:
    path = _npy(tmp_path)
    path.with_suffix(".json").write_text(sidecar)
    with pytest.raises(FileError, match=r"e\.(json|npy)"):
        read_cube(path)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_an_error_or_a_cube(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    write = data.draw(st.sampled_from([writer for writer in WRITERS if writer not in IN_A_CHILD]))
    _read_mutated(write(tmp_path_factory.mktemp("fuzz")), data)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_hdf5_is_an_error_or_a_cube(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    _read_mutated(data.draw(st.sampled_from(IN_A_CHILD))(tmp_path_factory.mktemp("fuzz")), data)


def _read_mutated(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    message = ""
    try:
        found = read_cube(path)
        assert found.values.ndim == 3
        assert found.values.shape[0] == found.wavelengths_nm.size
    except CidesignError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared cubes are not here")
def test_real_cubes_against_scipy() -> None:
    found = read_cube(SHARED / "aviris_90x90x224.mat")
    other = loadmat(SHARED / "aviris_90x90x224.mat")
    order = np.argsort(other["wavelengths"].ravel(), kind="stable")
    np.testing.assert_array_equal(found.values, other["hsi_img"].transpose(2, 0, 1)[order])
    small = read_cube(SHARED / "casi_target_36x36x72.mat")
    assert small.values.shape == (72, 36, 36)
    corn = read_cube(SHARED / "corn-kernel-hyperspectral.hdr")
    raw = np.fromfile(SHARED / "corn-kernel-hyperspectral.raw", dtype="<u2").reshape(31, 580, 43)
    np.testing.assert_array_equal(corn.values, raw.transpose(1, 0, 2))
    assert corn.wavelengths_nm[[0, -1]].tolist() == [366.551, 1048.421]


def test_cubes_in_matlab_structures_are_read(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"scene": {"cube": HWL, "wavelengths_nm": [500.0, 510.0, 520.0, 530.0]}})
    cube = read_cube(tmp_path / "x.mat")
    assert cube.wavelengths_nm.tolist() == [500, 510, 520, 530]
    assert np.array_equal(cube.values, CUBE)
    savemat(tmp_path / "x.mat", {"scene": {"cube": "text"}})
    with pytest.raises(FileError, match=r"only scene \(a struct\), scene\.cube \(a char\)"):
        read_cube(tmp_path / "x.mat")
