"""The lens from checkerboards: real pictures, a known lens, and what is refused."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.camera.checkerboard import (
    MAX_RMS_PX,
    Lens,
    calibrate_lens,
    corners_of,
    find_checkerboard,
    radial_lens,
    read_pictures,
)
from cidesign.errors import CidesignError, FileError, InputError

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "camera" / "checkerboard"
MATRIX = np.array([[260.0, 0.0, 118.0], [0.0, 258.0, 82.0], [0.0, 0.0, 1.0]])
LENS = Lens(MATRIX, np.array([-0.12, 0.03, 0.001, -0.002, 0.0]))
SHAPE, CORNERS = (160, 240), (7, 5)


def _board(turn: tuple[float, float, float], place: tuple[float, float, float]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A picture of a board of 8 x 6 squares, and where its inner corners are."""
    rotation = cv2.Rodrigues(np.array(turn))[0]
    y, x = np.mgrid[: 3 * SHAPE[0], : 3 * SHAPE[1]] / 3 - 1 / 3
    rays = (LENS.undistort(np.stack([x, y], axis=-1)) - MATRIX[:2, 2]) / np.diag(MATRIX)[:2]
    directions = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], axis=-1) @ rotation
    origin = rotation.T @ np.array(place)
    on_board = (origin[2] / directions[..., 2])[..., None] * directions - origin
    column, row = np.floor(on_board[..., 0]).astype(int), np.floor(on_board[..., 1]).astype(int)
    squares = (column >= -1) & (column < CORNERS[0]) & (row >= -1) & (row < CORNERS[1])
    fine = np.where(squares & ((column + row) % 2 == 0), 40.0, 200.0)
    picture = cv2.GaussianBlur(fine, (0, 0), 1.5)[1::3, 1::3]
    corners = np.stack(np.meshgrid(np.arange(CORNERS[0]), np.arange(CORNERS[1])), axis=-1).reshape(-1, 2)
    seen = np.concatenate([corners, np.zeros((len(corners), 1))], axis=1) @ rotation.T + place
    pixels = LENS.distort(seen[:, :2] / seen[:, 2:] * np.diag(MATRIX)[:2] + MATRIX[:2, 2])
    noise = np.random.default_rng(0).normal(0, 1, SHAPE)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8), pixels


@pytest.fixture(scope="module")
def boards() -> dict[str, NDArray[Any]]:
    turns = [
        (0.3, 0.2, 0.1),
        (-0.4, 0.1, 0),
        (0.1, -0.5, 0.2),
        (0.4, 0.4, -0.2),
        (-0.3, -0.3, 0.1),
        (0, 0.5, 0),
        (0.5, 0, 0),
    ]
    places = [
        (-3, -2, 11.5),
        (-4.5, -2, 12),
        (-2, -2.5, 12),
        (-3, -1, 12),
        (-3.5, -3, 12),
        (-2, -1.5, 12),
        (-4, -2, 12),
    ]
    return {f"board{k}.png": _board(turn, place)[0] for k, (turn, place) in enumerate(zip(turns, places, strict=True))}


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared data are not here")
def test_real_pictures() -> None:
    found = calibrate_lens(read_pictures(REAL), (9, 6))
    assert len(found.used) == 13
    assert found.not_found == ()
    assert found.rms_px < MAX_RMS_PX
    # OpenCV's own example finds a focal length of about 535 px for these pictures.
    assert np.diag(found.lens.matrix_px)[:2] == pytest.approx([535, 535], rel=0.02)


def test_corners_are_found_where_they_are() -> None:
    picture, corners = _board((0.3, 0.2, 0.1), (-3, -2, 11.5))
    found = find_checkerboard(picture, CORNERS)
    assert found is not None
    if np.hypot(*(found[0] - corners[0])) > 2:
        found = found[::-1]
    assert np.hypot(*(found - corners).T).max() < 0.2
    deep = find_checkerboard(picture.astype(np.uint16) * 16 + 1000, CORNERS)
    assert deep is not None
    assert np.hypot(*(deep - find_checkerboard(picture, CORNERS)).T).max() < 0.05  # type: ignore[operator]
    assert find_checkerboard(np.full(SHAPE, 90, np.uint8), CORNERS) is None


def test_known_lens(boards: dict[str, NDArray[Any]]) -> None:
    blank = {"blank.png": np.full(SHAPE, 90, np.uint8)}
    found = calibrate_lens(boards | blank, CORNERS)
    assert found.not_found == ("blank.png",)
    assert found.used == tuple(boards)
    assert len(found.rms_by_image_px) == len(boards)
    assert found.rms_px < 0.2
    assert np.diag(found.lens.matrix_px)[:2] == pytest.approx([260, 258], rel=0.02)
    # The distortion itself, in the part of the picture that boards covered.
    points = np.stack(np.meshgrid(np.linspace(40, 200, 9), np.linspace(30, 130, 6)), axis=-1)
    moved = found.lens.distort(points) - points
    middle = moved - moved.mean(axis=(0, 1))
    truth = LENS.distort(points) - points
    assert np.abs(middle - (truth - truth.mean(axis=(0, 1)))).max() < 0.4
    assert np.abs(truth).max() > 1.5


