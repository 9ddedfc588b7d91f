"""Registration of a camera: against known truths, on real pictures, and its refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.calibration.camera.checkerboard import Lens, LensCalibration, radial_lens
from cidesign.calibration.camera.checks import RegistrationRecord, registration_checks, registration_record
from cidesign.calibration.camera.fit import MirrorLattice, Points, project
from cidesign.calibration.camera.graycode import decode_graycode
from cidesign.calibration.camera.map import CameraMap, camera_image_on_superpixels
from cidesign.calibration.camera.preview import draw_registration
from cidesign.calibration.camera.registration import Registration, register, register_folder
from cidesign.calibration.camera.twin import CameraTwin, camera_view, simulate_graycode
from cidesign.checks import Check
from cidesign.errors import FileError, InputError, LimitError
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import load_dmd

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "camera" / "graycode" / "capture_0"
SQUARE, DIAMOND = MirrorLattice(128, 96, 1.0, 0.0), MirrorLattice(100, 140, 0.5, 0.5)
SHAPE = (120, 160)


def _small(name: str, columns: int, rows: int) -> DmdProfile:
    """A device of the same kind with fewer mirrors."""
    whole = load_dmd(name)
    mirrors = whole.mirrors
    fewer = {
        "columns": mirrors.columns.model_copy(update={"value": columns}),
        "rows": mirrors.rows.model_copy(update={"value": rows}),
    }
    return whole.model_copy(update={"mirrors": mirrors.model_copy(update=fewer)})


def _registered(
    camera: CameraTwin, expected: MirrorLattice | None = None, seed: int = 1, **options: Any
) -> Registration:
    lattice = camera.lattice
    code = decode_graycode(simulate_graycode(camera, seed), lattice.columns, lattice.rows)
    return register(code, expected or lattice, **options)


def _errors(registration: Registration, homography: Points, lens: Lens | None = None) -> NDArray[np.float64]:
    """Distances in column pitches from the true positions of all lit pixels."""
    y, x = np.nonzero(registration.code.lit)
    pixels = np.stack([x, y], axis=1).astype(float)
    truth = project(homography, pixels if lens is None else lens.undistort(pixels))
    apart: NDArray[np.float64] = np.hypot(*(registration.camera.to_mirrors(pixels) - truth).T)
    return apart


def _check(registration: Registration, name: str) -> Check:
    return next(check for check in registration_checks(registration) if check.name == name)


@pytest.mark.parametrize("lattice", [SQUARE, DIAMOND])
@pytest.mark.parametrize(
    ("columns_per_pixel", "photoelectrons", "largest"), [(0.7, 10_000, 0.012), (0.7, 300, 0.02), (None, 2000, 0.05)]
)
def test_map_is_the_true_one(
    lattice: MirrorLattice, columns_per_pixel: float | None, photoelectrons: float, largest: float
) -> None:
    homography = camera_view(lattice, SHAPE, 3, columns_per_pixel=columns_per_pixel)
    found = _registered(CameraTwin(lattice, SHAPE, homography, photoelectrons=photoelectrons))
    assert _errors(found, homography).max() < largest
    assert found.agreeing_fraction > 0.99
    assert found.lens_source == "ideal"
    assert {check.status for check in registration_checks(found)} <= {"passed", "not checked"}


def test_many_mirrors_in_one_pixel() -> None:
    """Four columns in a camera pixel: the fine stripes are not seen, the wide ones place the camera all the same."""
    lattice = MirrorLattice(600, 400, 1.0, 0.0)
    homography = camera_view(lattice, SHAPE, 5)
    found = _registered(CameraTwin(lattice, SHAPE, homography))
    assert found.code.column_step == 4
    assert np.median(_errors(found, homography)) < 0.05
    assert _check(found, "registration residual").status == "passed"
    assert found.lattice_found == "not resolved"


@pytest.mark.parametrize(
    ("shown", "columns_per_pixel", "wanted"),
    [
        (SQUARE, 0.4, "square"),
        (SQUARE, 1.4, "not resolved"),
        (DIAMOND, 0.4, "odd rows right"),
        (DIAMOND, 0.65, "odd rows right"),
        (DIAMOND, 1.3, "not resolved"),
        (DIAMOND._replace(shift=-0.5), 0.4, "odd rows left"),
        (DIAMOND._replace(shift=-0.5), 0.65, "odd rows left"),
        (DIAMOND._replace(shift=-0.5), 1.3, "not resolved"),
    ],
)
def test_lattice(shown: MirrorLattice, columns_per_pixel: float, wanted: str) -> None:
    expected = SQUARE if shown is SQUARE else DIAMOND
    for turn in (0.0, 45.0) if columns_per_pixel < 0.5 else (90.0,):
        view = camera_view(shown, SHAPE, 2, columns_per_pixel=columns_per_pixel, rotation_degrees=turn)
        found = _registered(CameraTwin(shown, SHAPE, view), expected)
        assert found.lattice_found == wanted, turn
        check = _check(found, "lattice")
        assert check.status == {"not resolved": "not checked", "odd rows left": "failed"}.get(wanted, "passed")
        assert check.fault == ("mirror" if wanted == "odd rows left" else None)


def test_lattice_of_another_device() -> None:
    view = camera_view(DIAMOND, SHAPE, 2, columns_per_pixel=0.4)
    found = _registered(CameraTwin(DIAMOND, SHAPE, view), DIAMOND._replace(row_pitch=1.0, shift=0.0))
    assert _check(found, "lattice").status == "failed"
    assert "the profile says square" in _check(found, "lattice").text


_WORDS = {
    (0, False): "upright",
    (90, False): "turned by 90 degrees clockwise",
    (180, False): "turned by 180 degrees",
    (270, False): "turned by 90 degrees counter-clockwise",
    (0, True): "left and right exchanged",
    (90, True): "rows and columns exchanged and turned by 180 degrees",
    (180, True): "top and bottom exchanged",
    (270, True): "rows and columns exchanged",
}


@pytest.mark.parametrize(("turn", "mirrored"), _WORDS)
def test_orientation(turn: int, mirrored: bool) -> None:
    """Words against the picture itself: an L of light, its foot at the lower right of the pattern."""
    view = camera_view(SQUARE, SHAPE, 4, rotation_degrees=turn, mirrored=mirrored)
    camera = CameraMap(SHAPE, SQUARE, view, None)
    orientation, rotation_degrees = camera.view
    assert orientation.text == _WORDS[turn, mirrored]
    assert abs(rotation_degrees) < 3
    pattern = np.zeros((SQUARE.rows, SQUARE.columns), np.uint8)
    pattern[:, :20] = pattern[-20:, :64] = 1
    turned = orientation.apply(pattern)
    assert np.array_equal(turned, np.rot90(np.fliplr(pattern) if mirrored else pattern, -turn // 90))
    picture = CameraTwin(SQUARE, SHAPE, view).pictures(pattern[None], 0)[0].astype(float)
    scores = [
        np.corrcoef(_stretched(np.rot90(kind, k)), picture.ravel())[0, 1]
        for kind in (turned, turned.T)
        for k in range(4)
    ]
    assert np.argmax(scores) == 0
    assert scores[0] > 0.8


def _stretched(pattern: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The pattern in the middle of a picture of the camera's size, as large as fits with the view's margin."""
    height, width = SHAPE
    scale = min(height / pattern.shape[0], width / pattern.shape[1]) / 1.15
    size = (round(pattern.shape[1] * scale), round(pattern.shape[0] * scale))
    small = cv2.resize(pattern.astype(float), size, interpolation=cv2.INTER_AREA)
    whole = np.zeros(SHAPE)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    whole[top : top + size[1], left : left + size[0]] = small
    return whole.ravel()


