"""Readings of a full Hadamard basis in another order, of other patterns, of another sign: put right, or refused."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import hadamard

from cidesign.calibration.single_pixel.full_basis.hadamard import HadamardCapture, read_hadamard_capture
from cidesign.calibration.single_pixel.full_basis.hadamard_order import find_order
from cidesign.calibration.single_pixel.full_basis.hadamard_settle import settle_readings
from cidesign.errors import FileError, InputError
from cidesign.pattern.hadamard import hadamard_order_rows, walsh_hadamard

SHARED = Path(__file__).parents[4].parent / "shared"
CASES = SHARED / "cases" / "16_hadamard_order"
REAL = SHARED / "data" / "spi" / "denbo313_hologram"
KODAK = SHARED / "data" / "images" / "kodak"
ORDERS = tuple(hadamard_order_rows(4))
Readings = NDArray[np.float64]


def letter(side: int) -> Readings:
    picture = np.zeros((256, 256), np.uint8)
    cv2.putText(picture, "F", (40, 220), cv2.FONT_HERSHEY_SIMPLEX, 8, (255,), 30)
    seen = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) / 255.0
    return np.asarray(0.05 + 0.9 * seen, dtype=np.float64)


def photograph(side: int, name: str = "kodim03.png") -> Readings:
    grey = np.asarray(cv2.imread(str(KODAK / name), cv2.IMREAD_GRAYSCALE))
    size = min(grey.shape)
    return np.asarray(cv2.resize(grey[:size, :size], (side, side), interpolation=cv2.INTER_AREA) / 255.0)


def readings_of(scene: Readings, order: str = "natural", noise: float = 0.0) -> Readings:
    """What signed patterns read; `noise`: of a pixel of the image."""
    side = len(scene)
    read = walsh_hadamard(scene.ravel())[hadamard_order_rows(side)[order]]
    return np.asarray(read + np.random.default_rng(1).normal(0, noise * side, read.size))


def settled(readings: Readings, **stated: str) -> tuple[Readings, str, str]:
    """The image, the status of the order, and the remarks."""
    side = round(readings.size**0.5)
    capture = HadamardCapture(Path("x.npz"), readings[None], ("region 0",), (side, side))
    found = settle_readings(capture, 0, **stated)
    return found.capture.image(0), found.record.order_status, "; ".join(found.remarks)


@pytest.mark.parametrize("order", [order for order in ORDERS if order not in ("zigzag", "diagonal")])
@pytest.mark.parametrize("side", [32, 64, 128])
def test_a_letter_in_every_order(order: str, side: int) -> None:
    """Put right; or, where larger letters leave structure in natural order too, refused with the right name first."""
    scene = letter(side)
    if side > 32 and order in ORDERS[6:]:
        with pytest.raises(FileError, match=rf"cannot be told: {order} \(0\.0\d\), natural \("):
            settled(readings_of(scene, order, 0.02))
        return
    image, status, said = settled(readings_of(scene, order, 0.02))
    assert image == pytest.approx(scene, abs=0.1)
    assert status == ("verified" if order == "natural" else "put right")
    assert ("put right" in said) == (order != "natural")
    assert f"{order} order" in said or order == "natural"


@pytest.mark.parametrize("order", ["zigzag", "diagonal"])
def test_diagonals_to_and_fro_or_not_must_be_stated(order: str) -> None:
    """They differ by a transposition of all that half a turn changes in sign, which smoothness cannot see."""
    scene = letter(32)
    with pytest.raises(FileError, match=r"which order it is cannot be told: (diagonal .*, zigzag|zigzag .*, diagonal)"):
        settled(readings_of(scene, order))
    assert settled(readings_of(scene, order), order=order)[0] == pytest.approx(scene)


@pytest.mark.skipif(not KODAK.is_dir(), reason="the shared data are not here")
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("side", [8, 16, 32])
def test_never_a_wrong_order_of_photographs(side: int, noise: float) -> None:
    """Right, refused, or said not to be verified: none is taken for another; few pixels tell little."""
    outcomes = []
    for name in ("kodim03.png", "kodim05.png", "kodim08.png", "kodim16.png"):
        for order in ORDERS:
            found = find_order(readings_of(photograph(side, name), order, noise * 0.2), (side, side))
            if order == "natural":
                assert found.order == "natural"
                assert found.status in ("verified", "not verified")
            elif found.status == "put right":
                assert found.order == order
            else:
                assert found.status in ("refused", "not verified")
            outcomes.append(found.status)
    if side == 32:
        assert outcomes.count("put right") >= 10
        assert outcomes.count("verified") == 4
        assert "not verified" not in outcomes


@pytest.mark.parametrize("seed", range(6))
def test_no_order_of_a_random_texture_is_verified(seed: int) -> None:
    scene = np.random.default_rng(seed).random((32, 32))
    for order in ("natural", "dyadic", "zigzag"):
        image, status, said = settled(readings_of(scene, order))
        assert status == "not verified"
        assert "order not verified" in said
        if order == "natural":
            assert image[1:] == pytest.approx(scene[1:])


def gratings() -> list[Readings]:
    y, x = np.mgrid[:32, :32]
    period2, period4 = x % 2, x // 2 % 2
    made = [period2, period2.T, period4, (x + y) % 2, (x + y) // 2 % 2, x // 3 % 2, (x // 2 + y // 2) % 2]
    made += [
        np.where(x < 16, period2, y % 2),
        np.where(y < 12, period4, 0),
        np.where((x - 16) ** 2 + y**2 < 99, y % 2, 0),
    ]
    for angle in range(5, 90, 10):
        for period in (2.3, 2.9, 4.1):
            along = x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))
            made.append(0.5 + 0.5 * np.sin(2 * np.pi * along / period))
    return [np.asarray(0.1 + 0.8 * one, dtype=np.float64) for one in made]


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_fine_gratings_in_natural_order_are_never_taken_apart(noise: float) -> None:
    """In another order a grating can be smooth: then it is refused, to be stated, and never silently another scene."""
    for scene in gratings():
        found = find_order(readings_of(scene, noise=noise), (32, 32))
        assert found.status in ("verified", "not verified", "refused")
        if found.status == "refused":
            assert settled(readings_of(scene, noise=noise), order="natural")[1] == "stated"


def test_what_cannot_be_told_is_refused_with_the_setting() -> None:
    scene = np.tile(0.1 + 0.8 * (np.arange(32) % 2), (32, 1))
    with pytest.raises(FileError, match=r"hardly in natural order .*State it with --set order=NAME; known are natural"):
        settled(readings_of(scene))
    image, status, _ = settled(readings_of(scene), order="natural")
    assert status == "stated"
    assert image == pytest.approx(scene)


def test_the_orders_are_permutations_of_known_beginnings() -> None:
    """Rows of Sylvester's H4 change sign 0, 3, 1, 2 times; 16 rows of 16 elements by their own sign changes."""
    rows = hadamard_order_rows(4)
    assert all(sorted(order.tolist()) == list(range(16)) for order in rows.values())
    changes = np.count_nonzero(np.diff(hadamard(16), axis=1), axis=1)
    assert changes[rows["sequency"]].tolist() == list(range(16))
    assert rows["dyadic"].tolist() == [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15]
    assert rows["sequency-2d"].tolist() == [0, 2, 3, 1, 8, 10, 11, 9, 12, 14, 15, 13, 4, 6, 7, 5]
    grid = [divmod(rows["sequency-2d"].tolist().index(row), 4) for row in rows["zigzag"].tolist()]
    assert grid[:7] == [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (2, 0), (3, 0)]
    assert rows["total-variation"].tolist()[:4] == [0, 2, 8, 3]


