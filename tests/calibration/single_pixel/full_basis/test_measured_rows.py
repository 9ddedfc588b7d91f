"""Captures of some Hadamard patterns, of any size, order and kind: put right where it is known how, else refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from cidesign.calibration.single_pixel.full_basis.hadamard_files import converter_words, read_hadamard_file
from cidesign.calibration.single_pixel.full_basis.measured_rows import MeasuredRows, settle_rows
from cidesign.calibration.single_pixel.full_basis.pattern_size import is_full_basis, size_of_patterns
from cidesign.calibration.single_pixel.full_basis.rows import HadamardRows, known_orders
from cidesign.errors import FileError, InputError
from cidesign.pattern.hadamard import hadamard_matrix, hadamard_order_rows, has_hadamard_matrix, sylvester_matrix

Readings = NDArray[np.float64]


def scene_of(height: int, width: int) -> Readings:
    """A bright bar and a dot on a slope, in 0.1 to 1."""
    scene = np.add.outer(np.linspace(0.1, 0.3, height), np.linspace(0, 0.2, width))
    scene[height // 4 : height // 2, width // 4 :] = 1.0
    scene[-2, 1] = 0.8
    return scene


def settled(
    tmp_path: Path, data: Readings, size: tuple[int, int], order: str | None = None, **more: Any
) -> MeasuredRows:
    patterns = more.pop("patterns", None)
    np.savez(tmp_path / "x.npz", data=data, **more)
    return settle_rows(read_hadamard_file(tmp_path / "x.npz"), 0, size, order, patterns)


def test_matrices_are_orthogonal_and_begin_with_ones() -> None:
    """Sylvester's, and Paley's of order 12 and 20 as MATLAB has them, doubled."""
    for order in (1, 2, 4, 12, 20, 24, 40, 48, 64, 80):
        matrix = hadamard_matrix(order).astype(int)
        assert np.array_equal(matrix @ matrix.T, order * np.eye(order)), order
        assert (matrix[0] == 1).all()
        assert (matrix[:, 0] == 1).all()
    assert np.array_equal(hadamard_matrix(16), sylvester_matrix(16))
    assert np.array_equal(hadamard_matrix(24), np.kron([[1, 1], [1, -1]], hadamard_matrix(12)))
    assert hadamard_matrix(12)[1].tolist() == [1, -1, 1, -1, 1, 1, 1, -1, -1, -1, 1, -1]
    assert hadamard_matrix(20)[19].tolist() == [1, 1, -1, -1, 1, 1, -1, -1, -1, -1, 1, -1, 1, -1, 1, 1, 1, 1, -1, -1]
    for order in (0, -4, 3, 6, 28, 36, 60):
        assert not has_hadamard_matrix(order)
        with pytest.raises(InputError, match=f"of order {order} is known"):
            hadamard_matrix(order)


@pytest.mark.parametrize("size", [(4, 8), (8, 4), (12, 4), (6, 8), (20, 8), (3, 4), (16, 16)])
def test_rows_read_and_return_an_image(size: tuple[int, int]) -> None:
    """By the matrices written out: H x, and H^T y / N, of all rows and of some."""
    scene = np.random.default_rng(0).random(size)
    pixels = scene.size
    for name, rows in known_orders(size).items():
        if name == "natural-2d":
            full = np.kron(hadamard_matrix(size[0]), hadamard_matrix(size[1])).astype(float)
        else:
            full = hadamard_matrix(pixels).astype(float)
        readings = rows.readings(scene)
        np.testing.assert_allclose(readings, (full @ scene.ravel())[rows.numbers], atol=1e-9)
        np.testing.assert_allclose(rows.image(readings), scene, atol=1e-12)
        some = HadamardRows(size, rows.orders, rows.numbers[: pixels // 3])
        np.testing.assert_array_equal(some.signed().reshape(some.count, -1), full[some.numbers])
        wanted = full[some.numbers].T @ readings[: some.count] / pixels
        np.testing.assert_allclose(some.image(readings[: some.count]).ravel(), wanted, atol=1e-12)
    assert list(known_orders((6, 8))) == ["natural"]
    assert list(known_orders((12, 12))) == ["natural-2d"]
    assert list(known_orders((12, 4))) == ["natural", "natural-2d"]
    assert not known_orders((14, 14))


def test_orders_of_patterns_that_are_no_squares() -> None:
    """Of 2 x 4: rows of Sylvester's H4 change sign 0, 3, 1, 2 times, those of H2 0 and 1 times."""
    rows = hadamard_order_rows(2, 4)
    assert all(sorted(order.tolist()) == list(range(8)) for order in rows.values())
    assert rows["sequency-2d"].tolist() == [0, 2, 3, 1, 4, 6, 7, 5]
    assert rows["diagonal"].tolist() == [0, 2, 4, 3, 6, 1, 7, 5]
    changes = np.count_nonzero(np.diff(sylvester_matrix(8), axis=1), axis=1)
    assert changes[rows["sequency"]].tolist() == list(range(8))
    assert hadamard_order_rows(8).keys() == hadamard_order_rows(8, 8).keys()
    assert all(np.array_equal(hadamard_order_rows(8)[name], rows) for name, rows in hadamard_order_rows(8, 8).items())