def test_mirrored_view_is_said_and_allowed_for() -> None:
    view = camera_view(SQUARE, SHAPE, 4, mirrored=True)
    check = _check(_registered(CameraTwin(SQUARE, SHAPE, view)), "camera orientation")
    assert (check.status, check.fault) == ("corrected", "mirror")
    view = camera_view(SQUARE, SHAPE, 4, rotation_degrees=30)
    check = _check(_registered(CameraTwin(SQUARE, SHAPE, view)), "camera orientation")
    assert (check.status, check.fault) == ("corrected", "rotation")
    assert check.value == pytest.approx(30, abs=2.5)


@pytest.mark.parametrize("k1", [-0.08, -0.004, 0.05])
def test_distortion_is_found_from_the_code_alone(k1: float) -> None:
    lens = radial_lens(SHAPE, k1)
    view = camera_view(SQUARE, SHAPE, 3, columns_per_pixel=0.7)
    found = _registered(CameraTwin(SQUARE, SHAPE, view, lens=lens))
    assert found.lens_source == "radial, fitted"
    assert found.camera.lens is not None
    assert found.camera.lens.distortion[0] == pytest.approx(k1, abs=0.001)
    assert _errors(found, view, lens).max() < 0.03
    assert _check(found, "registration lens").status == "passed"