OFFSETS: dict[str, Callable[[Readings], Readings]] = {
    "patterns of 0 and 1": lambda y: (y[0] + y) / 2,
    "the same with a dark level": lambda y: (y[0] + y) / 2 + 0.3 * y[0],
    "raw counts, mostly dark": lambda y: (y[0] + y) / 2 + 9 * y[0],
    "1 - H": lambda y: (y[0] - y) / 2,
    "a constant offset": lambda y: y + 0.2 * y[0],
    "a negative offset": lambda y: y - 0.3 * y[0],
    "inverted": lambda y: -y,
    "0 and 1 behind an inverting amplifier": lambda y: 5 * y[0] - (y[0] + y) / 2,
}


@pytest.mark.parametrize("order", ["natural", "sequency", "cake-cutting"])
@pytest.mark.parametrize("how", OFFSETS)
@pytest.mark.parametrize("side", [16, 32])
def test_other_patterns_are_put_right(how: str, order: str, side: int) -> None:
    scene = letter(side)
    image, _, said = settled(OFFSETS[how](readings_of(scene, "natural", 0.003)))
    assert "put right" in said
    assert np.corrcoef(image.ravel(), scene.ravel())[0, 1] > 0.999
    assert image.mean() / image.max() == pytest.approx(scene.mean() / scene.max(), rel=0.05)
    if side == 32:
        image, _, said = settled(OFFSETS[how](readings_of(scene, order, 0.003)))
        assert np.corrcoef(image.ravel(), scene.ravel())[0, 1] > 0.999
        assert ("of 0 and 1" in said) == (how not in ("inverted",))
        assert ("the sign of all readings" in said) == (
            how in ("1 - H", "inverted", "0 and 1 behind an inverting amplifier")
        )


def test_patterns_can_be_stated() -> None:
    y = readings_of(letter(32))
    assert settled((y[0] + y) / 2, patterns="0/1")[0] == pytest.approx(letter(32) / 2)
    left = settled((y[0] + y) / 2, patterns="signed")[0]
    assert left[0, 0] > 100 * left[5:].max()
    for wrong in ({"patterns": "binary"}, {"order": "walsh"}):
        with pytest.raises(InputError, match="known are"):
            settled(y, **wrong)


def test_a_bright_corner_is_no_offset() -> None:
    scene = letter(32)
    scene[0, 0] = 3.0
    image, status, said = settled(readings_of(scene))
    assert image == pytest.approx(scene)
    assert status == "verified"
    assert "put right" not in said