@pytest.mark.parametrize("size", [(16, 16), (8, 32), (32, 8), (24, 32), (20, 8)])
def test_the_first_rows_of_any_order(tmp_path: Path, size: tuple[int, int]) -> None:
    scene = scene_of(*size)
    for name, rows in known_orders(size).items():
        count = rows.count // 3
        found = settled(tmp_path, rows.readings(scene)[:count], size, name)
        assert (found.rows.count, found.complete) == (count, False)
        np.testing.assert_allclose(found.rows.readings(scene), found.readings, atol=1e-9)
        assert found.image().mean() == pytest.approx(scene.mean())
        assert found.record.order_status == "stated"
        assert f"order of the patterns: {name}, stated" in found.notes


KINDS: dict[str, Callable[[Readings], Readings]] = {
    "0 and 1": lambda y: (y[0] + y) / 2,
    "0 and 1 with a dark level": lambda y: (y[0] + y) / 2 + 0.3 * y[0],
    "inverted": lambda y: -y,
    "pairs": lambda y: np.stack([(y[0] + y) / 2, (y[0] - y) / 2], axis=1).ravel(),
    "pairs, negative first, dark": lambda y: np.stack([(y[0] - y) / 2, (y[0] + y) / 2], axis=1).ravel() + 9,
    "halves": lambda y: np.concatenate([(y[0] + y) / 2, (y[0] - y) / 2]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["sequency-2d", "cake-cutting", "dyadic"])
def test_patterns_of_any_kind(tmp_path: Path, kind: str, order: str) -> None:
    scene = scene_of(32, 32)
    signed = known_orders((32, 32))[order].readings(scene)[:300]
    found = settled(tmp_path, KINDS[kind](signed), (32, 32), order)
    scale = found.readings[0] / signed[0]
    assert scale == pytest.approx(0.5 if kind.startswith("0 and 1") else 1, rel=0.05)
    np.testing.assert_allclose(found.readings / scale, signed, atol=0.03 * signed[0])
    assert any("put right" in note for note in found.notes)
    if "dark" not in kind or "pairs" in kind:
        np.testing.assert_allclose(found.readings / scale, signed, atol=1e-9 * signed[0])


def test_kinds_can_be_stated_and_are_asked_for(tmp_path: Path) -> None:
    y = known_orders((8, 8))["sequency"].readings(scene_of(8, 8))[:30]
    unsigned = (y + y[0]) / 2
    np.testing.assert_allclose(settled(tmp_path, unsigned, (8, 8), "sequency", patterns="0/1").readings, y / 2)
    np.testing.assert_allclose(settled(tmp_path, unsigned, (8, 8), "sequency", patterns="signed").readings, unsigned)
    pairs = KINDS["pairs"](y)
    np.testing.assert_allclose(settled(tmp_path, pairs, (8, 8), "sequency", patterns="pairs").readings, y)
    with pytest.raises(FileError, match=r"lie around 3.% .* state what they are: --set patterns"):
        settled(tmp_path, y + 0.5 * y[0], (8, 8), "sequency")
    with pytest.raises(InputError, match="29 readings, which are no pairs"):
        settled(tmp_path, y[:29], (8, 8), "sequency", patterns="pairs")


def test_what_cannot_be_known_is_asked_for(tmp_path: Path) -> None:
    scene = scene_of(16, 16)
    y = known_orders((16, 16))["natural"].readings(scene)
    with pytest.raises(FileError, match=r"100 readings of patterns of 16 x 16, which have 256; state the order"):
        settled(tmp_path, y[:100], (16, 16))
    with pytest.raises(
        FileError, match=r"one is missing: is it the first, with all mirrors on\? If not, state the order"
    ):
        settled(tmp_path, y[1:], (16, 16))
    with pytest.raises(InputError, match="order=walsh: not an order of 16 x 16; known are natural, sequency"):
        settled(tmp_path, y[:100], (16, 16), "walsh")
    with pytest.raises(FileError, match=r"300 readings, but patterns of 16 x 16 are 256 at most \(512 readings in"):
        settled(tmp_path, np.append(y, y[:44]), (16, 16), "natural")
    with pytest.raises(FileError, match=r"600 readings, but patterns of 16 x 16 are 256 at most \(512 readings in"):
        settled(tmp_path, np.tile(y, 3)[:600], (16, 16), "natural")
    with pytest.raises(FileError, match="3 patterns were read; at least 4 are needed"):
        settled(tmp_path, y[:3], (16, 16), "natural")
    assert settled(tmp_path, y[:4], (16, 16), "sequency-2d").rows.count == 4
    with pytest.raises(FileError, match="no Hadamard patterns of 14 x 14 are known here"):
        settled(tmp_path, y[:100], (14, 14), "natural")
    with pytest.raises(FileError, match="no scene gives less light to all mirrors than to some"):
        settled(tmp_path, np.append(0.1 * y[0], y[1:100]), (16, 16), "sequency-2d")
    with pytest.raises(FileError, match="all 100 readings are 7, so the image has no positive values: a constant"):
        settled(tmp_path, np.full(100, 7.0), (16, 16), "natural", patterns="signed")
    with pytest.raises(FileError, match=r"24 x 32, which have 768; state the order .* known are natural, natural-2d"):
        settled(tmp_path, known_orders((24, 32))["natural"].readings(scene_of(24, 32)), (24, 32))


def test_pairs_of_half_as_many_patterns_are_no_full_basis(tmp_path: Path) -> None:
    """256 readings may be 256 patterns or 128 pairs: where the sums are steady, it must be stated."""
    y = known_orders((16, 16))["sequency"].readings(scene_of(16, 16))[:128]
    with pytest.raises(
        FileError, match=r"256 readings are one for each of 256 patterns, or complementary pairs of 128"
    ):
        settled(tmp_path, KINDS["pairs"](y), (16, 16), "sequency")
    np.testing.assert_allclose(settled(tmp_path, KINDS["pairs"](y), (16, 16), "sequency", patterns="pairs").readings, y)


def test_a_saturated_first_reading_of_pairs_is_put_right(tmp_path: Path) -> None:
    y = known_orders((16, 16))["sequency"].readings(scene_of(16, 16))[:100]
    rng = np.random.default_rng(0)
    pairs = 1000 * KINDS["pairs"](y) + 50 + rng.normal(0, 20, 200)
    sound = settled(tmp_path, pairs, (16, 16), "sequency")
    assert not any("saturated" in note for note in sound.notes)
    cut = np.minimum(pairs, 0.7 * pairs[0])
    found = settled(tmp_path, cut, (16, 16), "sequency")
    assert any("too bright for the detector (saturated)" in note for note in found.notes)
    assert found.readings[0] == pytest.approx(1000 * y[0], rel=1e-3)
    assert found.noise == pytest.approx(20 * 2**0.5, rel=0.2)
    assert not found.noise_is_bound


def test_the_end_of_a_converter_is_told(tmp_path: Path) -> None:
    for largest, said in ((65535, "65535, the end of 16 bits"), (4095, "the end of 12 bits"), (4000, "")):
        np.save(tmp_path / "x.npy", np.append(largest, np.arange(20.0)))
        words = converter_words(read_hadamard_file(tmp_path / "x.npy"), 0)
        assert bool(words) == bool(said)
        assert said in "".join(words)


def test_a_file_with_patterns_of_its_own(tmp_path: Path) -> None:
    """Shuffled, as 0 and 1, of a matrix that no order here has (another one of order 12), or some of them."""
    squares = {pow(value, 2, 11) for value in range(1, 11)}
    chi = np.array([0] + [1 if value in squares else -1 for value in range(1, 11)])
    jacobsthal = chi[np.subtract.outer(np.arange(11), np.arange(11)) % 11]
    paley = np.ones((12, 12), dtype=int)
    paley[1:, 1:] = jacobsthal - np.eye(11, dtype=int)
    matrix = np.kron(paley, hadamard_matrix(12))
    assert np.array_equal(matrix @ matrix.T, 144 * np.eye(144))
    shuffled = matrix[np.random.default_rng(0).permutation(144)]
    scene = scene_of(12, 12)
    for vecs in (shuffled, shuffled.reshape(144, 12, 12), (shuffled + 1) // 2):
        read = vecs.reshape(144, 144).astype(float) @ scene.ravel()
        found = settled(tmp_path, read, (12, 12), vecs=vecs)
        scale = 2 if vecs.min() == 0 else 1
        np.testing.assert_allclose(scale * found.image(), scene, atol=1e-9)
        assert found.complete
        assert found.record.order_status == "of the file's own basis"
    on = int(np.argmax(shuffled.sum(axis=1)))
    some = np.unique(np.append(np.arange(60), on))
    found = settled(tmp_path, shuffled[some] @ scene.ravel(), (12, 12), vecs=shuffled[some])
    assert (found.rows.count, found.complete) == (len(some), False)
    rest = np.delete(np.arange(144), on)
    with pytest.raises(FileError, match="the pattern with all mirrors on was not read"):
        settled(tmp_path, shuffled[rest] @ scene.ravel(), (12, 12), vecs=shuffled[rest])
    with pytest.raises(InputError, match="holds its own patterns, which say the order"):
        settled(tmp_path, shuffled @ scene.ravel(), (12, 12), "natural", vecs=shuffled)


@pytest.mark.parametrize(
    ("vecs", "said"),
    [
        (np.ones((16, 16)), r"not those of a Hadamard matrix \(they are not orthogonal\); patterns of any kind"),
        (sylvester_matrix(16)[:7], r"vecs has shape \(7, 16\), but data holds 16 readings"),
        (0.5 * sylvester_matrix(16), "vecs holds values such as -0.5, 0.5; Hadamard patterns are of"),
        (sylvester_matrix(16).reshape(16, 2, 2, 4), r"vecs has shape \(16, 2, 2, 4\)"),
        (np.ones((16, 0)), r"vecs has shape \(16, 0\)"),
        (np.float64(1), r"vecs has shape \(\)"),
    ],
)
def test_patterns_that_are_none(tmp_path: Path, vecs: NDArray[np.generic], said: str) -> None:
    np.savez(tmp_path / "x.npz", data=np.arange(16.0), vecs=vecs)
    with pytest.raises(FileError, match=said):
        read_hadamard_file(tmp_path / "x.npz")


def test_numbers_that_no_detector_reads(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.append(1e300, np.ones(63)))
    with pytest.raises(FileError, match=r"data holds 1e\+300; no detector reads more than 1e\+100"):
        read_hadamard_file(tmp_path / "x.npy")


def test_files_of_any_kind(tmp_path: Path) -> None:
    y = np.rint(100 * known_orders((4, 8))["natural"].readings(scene_of(4, 8)))
    np.save(tmp_path / "a.npy", y)
    np.savetxt(tmp_path / "a.csv", y)
    np.savetxt(tmp_path / "two.csv", np.stack([y, 2 * y], axis=1), delimiter=",")
    np.savetxt(tmp_path / "line.csv", y[None], delimiter=",")
    savemat(tmp_path / "a.mat", {"data": y[:, None], "n": [[4, 8]]})
    for name in ("a.npy", "a.csv", "line.csv", "a.mat"):
        np.testing.assert_array_equal(read_hadamard_file(tmp_path / name).data, y[None])
    assert read_hadamard_file(tmp_path / "a.mat").size == (4, 8)
    np.testing.assert_array_equal(read_hadamard_file(tmp_path / "two.csv").data, [y, 2 * y])
    with pytest.raises(FileError, match=r"read from \.npz, \.mat, \.npy and \.csv"):
        read_hadamard_file(tmp_path / "a.xlsx")


def test_the_size_is_told_stated_or_asked_for(tmp_path: Path) -> None:
    def raw(count: int, **more: Any) -> Any:
        np.savez(tmp_path / "x.npz", data=np.arange(float(count)), **more)
        return read_hadamard_file(tmp_path / "x.npz")

    assert size_of_patterns(raw(256), None, 16) == (16, 16)
    assert size_of_patterns(raw(512), None, 16) == (16, 16)
    assert size_of_patterns(raw(1024), None, 16) == (32, 32)
    assert size_of_patterns(raw(100), None, 16) == (16, 16)
    assert size_of_patterns(raw(100, n=32), None, 16) == (32, 32)
    assert size_of_patterns(raw(100, n=[8, 32]), None, 16) == (8, 32)
    assert size_of_patterns(raw(256), "32x64", 16) == (32, 64)
    assert size_of_patterns(raw(256), "64", 16) == (64, 64)
    for count in (256, 512):
        with pytest.raises(
            FileError, match=rf"{count} readings can be all patterns of 16 x 16, or some of the run's 64"
        ):
            size_of_patterns(raw(count), None, 64)
    for wrong in ("x", "32x", "-4", "1x8", "999"):
        with pytest.raises(InputError, match=f"size={wrong}"):
            size_of_patterns(raw(256), wrong, 16)
    with pytest.raises(InputError, match=r"size=8: .* says 32 x 32"):
        size_of_patterns(raw(100, n=32), "8", 16)
    with pytest.raises(FileError, match="data has shape"):
        size_of_patterns(raw(100), None, None)
    assert is_full_basis(raw(256), (16, 16), None)
    assert is_full_basis(raw(256), (8, 32), None)
    assert is_full_basis(raw(512), (16, 16), "pairs")
    assert not is_full_basis(raw(256), (16, 16), "pairs")
    assert not is_full_basis(raw(768), (24, 32), None)