def test_lens_of_a_checkerboard_is_used() -> None:
    """Distortion that one radial coefficient cannot follow: a warning without the checkerboard, none with it."""
    lens = Lens(radial_lens(SHAPE, 0).matrix_px, np.array([0.05, -0.06, 0.01, -0.01, 0.0]))
    view = camera_view(SQUARE, SHAPE, 3, columns_per_pixel=0.7)
    twin = CameraTwin(SQUARE, SHAPE, view, lens=lens)
    alone = _registered(twin)
    assert _check(alone, "registration lens").status == "warning"
    board = LensCalibration(lens, 0.2, (0.2,) * 5, SHAPE, tuple("abcde"), ())
    found = _registered(twin, lens_calibration=board)
    assert found.lens_source == "checkerboard"
    assert _errors(found, view, lens).max() < 0.02
    assert _check(found, "registration lens").status == "passed"
    blurred = LensCalibration(lens, 0.8, (0.8,) * 5, SHAPE, tuple("abcde"), ())
    assert _check(_registered(twin, lens_calibration=blurred), "registration lens").status == "warning"
    other = LensCalibration(lens, 0.2, (0.2,) * 5, (240, 320), tuple("abcde"), ())
    with pytest.raises(FileError, match="checkerboard pictures are 320 x 240 pixels, the Gray-code pictures 160 x 120"):
        _registered(twin, lens_calibration=other)


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared data are not here")
def test_real_pictures() -> None:
    profile = _small("dlp6500", 1024, 768)  # any device with a square lattice
    found = register_folder(REAL, profile)
    assert found.held_out_columns < 0.05
    assert found.agreeing_fraction > 0.999
    assert found.bend_columns < 0.06
    assert found.camera.view.orientation.identity
    assert {check.status for check in registration_checks(found)} <= {"passed", "not checked"}
    png = draw_registration(found, "a real projector")
    assert png.startswith(b"\x89PNG")
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert min(picture.shape[:2]) > 500


def test_map_and_its_inverse() -> None:
    view = camera_view(DIAMOND, SHAPE, 4, rotation_degrees=20, perspective=0.1)
    camera = CameraMap(SHAPE, DIAMOND, view, radial_lens(SHAPE, -0.05))
    pixels = np.stack(np.meshgrid(np.linspace(0, 159, 5), np.linspace(0, 119, 4)), axis=-1)
    assert camera.to_camera(camera.to_mirrors(pixels)) == pytest.approx(pixels, abs=1e-6)
    assert camera.outline(4).shape == (16, 2)
    assert camera.to_mirrors(camera.outline(1))[0] == pytest.approx([-0.5, -0.25])
    assert camera.seen_fraction == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("name", "size"), [("dlp4500", (100, 140)), ("dlp6500", (128, 96))])
def test_camera_picture_on_superpixels(name: str, size: tuple[int, int], f_scene: Callable[[int], Any]) -> None:
    """An F of mirrors, seen mirrored and turned, comes back on the super-pixels as it was shown."""
    profile = _small(name, *size)
    lattice, shape = MirrorLattice.of(profile), (180, 240)
    view = camera_view(lattice, shape, 6, rotation_degrees=90, mirrored=True)
    twin = CameraTwin(lattice, shape, view, blur_px=0.3, lens=radial_lens(shape, -0.03))
    camera = _registered(twin).camera
    side = 12
    levels = (f_scene(side) > 0.5).astype(np.uint8)
    grid = superpixel_grid(profile, side)
    frames = np.stack([grid.spread(levels), grid.spread(np.ones_like(levels)), np.zeros_like(grid.index, np.uint8)])
    shown, white, black = (
        camera_image_on_superpixels(picture, camera, profile, side) for picture in twin.pictures(frames, 7)
    )
    seen = (shown - black) / (white - black)
    assert np.corrcoef(seen.ravel(), levels.ravel())[0, 1] > 0.99
    assert np.abs(seen - levels).max() < 0.2


