"""Lines of one's own: lists, masks of lines and of points, BART patterns; what they leave open, and what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.designs.folder import read_files
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.export.mri.own import LineOptions, read_own
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import bart_mask, write_cfl
from cidesign.pattern import CartesianLines

PROFILE = load_profile("mri-generic-3t")
assert isinstance(PROFILE, MriProfile)
# Of 16 lines, centre line 8; 7, 8 and 9 are the largest block around it.
LINES = [1, 4, 7, 8, 9, 13]
MASK = np.isin(np.arange(16), LINES)
REAL = Path(__file__).parents[3].parent / "shared" / "data" / "mri" / "twix_gre.dat"


def read(path: Path, **options: object) -> OwnDesign:
    return read_own([path], PROFILE, LineOptions.model_validate(options))


def design(path: Path, **options: object) -> CartesianLines:
    found = read(path, **options).design
    assert isinstance(found, CartesianLines)
    return found


def npy(path: Path, array: object) -> Path:
    np.save(path, np.asarray(array))
    return path


def require_lines(found: CartesianLines, readout: int) -> None:
    assert found.acquired.tolist() == LINES
    assert (found.lines, found.readout, found.calibration_lines) == (16, readout, 3)
    assert (found.profile_id, found.profile_digest) == (PROFILE.id, PROFILE.digest)


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.npy", "a.npz", "a.mat"])
def test_lists_counted_from_0(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix in (".txt", ".csv"):
        path.write_text("\n".join(map(str, LINES)) + "\n")
    elif path.suffix == ".npy":
        np.save(path, LINES)
    elif path.suffix == ".npz":
        np.savez(path, lines=LINES)
    else:
        savemat(path, {"lines": np.array(LINES, dtype=float)})
    require_lines(design(path, lines=16, readout=20, first=0), 20)


def test_a_list_that_fits_both_ways_is_asked_for(tmp_path: Path) -> None:
    path = npy(tmp_path / "a.npy", LINES)
    with pytest.raises(
        InputError, match=r"fit counting from 0 \(--set first=0, centre line 8\) and from 1 \(--set first=1"
    ):
        read(path, lines=16, readout=20)
    with pytest.raises(InputError, match="of how many"):
        read(path, first=0, readout=20)
    with pytest.raises(InputError, match="--set readout=N"):
        read(path, first=0, lines=16)
    assert design(path, lines=16, readout=20, first=1).acquired.tolist() == [line - 1 for line in LINES]


def test_a_list_that_fits_one_way_is_said(tmp_path: Path) -> None:
    from_1 = read(npy(tmp_path / "a.npy", [2, 8, 9, 10, 16]), lines=16, readout=20)
    assert isinstance(from_1.design, CartesianLines)
    assert from_1.design.acquired.tolist() == [1, 7, 8, 9, 15]
    assert any("counted from 1: 16 is among them" in one for one in from_1.said)
    from_0 = read(npy(tmp_path / "b.npy", [9, 8, 7, 0]), lines=16, readout=20)
    assert isinstance(from_0.design, CartesianLines)
    assert from_0.design.acquired.tolist() == [0, 7, 8, 9]
    assert any("counted from 0: 0 is among them" in one for one in from_0.said)
    assert any("order in which the file names them" in one for one in from_0.said)
    from_centre = read(npy(tmp_path / "c.npy", [line - 8 for line in LINES]), lines=16, readout=20)
    assert isinstance(from_centre.design, CartesianLines)
    require_lines(from_centre.design, 20)


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        ([1, 2, 2, 5], {"lines": 16}, "lines 2 occur more than once"),
        ([1.5, 3.0], {"lines": 16}, r"\[1.5\] is no line number"),
        ([0, 16], {"lines": 16}, "are not among 16"),
        ([-9, 0, 3], {"lines": 16}, "outside -8 to 7 of 16 lines"),
        ([3, 40], {"lines": 16}, "are not among 16"),
        ([3, 4], {"lines": 16, "first": 0, "axis": "rows"}, "--set axis=rows"),
        (["a", "b"], {"lines": 16}, "values; lines are numbers"),
        ([np.nan, 1.0], {"lines": 16}, "1 of 2 values are not finite"),
        (np.zeros((4, 4)), {}, "measures no line"),
        (np.arange(16).reshape(4, 4) / 15, {}, "weights are no lines"),
        (MASK * 1j, {}, "holds complex numbers, k-space itself it seems"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, values: object, options: dict, said: str) -> None:
    with pytest.raises(CidesignError, match=said) as caught:
        read(npy(tmp_path / "a.npy", values), readout=20, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32, np.complex64])
def test_masks_of_lines(tmp_path: Path, dtype: type) -> None:
    require_lines(design(npy(tmp_path / "a.npy", MASK.astype(dtype)), readout=20), 20)
    require_lines(design(npy(tmp_path / "b.npy", MASK.astype(dtype)[:, None]), readout=20), 20)
    with pytest.raises(InputError, match="is a mask of 16 lines; leave it out"):
        read(tmp_path / "a.npy", readout=20, lines=12)


@pytest.mark.parametrize("lead", [(), (1,), (3,)])
def test_masks_of_points_say_their_axis(tmp_path: Path, lead: tuple[int, ...]) -> None:
    rows = np.broadcast_to(MASK[:, None], (*lead, 16, 20))
    found = read(npy(tmp_path / "a.npy", rows))
    assert isinstance(found.design, CartesianLines)
    require_lines(found.design, 20)
    assert any("its rows are the 16 phase-encode lines" in one for one in found.said)
    columns = np.broadcast_to(MASK, (*lead, 20, 16))
    found = read(npy(tmp_path / "b.npy", columns))
    assert isinstance(found.design, CartesianLines)
    require_lines(found.design, 20)
    assert any("its columns are the 16 phase-encode lines" in one for one in found.said)
    with pytest.raises(FileError, match=r"Are the phase-encode lines its rows\? --set axis=rows"):
        read(tmp_path / "a.npy", axis="columns")
    with pytest.raises(InputError, match="has 20 points along a line"):
        read(tmp_path / "a.npy", readout=40)


def test_points_that_are_no_lines_are_refused_by_name(tmp_path: Path) -> None:
    mask = np.array(np.broadcast_to(MASK[:, None], (16, 20)))
    mask[5, 3] = True
    with pytest.raises(FileError, match="is not Cartesian lines: of 16 x 20, rows 5 are measured in part"):
        read(npy(tmp_path / "a.npy", mask))
    with pytest.raises(FileError, match="masks that differ"):
        read(npy(tmp_path / "b.npy", np.stack([mask, ~mask])))
    with pytest.raises(InputError, match=r"its 16 rows \(--set axis=rows\) or its 20 columns"):
        read(npy(tmp_path / "c.npy", np.ones((16, 20))))
    full = design(tmp_path / "c.npy", axis="columns")
    assert (full.lines, full.readout, full.calibration_lines) == (20, 16, 20)


def test_the_centre_may_lie_in_the_corner(tmp_path: Path) -> None:
    path = npy(tmp_path / "a.npy", np.fft.ifftshift(np.isin(np.arange(16), [3, 7, 8, 9, 12])))
    with pytest.raises(InputError, match=r"line 8, .* is not measured, and line 0 is"):
        read(path, readout=20)
    assert design(path, readout=20, centre="corner").acquired.tolist() == [3, 7, 8, 9, 12]
    left_out = read(path, readout=20, centre="middle")
    assert isinstance(left_out.design, CartesianLines)
    assert left_out.design.calibration_lines == 0
    assert any("no calibration lines" in one for one in left_out.said)


@pytest.mark.parametrize("suffix", [".cfl", ".hdr"])
def test_bart_patterns_come_back(tmp_path: Path, suffix: str) -> None:
    own = CartesianLines(16, 20, np.array(LINES), 3, PROFILE.id, PROFILE.digest)
    write_cfl(tmp_path / "pattern", bart_mask(own))
    found = read(tmp_path / f"pattern{suffix}")
    assert isinstance(found.design, CartesianLines)
    assert found.design.design_digest == own.design_digest
    assert [name for name, _ in found.sources] == ["pattern.cfl", "pattern.hdr"]
    write_cfl(tmp_path / "lines", MASK[None].astype(np.complex64))
    require_lines(design(tmp_path / "lines.cfl", readout=20), 20)
    write_cfl(tmp_path / "turned", np.repeat(MASK[:, None], 20, axis=1).astype(np.complex64))
    with pytest.raises(FileError, match="parts of the readout are skipped"):
        read(tmp_path / "turned.cfl")


def test_the_picture_shows_the_lines(tmp_path: Path) -> None:
    picture = np.asarray(Image.open(io.BytesIO(read(npy(tmp_path / "a.npy", MASK), readout=20).preview_png)))
    step = picture.shape[0] // 16
    assert ((picture[step // 2 :: step, 0, 1] > 100) == MASK).all()


def test_options_of_scans_mean_nothing_for_lists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--set slice_index: is for the raw data of a scan"):
        read(npy(tmp_path / "a.npy", MASK), slice_index=0)
    with pytest.raises(InputError, match="lines are one file, 2 are named"):
        read_own([tmp_path / "a.npy"] * 2, PROFILE, LineOptions())


@pytest.mark.skipif(not REAL.is_file(), reason="real raw data are not here")
def test_the_sampling_of_a_real_scan() -> None:
    found = read_files([REAL], PROFILE)
    assert isinstance(found.design, CartesianLines)
    assert found.design.acceleration == 1
    assert (found.design.lines, found.design.readout) == (160, 160)
    with pytest.raises(InputError, match="has 160 samples; leave it out"):
        read_files([REAL], PROFILE, {"readout": 320})


def test_the_sampling_of_an_undersampled_scan(tmp_path: Path) -> None:
    import h5py

    k = np.zeros((1, 2, 20, 16), dtype=np.complex64)  # slices, coils, readout, lines
    rng = np.random.default_rng(0)
    k[..., MASK] = rng.normal(size=(1, 2, 20, len(LINES))) + 1j
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = k
        file["mask"] = MASK.astype(np.float32)
    found = read_files([tmp_path / "a.h5"], PROFILE)
    assert isinstance(found.design, CartesianLines)
    require_lines(found.design, found.design.readout)
    with pytest.raises(InputError, match="says it itself"):
        read_files([tmp_path / "a.h5"], PROFILE, {"first": 0})


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".cfl"])
def test_the_sampling_of_k_space_in_an_array(tmp_path: Path, suffix: str) -> None:
    """Complex numbers are k-space, whose own lines are taken; 0 and 1 are lines."""
    k = np.zeros((2, 16, 20), dtype=np.complex64)
    k[:, LINES] = np.random.default_rng(0).normal(size=(2, len(LINES), 20)) + 1j
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, k)
    elif suffix == ".npz":
        np.savez(path, kspace=k)
    else:
        write_cfl(path.with_suffix(""), k.transpose(2, 1, 0)[:, :, None])
    found = read_files([path], PROFILE)
    assert isinstance(found.design, CartesianLines)
    require_lines(found.design, 20)
    assert "the lines that the scan measured" in found.said[0]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("P12345.7", "a GE P-file"),
        ("ScanArchive_1234_20260101.h5", "a GE ScanArchive"),
        ("raw_001.list", r"Philips raw data \(.data, .list\)"),
        ("raw_001.data", r"Philips raw data \(.data, .list\)"),
        ("scan.RAW", "Philips raw data"),
        ("scan.lab", "Philips raw data"),
        ("scan.sin", "Philips raw data"),
        ("scan.PAR", r"Philips images \(PAR/REC\): these are images|Philips images"),
        ("scan.rec", "Philips images"),
        ("fid", "Bruker raw data"),
        ("rawdata.job0", "Bruker raw data"),
        ("IM0001.dcm", "DICOM images"),
        ("brain.nii.gz", "NIfTI images"),
    ],
)
def test_raw_data_and_images_of_other_vendors_are_named(tmp_path: Path, name: str, what: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\0" * 64)
    for read_it in (lambda: read_files([path], PROFILE), lambda: read_kspace(path)):
        with pytest.raises(FileError, match=f"{what}.*read are ISMRMRD"):
            read_it()


def test_a_folder_of_another_vendor_is_named(tmp_path: Path) -> None:
    (tmp_path / "acqp").write_text("##TITLE")
    with pytest.raises(FileError, match="a folder of Bruker raw data, not read"):
        read_kspace(tmp_path)
