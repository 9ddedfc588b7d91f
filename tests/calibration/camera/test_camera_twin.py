"""The camera's twin: mirrors where they are, light that is conserved, options that do what they say."""

import numpy as np
import pytest

from cidesign.calibration.camera.checkerboard import radial_lens
from cidesign.calibration.camera.fit import MirrorLattice, project
from cidesign.calibration.camera.graycode import graycode_patterns
from cidesign.calibration.camera.twin import (
    BLACK_LEVEL,
    WHITE_FILL,
    CameraTwin,
    camera_view,
    mirror_at,
    simulate_graycode,
)
from cidesign.errors import InputError
from cidesign.hardware_profiles.dmd.lattice import mirror_centres_columns
from cidesign.hardware_profiles.loader import load_dmd

SQUARE, DIAMOND = MirrorLattice(20, 16, 1.0, 0.0), MirrorLattice(16, 24, 0.5, 0.5)
NO_NOISE = {"falloff_percent": 0.0, "blur_px": 0.0, "photoelectrons": 1e12, "read_noise_photoelectrons": 0.0}


@pytest.mark.parametrize("name", ["dlp4500", "dlp6500"])
def test_every_mirror_is_found_at_its_centre_and_all_over_its_square(name: str) -> None:
    profile = load_dmd(name)
    lattice = MirrorLattice.of(profile)
    centres = np.stack(mirror_centres_columns(profile), axis=-1)
    row, column = np.indices(centres.shape[:2])
    assert np.array_equal(lattice.positions(column.astype(np.int32), row.astype(np.int32)), centres)
    reach = 0.49
    corners = [(reach, 0), (0, reach), (-reach, 0), (0, -reach)] if lattice.shift else [(reach, reach), (-reach, reach)]
    for dx, dy in [(0.0, 0.0), *corners]:
        found_column, found_row = mirror_at((centres + np.array([dx, dy])).reshape(-1, 2), lattice)
        assert np.array_equal(found_column, column.ravel())
        assert np.array_equal(found_row, row.ravel())


def test_odd_rows_to_the_left_are_the_same_mirrors_one_column_on() -> None:
    left = DIAMOND._replace(shift=-0.5)
    row, column = np.indices((24, 16)).astype(np.int32)
    found_column, found_row = mirror_at(left.positions(column, row).reshape(-1, 2), left)
    assert np.array_equal(found_column, column.ravel())
    assert np.array_equal(found_row, row.ravel())


@pytest.mark.parametrize("lattice", [SQUARE, DIAMOND])
def test_one_mirror_gives_its_area_of_light_at_its_place(lattice: MirrorLattice) -> None:
    """Twelve pixels per column: the light of one mirror is its area, and its centre of light is its centre."""
    scale = np.array([[1 / 12, 0, -1], [0, 1 / 12, -1], [0, 0, 1]])
    frame = np.zeros((1, lattice.rows, lattice.columns), np.uint8)
    frame[0, 7, 5] = 1
    twin = CameraTwin(lattice, (12 * 17, 12 * 21), scale, bits=16, **NO_NOISE)
    black, picture = twin.pictures(np.concatenate([np.zeros_like(frame), frame]), 0).astype(float)
    light = (picture - black) / ((1 - BLACK_LEVEL) * WHITE_FILL * 65535)
    assert light.sum() / 144 == pytest.approx(lattice.row_pitch, rel=0.01)  # a diamond of half a column pitch's square
    y, x = np.indices(light.shape)
    middle = np.array([[(light * x).sum(), (light * y).sum()]]) / light.sum()
    assert project(scale, middle)[0] == pytest.approx([5 + lattice.shift, 7 * lattice.row_pitch], abs=0.01)


def test_white_and_black_levels() -> None:
    twin = CameraTwin(SQUARE, (20, 24), camera_view(SQUARE, (20, 24), 1, columns_per_pixel=0.3), bits=12, **NO_NOISE)
    frames = simulate_graycode(twin, 1)
    assert frames.shape == (20, 20, 24)
    assert (frames[-2] == round(WHITE_FILL * 4095)).all()
    assert (frames[-1] == round(BLACK_LEVEL * WHITE_FILL * 4095)).all()
    sums = frames[0:-2:2].astype(int) + frames[1:-2:2]
    assert np.abs(sums - frames[-1].astype(int) - frames[-2]).max() <= 1


def test_noise_is_that_of_light_and_reading() -> None:
    homography = camera_view(SQUARE, (60, 60), 1, columns_per_pixel=0.1)
    options = {**NO_NOISE, "photoelectrons": 1000.0, "read_noise_photoelectrons": 20.0}
    white = CameraTwin(SQUARE, (60, 60), homography, bits=16, **options).pictures(np.ones((1, 16, 20), np.uint8), 3)[0]
    electrons = white / (WHITE_FILL * 65535) * 1000
    assert electrons.mean() == pytest.approx(1000, abs=3)
    assert electrons.var() == pytest.approx(1400, rel=0.1)


def test_seeds_and_options() -> None:
    twin = CameraTwin(SQUARE, (20, 24), camera_view(SQUARE, (20, 24), 1))
    plain = simulate_graycode(twin, 1)
    assert np.array_equal(plain, simulate_graycode(twin, 1))
    assert not np.array_equal(plain, simulate_graycode(twin, 2))
    lost = simulate_graycode(twin, 1, lost_frame=4)
    assert len(lost) == len(plain)
    assert np.abs(lost[4:-1].astype(int) - plain[5:]).mean() < 5
    inverted = simulate_graycode(twin, 1, inverted=True)
    assert np.abs(inverted[0].astype(int) - plain[1]).mean() < 5
    lit = plain[-2] > 100
    assert (inverted[-1][lit] > inverted[-2][lit]).all()


def test_lens_moves_the_picture_as_it_says() -> None:
    """Barrel distortion: what an ideal camera sees at a pixel, this one sees where the lens puts it."""
    shape = (60, 80)
    homography = camera_view(SQUARE, shape, 1, columns_per_pixel=0.2)
    lens = radial_lens(shape, -0.1)
    pattern = graycode_patterns(20, 16)[8:9]
    ideal = CameraTwin(SQUARE, shape, homography, **NO_NOISE).pictures(pattern, 0)[0].astype(float)
    seen = CameraTwin(SQUARE, shape, homography, lens=lens, **NO_NOISE).pictures(pattern, 0)[0].astype(float)
    points = np.stack(np.meshgrid(np.arange(5.0, 20), np.arange(5.0, 55)), axis=-1)
    moved = np.rint(lens.distort(points)).astype(int)
    apart = np.abs(seen[moved[..., 1], moved[..., 0]] - ideal[5:55, 5:20])
    assert apart.mean() < 0.35 * np.abs(seen - ideal)[5:55, 5:20].mean()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"bits": 9}, "9 bits"), ({"blur_px": -1.0}, "blur"), ({"photoelectrons": 0.0}, "there must be light")],
)
def test_impossible_cameras(options: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        CameraTwin(SQUARE, (20, 24), np.eye(3), **options)  # type: ignore[arg-type]


def test_frame_that_there_is_not() -> None:
    with pytest.raises(InputError, match="frame 20 cannot be lost; there are 0 to 19"):
        simulate_graycode(CameraTwin(SQUARE, (20, 24), np.eye(3)), 0, lost_frame=20)