def test_average_over_superpixels_is_that_of_the_area() -> None:
    """A picture that is linear on the device, and one of stripes finer than a super-pixel."""
    profile = _small("dlp6500", 128, 96)
    lattice = MirrorLattice.of(profile)
    camera = CameraMap((480, 640), lattice, camera_view(lattice, (480, 640), 6, perspective=0.0), None)
    pixels = np.stack(np.meshgrid(np.arange(640.0), np.arange(480.0)), axis=-1)
    positions = camera.to_mirrors(pixels)
    grid = superpixel_grid(profile, 8)
    assert grid.side_columns == 12
    averaged = camera_image_on_superpixels(3 * positions[..., 0] + positions[..., 1], camera, profile, 8)
    x = grid.left_columns + 12 * (np.arange(8) + 0.5)
    y = grid.top_columns + 12 * (np.arange(8) + 0.5)
    assert averaged == pytest.approx(3 * x[None] + y[:, None], abs=0.02)
    striped = np.floor(positions[..., 0]) % 2
    assert camera_image_on_superpixels(striped, camera, profile, 8) == pytest.approx(0.5, abs=0.03)


def test_superpixels_outside_the_picture_are_nan() -> None:
    profile = _small("dlp6500", 128, 96)
    lattice = MirrorLattice.of(profile)
    near = camera_view(lattice, SHAPE, 6, columns_per_pixel=0.4)
    camera = CameraMap(SHAPE, lattice, near, radial_lens(SHAPE, -0.1))
    averaged = camera_image_on_superpixels(np.ones(SHAPE), camera, profile, 12)
    assert np.isnan(averaged).any()
    assert np.nanmax(np.abs(averaged - 1)) < 1e-6
    assert np.isfinite(averaged[4:8, 4:8]).all()
    assert np.isnan(averaged[[0, -1]]).all()


def test_pictures_that_do_not_fit_are_refused() -> None:
    profile = _small("dlp6500", 128, 96)
    lattice = MirrorLattice.of(profile)
    camera = CameraMap(SHAPE, lattice, camera_view(lattice, SHAPE, 6, columns_per_pixel=2.0), None)
    with pytest.raises(InputError, match="160 x 121; 160 x 120 was registered"):
        camera_image_on_superpixels(np.ones((121, 160)), camera, profile, 12)
    with pytest.raises(InputError, match="dlp4500 is not the device"):
        camera_image_on_superpixels(np.ones(SHAPE), camera, load_dmd("dlp4500"), 12)
    with pytest.raises(LimitError, match=r"a super-pixel is 0\.5\d camera pixels wide"):
        camera_image_on_superpixels(np.ones(SHAPE), camera, profile, 96)


def test_record_gives_the_same_map() -> None:
    view = camera_view(DIAMOND, SHAPE, 3, columns_per_pixel=0.7)
    found = _registered(CameraTwin(DIAMOND, SHAPE, view, lens=radial_lens(SHAPE, -0.05)))
    record = RegistrationRecord.model_validate_json(registration_record(found).model_dump_json())
    pixels = np.array([[3.0, 5.0], [150.0, 100.0]])
    assert np.array_equal(record.camera_map.to_mirrors(pixels), found.camera.to_mirrors(pixels))
    assert record.lattice_found == "odd rows right"
    assert record.camera_map.lattice == DIAMOND


def _folder(path: Path, frames: NDArray[np.uint16]) -> Path:
    path.mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(path / f"frame_{number:03d}.png"), frame)
    return path


