"""Gray code: the frames, their decoding on real pictures, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cidesign.calibration.camera.fit import MirrorLattice, project
from cidesign.calibration.camera.graycode import bits_of, decode_graycode, frame_count, graycode_patterns
from cidesign.calibration.camera.twin import CameraTwin, camera_view, simulate_graycode
from cidesign.errors import CidesignError, FileError, LimitError

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "camera" / "graycode"
LATTICE = MirrorLattice(100, 72, 1.0, 0.0)
SHAPE = (72, 96)

Frames = NDArray[np.uint16]


@pytest.fixture(scope="module")
def frames() -> Frames:
    homography = camera_view(LATTICE, SHAPE, 1, columns_per_pixel=0.8)
    return simulate_graycode(CameraTwin(LATTICE, SHAPE, homography), 1)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
def test_patterns_are_those_that_others_project() -> None:
    patterns = graycode_patterns(1024, 768)
    assert patterns.shape == (42, 768, 1024)
    paths = sorted((SHARED / "pattern").glob("*.png"))
    assert paths
    for path in paths:
        number = int(path.stem.rpartition("_")[2])
        assert np.array_equal(patterns[number], cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0), path.name


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
def test_real_capture() -> None:
    paths = sorted((SHARED / "capture_0").glob("*.png"))
    code = decode_graycode(np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]), 1024, 768)
    y, x = np.nonzero(code.valid)
    assert np.corrcoef(x, code.column[y, x])[0, 1] > 0.9998
    assert np.corrcoef(y, code.row[y, x])[0, 1] > 0.9997
    assert code.lit.mean() == pytest.approx(0.5, abs=0.02)  # the other half is the black of a checkerboard
    assert (code.column_step, code.row_step) == (1, 1)
    assert code.valid_fraction > 0.6


@given(columns=st.integers(1, 40), rows=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_patterns_tell_all_mirrors_apart(columns: int, rows: int) -> None:
    """All frames of one mirror together are different from those of every other mirror; pairs are complements."""
    patterns = graycode_patterns(columns, rows)
    assert patterns.shape == (frame_count(columns, rows), rows, columns)
    assert np.array_equal(patterns[0::2] + patterns[1::2], np.ones_like(patterns[::2]))
    words = patterns[0::2].reshape(len(patterns) // 2, -1)
    assert len(np.unique(words, axis=1).T) == columns * rows
    code = patterns[0 : 2 * bits_of(columns) : 2, 0]
    assert (np.abs(np.diff(code.astype(int), axis=1)).sum(axis=0) == 1).all()


def test_camera_that_sees_each_mirror_with_nine_pixels() -> None:
    patterns = np.kron(graycode_patterns(20, 12), np.ones((1, 3, 3), np.uint8)) * np.uint8(100) + np.uint8(7)
    code = decode_graycode(patterns, 20, 12)
    assert code.valid.all()
    assert np.array_equal(code.column, np.tile(np.repeat(np.arange(20), 3), (36, 1)))
    assert np.array_equal(code.row, np.tile(np.repeat(np.arange(12), 3)[:, None], (1, 60)))
    # The border of mirrors k and k + 1 is half-way between pixels 3 k + 2 and 3 k + 3.
    along_x = code.column_edges[code.column_edges[:, 0] % 1 != 0]
    assert len(along_x) == 19 * 36
    assert along_x[:, 0] == pytest.approx(3 * along_x[:, 2] + 2.5)


def test_edges_lie_where_columns_meet(frames: Frames) -> None:
    homography = camera_view(LATTICE, SHAPE, 1, columns_per_pixel=0.8)
    code = decode_graycode(frames, LATTICE.columns, LATTICE.rows)
    for edges, axis in ((code.column_edges, 0), (code.row_edges, 1)):
        residual = project(homography, edges[:, :2])[:, axis] - edges[:, 2] - 0.5
        assert len(edges) > 2000
        assert abs(residual.mean()) < 0.003
        assert np.abs(residual).max() < 0.4


def test_bits_that_the_camera_does_not_resolve_are_left_out() -> None:
    lattice = MirrorLattice(400, 300, 1.0, 0.0)
    homography = camera_view(lattice, SHAPE, 1)
    code = decode_graycode(simulate_graycode(CameraTwin(lattice, SHAPE, homography), 1), 400, 300)
    assert code.column_step == code.row_step == 4
    y, x = np.nonzero(code.valid)
    seen = project(homography, np.stack([x, y], axis=1).astype(float))
    assert np.abs(seen[:, 0] - code.column[y, x]).max() < 5
    assert np.abs(seen[:, 1] - code.row[y, x]).max() < 5


def test_offset_and_brightness_do_not_matter(frames: Frames) -> None:
    first = decode_graycode(frames, 100, 72)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    second = decode_graycode(frames * (0.4 + 0.003 * x) + 50 + 0.2 * y, 100, 72)
    both = first.valid & second.valid
    assert both.sum() > 0.9 * first.valid.sum()
    assert np.array_equal(first.column[both], second.column[both])
    assert np.array_equal(first.row[both], second.row[both])


def test_saturated_pixels_are_left_out(frames: Frames) -> None:
    """A reflex at the same place in all frames."""
    bright = frames.copy()
    bright[:, 30:36, 40:46] = 255
    bright[1, 30, 40] = 0
    code = decode_graycode(bright, 100, 72)
    assert not code.valid[30:36, 40:46].any()


def _swapped(frames: Frames) -> Frames:
    return np.concatenate([frames[:-2], frames[-1:], frames[-2:-1]])


def _lost(frames: Frames) -> Frames:
    return np.concatenate([np.delete(frames, 9, axis=0), frames[-1:]])


def _doubled(frames: Frames) -> Frames:
    return np.insert(frames, 9, frames[9], axis=0)[:-1]


def _saturated(frames: Frames) -> Frames:
    return np.minimum(frames.astype(int) * 4, 255).astype(np.uint16)


def _dark(frames: Frames) -> Frames:
    noise = np.random.default_rng(0).normal(0, 5, frames.shape)
    return np.rint(0.2 * frames + 30 + noise).astype(np.uint16)


def _still(frames: Frames) -> Frames:
    noise = np.random.default_rng(0).normal(0, 2, frames.shape)
    return np.rint(frames[-2] + noise + 20).astype(np.uint16)


def _equal(frames: Frames) -> Frames:
    return np.repeat(frames[-2:-1], len(frames), axis=0)


def _inverted(frames: Frames) -> Frames:
    return (200 - frames.astype(int) + 100).astype(np.uint16)


def _clipped(level: float, soft: bool = False) -> Callable[[Frames], Frames]:
    """Three times too bright; with one hot pixel beyond the clip."""

    def broken(frames: Frames) -> Frames:
        bright = 3.0 * frames / frames.max()
        seen = level * (np.tanh(bright) if soft else np.minimum(bright, 1.0))
        seen[:, 5, 5] = 65535
        return seen.astype(np.uint16)

    return broken


def _rows_first(frames: Frames) -> Frames:
    return np.concatenate([frames[14:-2], frames[:14], frames[-2:]])


def _inverse_first(frames: Frames) -> Frames:
    pairs = frames[:-2].reshape(-1, 2, *frames.shape[1:])[:, ::-1]
    return np.concatenate([pairs.reshape(-1, *frames.shape[1:]), frames[-2:]])


def _least_first(frames: Frames) -> Frames:
    pairs = frames[:-2].reshape(-1, 2, *frames.shape[1:])
    turned = np.concatenate([pairs[:7][::-1], pairs[7:][::-1]])
    return np.concatenate([turned.reshape(-1, *frames.shape[1:]), frames[-2:]])


@pytest.mark.parametrize("level", [250, 255, 1000, 4095, 65520])
@pytest.mark.parametrize("soft", [False, True])
def test_overexposed_at_any_level(frames: Frames, level: float, soft: bool) -> None:
    """On a device whose finest stripes the camera blurs into one another."""
    lattice = MirrorLattice(400, 300, 1.0, 0.0)
    fine = simulate_graycode(CameraTwin(lattice, SHAPE, camera_view(lattice, SHAPE, 1)), 1)
    with pytest.raises(LimitError, match=r"overexposed.* shorten the exposure") as caught:
        decode_graycode(_clipped(level, soft)(fine), 400, 300)
    assert caught.value.fault == "saturation"


@pytest.mark.parametrize("other", [_rows_first, _inverse_first, _least_first])
def test_another_order_of_the_frames_is_refused(frames: Frames, other: Callable[[Frames], Frames]) -> None:
    with pytest.raises(FileError, match="do rows come before columns, the least significant bit or the inverse first"):
        decode_graycode(other(frames), 100, 72)


@pytest.mark.parametrize(
    ("broken", "kind", "said"),
    [
        (lambda frames: frames[:-1], FileError, r"29 frames; 100 x 72 mirrors need 30"),
        (_swapped, FileError, "white and black are exchanged: frame 28 is darker than frame 29"),
        (_inverted, FileError, "white and black are exchanged"),
        (_lost, FileError, r"frames 8 and 9 are not each other's inverse .* lost or doubled at or before frame 8"),
        (_doubled, FileError, "frames 10 and 11 are not each other's inverse"),
        (_saturated, LimitError, r"lit pixels are at the camera's full scale \(255 counts\).* shorten the exposure"),
        (_dark, FileError, r"too dark: the device changes the images by .* Lengthen the exposure"),
        (_still, FileError, "all 30 frames are alike"),
        (_equal, FileError, r"all 30 frames are alike \(they differ by 0 counts"),
        (np.zeros_like, FileError, "all 30 frames are alike"),
        (lambda frames: frames[:, :6], FileError, "96 x 6 pixels are too small"),
        (lambda frames: frames[0], FileError, "are needed"),
        (lambda frames: np.where(frames > 3, frames, np.nan), FileError, "not finite"),
        (lambda frames: frames.astype(complex), FileError, "complex128; numbers"),
    ],
)
def test_refused(frames: Frames, broken: Callable[[Frames], Frames], kind: type[CidesignError], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        decode_graycode(broken(frames), 100, 72)
    assert "\n" not in str(caught.value)


def test_indices_that_are_not_on_the_device_are_refused(frames: Frames) -> None:
    """The code of 100 x 72 read as one of 65 x 72: as many frames, but most columns are beyond 65."""
    homography = camera_view(LATTICE, SHAPE, 1, columns_per_pixel=0.3) + 0.0
    homography[0, 2] += 30
    other = simulate_graycode(CameraTwin(LATTICE, SHAPE, homography), 1)
    with pytest.raises(FileError, match="outside 65 x 72"):
        decode_graycode(other, 65, 72)
    assert len(frames) == frame_count(65, 72)
