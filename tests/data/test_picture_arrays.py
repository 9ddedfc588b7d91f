"""Arrays of pictures: stacks, rows of flat pictures, labels, and what could be read in two ways."""

from pathlib import Path

import numpy as np
import pytest

from cidesign.data.picture_arrays import pictures_of_arrays
from cidesign.errors import FileError

SIDE = 12
PATH = Path("x.npz")


def _pictures(count: int, side: int = SIDE) -> np.ndarray:
    """Smooth pictures, each of another thing."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    waves = rng.uniform(0.2, 1.2, (count, 4, 1, 1))
    phase = rng.uniform(0, 6, (count, 2, 1, 1))
    image = np.sin(6 * (waves[:, 0] * x + waves[:, 1] * y) + phase[:, 0]) + np.cos(
        6 * (waves[:, 2] * x - waves[:, 3] * y) + phase[:, 1]
    )
    return np.round(127.5 + 60 * image).astype(np.uint8)


STACK = _pictures(30)
COLOURS = np.stack([STACK, STACK // 2, 255 - STACK], axis=-1)
LUMA = np.round(COLOURS @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def _read(**arrays: np.ndarray) -> tuple[np.ndarray, list[str]]:
    notes: list[str] = []
    return np.stack([one.values for one in pictures_of_arrays(PATH, arrays, notes)]), notes


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (STACK, STACK),
        (STACK[0], STACK[:1]),
        (STACK[:1], STACK[:1]),
        (STACK[..., None], STACK),
        (STACK[:, None], STACK),
        (STACK[:3, ..., None], STACK[:3]),
        (COLOURS, LUMA),
        (np.moveaxis(COLOURS, -1, 1), LUMA),
        (COLOURS[0], LUMA[:1]),
        (STACK > 127, np.where(STACK > 127, 255, 0)),
    ],
    ids=str,
)
def test_shapes_of_pictures(array: np.ndarray, wanted: np.ndarray) -> None:
    found, notes = _read(a=array)
    np.testing.assert_array_equal(found, wanted)
    assert notes == []


def test_flat_pictures_are_told_from_one_picture() -> None:
    pictures = _pictures(40, 28)
    found, notes = _read(a=pictures.reshape(40, -1))
    np.testing.assert_array_equal(found, pictures)
    assert notes == ["(40, 784) is read as 40 pictures of 28 x 28, one a row"]
    colours = np.stack([pictures, pictures // 2, 255 - pictures], axis=-1)
    for flat in (colours.reshape(40, -1), np.moveaxis(colours, -1, 1).reshape(40, -1)):
        assert _read(a=flat)[0].shape == (40, 28, 28)
    # One picture whose width is a square number is one picture.
    wide = _pictures(1, 256)[0]
    for one in (wide, wide[:100], wide[:, :196], np.add.outer(np.arange(100.0), np.arange(256.0))):
        assert _read(a=one)[0].shape == (1, *one.shape)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (STACK.reshape(30, -1).T, "written one a column; transpose it"),
        (np.moveaxis(STACK, 0, -1), "looks like 30 pictures of 12 x 12"),
        (np.moveaxis(_pictures(30, 40)[:, :24], 0, -1), "looks like 30 pictures of 24 x 40"),
        (np.moveaxis(COLOURS[0], -1, 0), "one picture in planes of colour or 3 grey ones"),
        (np.random.default_rng(0).random((1000, 13)), "could be a table"),
        (np.ones((1, 784)), "labels or a list"),
        (np.arange(40), "labels or a list"),
        (np.arange(40)[:, None], "labels or a list"),
        (np.eye(10)[np.arange(40) % 10], "labels .one row for each"),
        (np.full((40, 10), 0.1), "labels .one row for each"),
        (np.ones((3, 4, 5, 6, 7)), "no picture and no stack"),
        (np.ones((5, 2, 30)), "2 x 30 pixels are no picture"),
        (np.array(["cat", "dog"]), "values of type"),
        (STACK * 1j, "values of type complex"),
    ],
    ids=lambda value: None if isinstance(value, np.ndarray) else value,
)
def test_what_is_no_picture_or_unclear_is_refused(array: np.ndarray, said: str) -> None:
    with pytest.raises(FileError, match=said):
        _read(a=array)


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(30),
        np.arange(30)[:, None],
        np.eye(10)[np.arange(30) % 10],
        np.arange(120).reshape(30, 4),
        np.array(["a"] * 30),
    ],
    ids=lambda labels: str(labels.shape),
)
def test_labels_beside_pictures_are_left_out_with_a_remark(labels: np.ndarray) -> None:
    found, notes = _read(x_train=STACK, y_train=labels, x_test=STACK[:5])
    assert len(found) == 35
    assert len(notes) == 1
    assert notes[0].startswith("pictures are read from `x_train` (30), `x_test` (5); left out: `y_train`: ")


def test_labels_beside_flat_pictures() -> None:
    found, notes = _read(x=_pictures(40, 28).reshape(40, -1), y=np.eye(10)[np.arange(40) % 10])
    assert found.shape == (40, 28, 28)
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (np.arange(30) % 3, True),
        ((np.arange(30) % 3)[:, None], True),
        ((np.arange(30) % 3)[None], True),
        ((np.arange(30) % 3)[:, None, None], True),
        (np.eye(3)[np.arange(30) % 3], True),
        ((np.arange(30) % 3).astype(np.float64), True),
        (np.arange(30) % 3 + 0.5, False),
        (np.eye(3)[np.arange(30) % 3] * 0.5 + 1 / 6, False),
        (np.arange(29), False),
        (np.array(["a"] * 29), False),
    ],
    ids=lambda one: f"{one.shape} {one.dtype}" if isinstance(one, np.ndarray) else "",
)
def test_labels_go_with_the_pictures(labels: np.ndarray, kept: bool) -> None:
    notes: list[str] = []
    found = list(pictures_of_arrays(PATH, {"images": STACK, "labels": labels}, notes))
    np.testing.assert_array_equal(np.stack([one.values for one in found]), STACK)
    assert [one.task for one in found] == ([number % 3 for number in range(30)] if kept else [None] * 30)
    assert ("kept for tasks" in notes[0]) == kept


def test_which_of_several_arrays_are_the_labels() -> None:
    def tasks(**arrays: np.ndarray) -> list[int | None]:
        return [one.task for one in pictures_of_arrays(PATH, arrays, [])]

    labels, ids = np.arange(30) % 3, np.arange(30)
    assert tasks(images=STACK, labels=labels, ids=ids) == labels.tolist()
    assert tasks(images=STACK, ids=ids) == [None] * 30
    assert tasks(images=STACK, fine_labels=labels, coarse_labels=labels // 2) == [None] * 30
    both = tasks(x_train=STACK[:15], y_train=labels[:15], x_test=STACK[15:], y_test=labels[15:] + 5)
    assert both == labels[:15].tolist() + (labels[15:] + 5).tolist()


def test_tables_about_pictures_are_no_pictures() -> None:
    rng = np.random.default_rng(1)
    tables = [rng.random((30, 16)), rng.random((16, 30)), rng.random((30, 5, 4)), rng.random((30, 64))]
    for table in tables:
        found, notes = _read(images=STACK, about=table)
        assert len(found) == 30, table.shape
        assert "for every picture of another array" in notes[0]


def test_the_number_of_the_picture_comes_last_in_matlab() -> None:
    for array, wanted in ((np.moveaxis(STACK, 0, -1), STACK), (np.moveaxis(COLOURS, 0, -1), LUMA), (STACK, STACK)):
        found = np.stack([one.values for one in pictures_of_arrays(PATH, {"X": array}, [], count_last=True)])
        np.testing.assert_array_equal(found, wanted)