def test_folder_of_pictures(tmp_path: Path) -> None:
    profile = _small("dlp4500", 100, 140)
    view = camera_view(DIAMOND, SHAPE, 3, columns_per_pixel=0.7)
    frames = simulate_graycode(CameraTwin(DIAMOND, SHAPE, view, bits=12), 1)
    found = register_folder(_folder(tmp_path / "code", frames), profile)
    assert _errors(found, view).max() < 0.02
    assert found.lattice_found == "odd rows right"
    with pytest.raises(FileError, match=r"code: Gray code: 32 frames; 912 x 1140 mirrors need 44"):
        register_folder(tmp_path / "code", load_dmd("dlp4500"))
    part = register_folder(tmp_path / "code", load_dmd("dlp4500"), columns=100, rows=140)
    assert np.array_equal(part.camera.homography, found.camera.homography)
    with pytest.raises(FileError, match=r"code: checkerboard: 9 x 6 inner corners are found in 0 of 32 pictures"):
        register_folder(tmp_path / "code", profile, tmp_path / "code")
    lost = simulate_graycode(CameraTwin(DIAMOND, SHAPE, view, bits=12), 1, lost_frame=6)
    with pytest.raises(FileError, match=r"lost: Gray code: frames 6 and 7 are not each other's inverse"):
        register_folder(_folder(tmp_path / "lost", lost), profile)


def test_part_that_shows_another_surface_is_an_outlier() -> None:
    """A quarter of the picture looks at the pattern over a second mirror, and takes no part; nearly half is refused."""
    view = camera_view(SQUARE, SHAPE, 3, columns_per_pixel=0.7)
    aside = view.copy()
    aside[0] += 15 * view[2]
    frames = simulate_graycode(CameraTwin(SQUARE, SHAPE, view), 1)
    frames[:, :, :40] = simulate_graycode(CameraTwin(SQUARE, SHAPE, aside), 1)[:, :, :40]
    found = register(decode_graycode(frames, SQUARE.columns, SQUARE.rows), SQUARE)
    y, x = np.nonzero(found.code.lit)
    right = np.stack([x, y], axis=1)[x > 45].astype(float)
    assert np.hypot(*(found.camera.to_mirrors(right) - project(view, right)).T).max() < 0.02
    assert 0.7 < found.agreeing_fraction < 0.8
    frames[:, :, :70] = simulate_graycode(CameraTwin(SQUARE, SHAPE, aside), 1)[:, :, :70]
    found = register(decode_graycode(frames, SQUARE.columns, SQUARE.rows), SQUARE)
    check = _check(found, "registration inliers")
    assert check.status == "failed"
    assert "more than one surface" in check.text


def test_pixels_without_order_are_refused() -> None:
    """Every pixel decodes, but no plane goes through them."""
    view = camera_view(SQUARE, SHAPE, 3, columns_per_pixel=0.7)
    frames = simulate_graycode(CameraTwin(SQUARE, SHAPE, view), 1)
    mixed = frames.reshape(len(frames), -1)[:, np.random.default_rng(0).permutation(frames[0].size)]
    found = register(decode_graycode(mixed.reshape(frames.shape), SQUARE.columns, SQUARE.rows), SQUARE)
    assert _check(found, "registration inliers").status == "failed"
    assert _check(found, "registration residual").status == "failed"


def test_lamp_that_flickers_between_frames() -> None:
    view = camera_view(DIAMOND, SHAPE, 3, columns_per_pixel=0.7)
    frames = simulate_graycode(CameraTwin(DIAMOND, SHAPE, view), 1)
    lamp = np.random.default_rng(5).uniform(0.95, 1.05, (len(frames), 1, 1))
    found = register(decode_graycode(np.rint(frames * lamp), DIAMOND.columns, DIAMOND.rows), DIAMOND)
    assert _errors(found, view).max() < 0.03
    assert {check.status for check in registration_checks(found)} <= {"passed", "not checked"}


def test_too_few_edges() -> None:
    view = camera_view(SQUARE, SHAPE, 3, columns_per_pixel=0.02)
    frames = simulate_graycode(CameraTwin(SQUARE, SHAPE, view), 1)
    with pytest.raises(FileError, match=r"at least 200 of each are needed"):
        register(decode_graycode(frames[:, :20, :30], SQUARE.columns, SQUARE.rows), SQUARE)


def test_same_pictures_give_the_same_registration() -> None:
    view = camera_view(DIAMOND, SHAPE, 3, columns_per_pixel=0.7)
    first, second = (_registered(CameraTwin(DIAMOND, SHAPE, view)) for _ in range(2))
    assert np.array_equal(first.camera.homography, second.camera.homography)
    assert first.held_out_columns == second.held_out_columns