FIRST: dict[str, tuple[Callable[[Readings], Readings], str]] = {
    "lost and the rest moved up": (lambda y: np.append(y[1:], y[-1]), "reading 0 is"),
    "one late": (lambda y: np.roll(y, 1), "but reading 1 is"),
    "last to first": (lambda y: y[::-1].copy(), "but reading 1023 is"),
    "the mean taken off": (lambda y: np.append(0.0, y[1:]), "taken off as a mean"),
    "clipped": (lambda y: np.minimum(y, 0.3 * np.sort(np.abs(y))[-2]), "clipped"),
}


@pytest.mark.parametrize("how", FIRST)
def test_a_first_reading_that_no_scene_gives(how: str) -> None:
    broken, said = FIRST[how]
    with pytest.raises(FileError, match="no scene gives less light to all mirrors than to some") as caught:
        settled(broken(readings_of(letter(32), noise=0.001)))
    assert said in str(caught.value)


def test_a_clipped_first_reading_that_some_scene_gives() -> None:
    """Half of the light is more than any pattern reads; but the dark of the scene becomes negative."""
    y = readings_of(np.where(letter(32) > 0.3, 0.0, 1.0), noise=0.001)
    assert "negative beyond noise: the first reading" not in settled(y)[2]
    y[0] *= 0.8
    assert "negative beyond noise: the first reading (all mirrors on) is too small" in settled(y)[2]


@pytest.mark.parametrize("how", ["one after the other", "in two halves of the record"])
@pytest.mark.parametrize("order", ["natural", "dyadic"])
def test_complementary_pairs(tmp_path: Path, how: str, order: str) -> None:
    """With a lamp that drifts by 10 %, and a dark level; negative first changes the sign, which is put right too."""
    y = readings_of(letter(32), order)
    positive, negative = (y[0] + y) / 2 + 7, (y[0] - y) / 2 + 7
    lamp = np.linspace(1, 0.9, 2048)
    for first, second in ((positive, negative), (negative, positive)):
        if how == "one after the other":
            data = np.stack([first, second], axis=1).ravel() * lamp
        else:
            data = np.concatenate([first * lamp[::2], second * lamp[1::2]])
        np.savez(tmp_path / "x.npz", data=data[:, None])
        capture = read_hadamard_capture(tmp_path / "x.npz")
        assert capture.notes == (
            f"put right: 2048 readings are complementary pairs, {how}; their differences are used",
        )
        found = settle_readings(capture, 0)
        assert found.record.order == order
        assert np.corrcoef(found.capture.image(0).ravel(), letter(32).ravel())[0, 1] > 0.9


def test_twice_as_many_readings_that_are_no_pairs(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", data=np.random.default_rng(0).normal(size=2048))
    with pytest.raises(FileError, match="2048 readings are twice 32 x 32, but no complementary pairs"):
        read_hadamard_capture(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", data=np.ones(1023))
    with pytest.raises(FileError, match="one is missing: is it the first, with all mirrors on"):
        read_hadamard_capture(tmp_path / "x.npz")


def test_a_file_with_its_own_basis_is_believed(tmp_path: Path) -> None:
    """A grating, whose order would have to be stated."""
    from scipy.io import savemat

    scene = np.tile(0.1 + 0.8 * (np.arange(16) % 2), (16, 1))
    savemat(tmp_path / "x.mat", {"data": readings_of(scene)[None], "vecs": hadamard(256)})
    capture = read_hadamard_capture(tmp_path / "x.mat")
    found = settle_readings(capture, 0)
    assert found.record.order_status == "of the file's own basis"
    assert found.capture.image(0) == pytest.approx(scene)
    with pytest.raises(InputError, match="holds its own basis"):
        settle_readings(capture, 0, order="dyadic")


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_the_same_f_four_times() -> None:
    images = {}
    for name in ("natural", "walsh", "dyadic", "zeroone"):
        capture = read_hadamard_capture(CASES / f"{name}.npz")
        images[name] = settle_readings(capture, 0).capture.image(0)
    for name, image in images.items():
        assert np.corrcoef(image.ravel(), images["natural"].ravel())[0, 1] > 0.9999, name


@pytest.mark.skipif(not REAL.is_dir(), reason="the real captures are not here")
@pytest.mark.parametrize("name", ["Car_boat.npz", "Car_half.npz"])
def test_real_captures_are_in_natural_order(name: str) -> None:
    capture = read_hadamard_capture(REAL / name)
    for region in (0, 3, 16, 32):
        found = settle_readings(capture, region)
        assert found.record.order_status == "verified"
        assert found.remarks == ("order of the readings: natural, verified",)
        assert np.array_equal(found.capture.readings, capture.readings)
        for order in ("sequency", "dyadic", "cake-cutting"):
            again = capture.readings[region][hadamard_order_rows(32)[order]]
            assert find_order(again.astype(float), (32, 32)).order == order
            assert settled(again, order=order)[0] == pytest.approx(capture.image(region))