@pytest.mark.parametrize("lens", [LENS, radial_lens(SHAPE, 0.1), radial_lens(SHAPE, -0.1)])
def test_undistort_is_the_inverse_of_distort_and_both_are_those_of_opencv(lens: Lens) -> None:
    points = np.stack(np.meshgrid(np.linspace(0, 239, 7), np.linspace(0, 159, 5)), axis=-1).reshape(-1, 2)
    assert lens.distort(lens.undistort(points)) == pytest.approx(points, abs=1e-6)
    plane = (points - lens.matrix_px[:2, 2]) / np.diag(lens.matrix_px)[:2]
    rays = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
    other, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), lens.matrix_px, lens.distortion)
    assert lens.distort(points) == pytest.approx(other[:, 0], abs=1e-9)


def test_places_that_the_lens_folds_over_are_not_in_the_picture() -> None:
    lens = radial_lens(SHAPE, -0.1)
    middle, half = lens.matrix_px[:2, 2], lens.matrix_px[0, 0]
    far = middle + half * np.array([[1.8, 0.0], [1.9, 0.0], [4.0, 0.0]])
    assert np.isfinite(lens.distort(far)).all(axis=1).tolist() == [True, False, False]


def _few(boards: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return dict(list(boards.items())[:4])


def _blank(boards: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.full(SHAPE, 90, np.uint8) for name in boards}


def _sizes(boards: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return boards | {"board3.png": boards["board3.png"][:-2]}


def _nan(boards: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.where(board > 100, np.nan, board) for name, board in boards.items()}


def _colour(boards: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.stack([board] * 3, axis=-1) for name, board in boards.items()}


@pytest.mark.parametrize(
    ("broken", "corners", "kind", "said"),
    [
        (_few, CORNERS, FileError, "4 pictures; at least 5"),
        (_blank, CORNERS, FileError, r"found in 0 of 7 pictures.* not found in board0.png, .* and 2 more"),
        (dict, (9, 8), FileError, r"9 x 8 inner corners are found in 0 of 7"),
        (_sizes, CORNERS, FileError, "board3.png is 240 x 158, board0.png is 240 x 160"),
        (_nan, CORNERS, FileError, "not finite"),
        (_colour, CORNERS, FileError, "grey pictures"),
        (dict, (2, 5), InputError, "2 x 5 inner corners"),
    ],
)
def test_refused(
    boards: dict[str, NDArray[Any]], broken: Any, corners: tuple[int, int], kind: type[CidesignError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        calibrate_lens(broken(boards), corners)


def test_folders_of_pictures(boards: dict[str, NDArray[Any]], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    for name, board in boards.items():
        cv2.imwrite(str(tmp_path / name), board)
    cv2.imwrite(str(tmp_path / "last.jpg"), boards["board0.png"])
    pictures = read_pictures(tmp_path)
    assert list(pictures) == [*boards, "last.jpg"]
    assert np.array_equal(pictures["board1.png"], boards["board1.png"])
    (tmp_path / "zero.jpg").write_bytes((tmp_path / "last.jpg").read_bytes()[:700])
    with pytest.raises(FileError, match=r"zero.jpg: this checkerboard picture cannot be read"):
        read_pictures(tmp_path)


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds 0 pictures"):
        read_pictures(tmp_path)
    with pytest.raises(FileError, match="cannot be read"):
        read_pictures(tmp_path / "none")


CASE = Path(__file__).parents[3].parent / "shared" / "cases" / "22_checkerboard_size" / "cb8x6"


def test_the_size_of_the_board_is_told(boards: dict[str, NDArray[Any]]) -> None:
    """Asked for 9 x 6, shown 7 x 5: the error names the size that is seen, and the setting."""
    with pytest.raises(FileError, match=r"A board of 7 x 5 inner corners is seen: --set corners=7x5\?"):
        calibrate_lens(boards)
    assert corners_of("7x5") == corners_of("5 X 7") == (7, 5)
    for wrong in ("7", "7x5x3", "axb", "2x9", ""):
        with pytest.raises(InputError, match="corners"):
            corners_of(wrong)


@pytest.mark.skipif(not CASE.is_dir(), reason="the shared cases are not here")
def test_a_board_of_8_by_6() -> None:
    pictures = read_pictures(CASE)
    assert all(find_checkerboard(picture, corners_of("8x6")) is not None for picture in pictures.values())
