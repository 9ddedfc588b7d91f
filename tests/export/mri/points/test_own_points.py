"""Points of one's own: masks, lists, pictures, BART patterns; what they leave open, and what is refused."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from cidesign.errors import CidesignError, FileError, InputError
from cidesign.export.family import family_for
from cidesign.export.mri.own import LineOptions
from cidesign.export.mri.own import read_own as read_lines
from cidesign.export.mri.points.own import PointOptions, read_own
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import bart_points, write_cfl
from cidesign.pattern import CartesianPoints

PROFILE = load_profile("mri-generic-3t")
assert isinstance(PROFILE, MriProfile)
# 2 x 3 is the largest block around the centre (4, 2).
POINTS = [[0, 3], [3, 1], [3, 2], [3, 3], [4, 1], [4, 2], [4, 3], [5, 0], [7, 4]]
MASK = np.zeros((8, 5), dtype=np.uint8)
MASK[tuple(np.transpose(POINTS))] = 1


def read(path: Path, **options: Any) -> OwnDesign:
    return read_own([path], PROFILE, PointOptions.model_validate(options))


def require_points(found: OwnDesign, readout: int = 16) -> None:
    design = found.design
    assert isinstance(design, CartesianPoints)
    assert design.acquired.tolist() == POINTS
    assert (design.matrix, design.readout, design.calibration) == ((8, 5), readout, (2, 3))
    assert (design.profile_id, design.profile_digest) == (PROFILE.id, PROFILE.digest)


def npy(path: Path, array: object) -> Path:
    np.save(path, np.asarray(array))
    return path


def test_masks_in_every_kind_of_file(tmp_path: Path) -> None:
    require_points(read(npy(tmp_path / "a.npy", MASK), readout=16))
    require_points(read(npy(tmp_path / "b.npy", MASK.astype(bool)), readout=16))
    np.savez(tmp_path / "a.npz", mask=MASK, weights=MASK * 2)
    require_points(read(tmp_path / "a.npz", readout=16))
    savemat(tmp_path / "a.mat", {"sampling": MASK.astype(float)})
    require_points(read(tmp_path / "a.mat", readout=16))
    (tmp_path / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in MASK.tolist()))
    require_points(read(tmp_path / "a.csv", readout=16))
    cv2.imwrite(str(tmp_path / "a.png"), MASK * 200 + 7)
    found = read(tmp_path / "a.png", readout=16)
    require_points(found)
    assert "a picture: the brighter of its two values is measured" in found.said


def test_a_pattern_of_bart_says_what_its_axes_are(tmp_path: Path) -> None:
    design = read(npy(tmp_path / "a.npy", MASK), readout=16).design
    assert isinstance(design, CartesianPoints)
    write_cfl(tmp_path / "p", bart_points(design))
    require_points(read(tmp_path / "p.cfl", readout=16))
    write_cfl(tmp_path / "whole", np.repeat(bart_points(design), 12, axis=0))
    require_points(read(tmp_path / "whole.hdr"), 12)
    with pytest.raises(InputError, match="has 12 along x"):
        read(tmp_path / "whole.cfl", readout=16)
    write_cfl(tmp_path / "partly", np.concatenate([bart_points(design), 0 * bart_points(design)]))
    with pytest.raises(FileError, match="changes along x, the readout"):
        read(tmp_path / "partly.cfl")
    write_cfl(tmp_path / "slice", np.ones((4, 8), np.complex64))
    with pytest.raises(FileError, match="a pattern of one partition"):
        read(tmp_path / "slice.cfl")


def test_the_axes_of_a_mask_are_said_and_can_be_exchanged(tmp_path: Path) -> None:
    path = npy(tmp_path / "a.npy", MASK.T)
    found = read(path, readout=16, axis="columns")
    require_points(found)
    assert any(
        "its columns are the 8 lines (ky), its rows the 5 partitions (kz); as asked for" in s for s in found.said
    )
    other = read(path, readout=16)
    assert isinstance(other.design, CartesianPoints)
    assert other.design.matrix == (5, 8)
    assert any("--set axis=columns takes it the other way" in said for said in other.said)


def test_a_centre_in_the_corner_is_asked_about(tmp_path: Path) -> None:
    path = npy(tmp_path / "a.npy", np.fft.ifftshift(MASK))
    with pytest.raises(InputError, match=r"--set centre=corner\), or is the centre left out \(--set centre=middle"):
        read(path, readout=16)
    require_points(read(path, readout=16, centre="corner"))
    left = read(path, readout=16, centre="middle")
    assert isinstance(left.design, CartesianPoints)
    assert left.design.calibration == (0, 0)
    assert "the centre of k-space is not measured: no fully sampled region" in left.said


def test_lists_count_from_0_from_1_or_from_the_centre(tmp_path: Path) -> None:
    matrix = {"lines": 8, "partitions": 5, "readout": 16}
    require_points(read(npy(tmp_path / "a.npy", POINTS), **matrix))
    require_points(read(npy(tmp_path / "b.npy", np.array(POINTS)[::-1] + 1), **matrix))
    require_points(read(npy(tmp_path / "c.npy", np.array(POINTS) - (4, 2)), **matrix))
    (tmp_path / "d.csv").write_text("ky,kz\n" + "\n".join(f"{y},{z}" for y, z in POINTS))
    require_points(read(tmp_path / "d.csv", **matrix))
    inner = npy(tmp_path / "e.npy", np.array([[3, 2], [4, 2], [4, 3]]))
    with pytest.raises(InputError, match=r"fit counting from 0 \(--set first=0\) and from 1 \(--set first=1\)"):
        read(inner, **matrix)
    found = read(inner, first=1, **matrix).design
    assert isinstance(found, CartesianPoints)
    assert found.acquired.tolist() == [[2, 1], [3, 1], [3, 2]]


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        (POINTS, {}, r"of how many\? --set lines=N --set partitions=N"),
        ([*POINTS, POINTS[0]], {"lines": 8, "partitions": 5}, "1 points occur more than once"),
        ([[0, 9], [3, 1]], {"lines": 8, "partitions": 5}, "are outside 8 x 5"),
        ([[-9, 0], [3, 1]], {"lines": 8, "partitions": 5}, "counted from the centre of k-space are outside"),
        ([[-1, 0], [3, 1]], {"lines": 8, "partitions": 5, "first": 1}, "has negative numbers"),
        ([[0.5, 2], [3, 1]], {"lines": 8, "partitions": 5}, "is no point of whole steps"),
        ([[0, 9], [3, 1]], {"lines": 20, "partitions": 20, "axis": "rows"}, "--set axis=rows: .* a list of points"),
        (MASK, {"lines": 8}, "--set lines=8: .* is a mask"),
        (MASK * 0, {}, "measures no point"),
        (MASK[:, 2], {}, "a mask of points has two axes, ky and kz"),
        (np.arange(12).reshape(4, 3), {}, "weights are no points"),
        (MASK * 1j, {}, "holds complex numbers"),
        (np.stack([MASK, 1 - MASK]), {}, "masks that differ"),
    ],
)
def test_what_is_no_points_is_refused(tmp_path: Path, values: object, options: dict[str, Any], said: str) -> None:
    with pytest.raises(CidesignError, match=said) as caught:
        read(npy(tmp_path / "a.npy", values), **{"readout": 16, **options})
    assert "\n" not in str(caught.value)


def test_the_readout_is_asked_for_and_grey_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not say how many samples a readout has"):
        read(npy(tmp_path / "a.npy", MASK))
    cv2.imwrite(str(tmp_path / "a.png"), cv2.resize(MASK * 255, (50, 80), interpolation=cv2.INTER_LINEAR))
    with pytest.raises(FileError, match=r"a picture of \d+ values; a mask has two"):
        read(tmp_path / "a.png", readout=16)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(FileError, match=r"points in a \.jpg file are not read"):
        read(tmp_path / "a.jpg", readout=16)


def test_a_mask_of_points_taken_for_lines_is_told_the_way(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"as the points \(ky, kz\) of a 3-D scan: --set sampling=points"):
        read_lines([npy(tmp_path / "a.npy", MASK)], PROFILE, LineOptions())
    assert family_for(PROFILE, "points").name == "mri-points"


def test_the_picture_shows_lines_down_and_the_sampled_centre(tmp_path: Path) -> None:
    png = read(npy(tmp_path / "a.npy", MASK), readout=16).preview_png
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert pixels.shape == (8 * 64, 5 * 64, 3)
    small = pixels[32::64, 32::64]
    assert (small[..., 0] > 100).tolist() == MASK.astype(bool).tolist()
    assert np.argwhere(small[..., 1] == 200).tolist() == [[3, 1], [3, 2], [3, 3], [4, 1], [4, 2], [4, 3]]
