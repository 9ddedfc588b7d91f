"""Classes of pictures: from folders, labels and names; kept for validation in their share; pictures taken whole."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cidesign.data.classes import classes_of, folder_labels, shared_out, split_by_class
from cidesign.data.folders import Taking, measure_folder, read_folder
from cidesign.data.picture_arrays import pictures_of_arrays
from cidesign.errors import InputError

TAKEN = Taking(whole=True, by_class=True)


def _picture(value: int, side: int = 16) -> NDArray[np.uint8]:
    """Black but for a block of one value, which tells it from all others."""
    picture = np.zeros((side, side), np.uint8)
    picture[2:-2, 2:-2] = value
    return picture


def _write(folder: Path, classes: dict[str, int], suffix: str = ".png") -> None:
    """Pictures of classes; the value of each is 50 for the first class, and 10 more for each of the next."""
    for number, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for one in range(count):
            picture = _picture(50 + 10 * number)
            picture[0, 0] = one
            Image.fromarray(picture).save(folder / name / f"{one}{suffix}")


def test_names_and_numbers() -> None:
    found = classes_of([10, 2, 2, -1, 10])
    assert found.names == ("-1", "2", "10")
    assert found.numbers.tolist() == [2, 1, 1, 0, 2]
    assert classes_of(["img10", "img2", "Img3", "img2"]).names == ("img2", "Img3", "img10")


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["cat/1.png", "dog/a/2.png", "cat/3.png"], ["cat", "dog", "cat"]),
        (["train/cat/1.png", "test/dog/2.png"], ["cat", "dog"]),
        (["Training/0/1.png", "valid/1/2.png", "test/1/2.png"], ["0", "1", "1"]),
        # A class can be called so, among others.
        (["test/1.png", "real/2.png"], ["test", "real"]),
        (["cat/1.png", "2.png"], None),
        (["train/1.png", "test/2.png"], None),
    ],
)
def test_the_folder_of_a_picture_is_its_class(tmp_path: Path, files: Sequence[str], wanted: list[str] | None) -> None:
    assert folder_labels(tmp_path, [tmp_path / name for name in files]) == wanted


def test_a_file_has_no_folders(tmp_path: Path) -> None:
    (tmp_path / "a.npz").touch()
    assert folder_labels(tmp_path / "a.npz", [tmp_path / "a.npz"]) is None


def test_every_class_is_kept_for_validation_in_its_share() -> None:
    labels = [0] * 25 + [1] * 3 + [2] * 10
    train, validation = split_by_class(Path("data"), [[index] for index in range(38)], classes_of(labels))
    assert sorted(train + validation) == list(range(38))
    assert np.bincount(np.array(labels)[validation]).tolist() == [2, 1, 1]
    assert np.bincount(np.array(labels)[train]).tolist() == [23, 2, 9]


def test_pictures_of_one_scene_stay_together() -> None:
    groups = [[0, 1, 2], [3], [4, 5]]
    train, validation = split_by_class(Path("data"), [*groups, [6], [7]], classes_of([0] * 6 + [1] * 2))
    assert validation == [4, 5, 7]
    assert train == [0, 1, 2, 3, 6]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 0, 1], "data: class 1 has one picture; each needs two or more"),
        (list(range(9)), r"data: class 0 \(and 8 more\) has one picture"),
        (["cat"] * 5, "data: all pictures are of one class, cat; at least two are needed"),
        (list(range(1001)) * 2, "data: 1001 classes; at most 1000 are told apart"),
    ],
)
def test_classes_that_cannot_be_learnt_are_refused(labels: list[int | str], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        split_by_class(Path("data"), [[index] for index in range(len(labels))], classes_of(labels))
    assert "\n" not in str(caught.value)


def test_any_first_part_holds_every_class_in_its_share() -> None:
    numbers = np.array([0] * 60 + [1] * 30 + [2] * 10)
    order = shared_out(numbers, np.random.default_rng(1))
    assert sorted(order.tolist()) == list(range(100))
    for count in (10, 20, 50, 100):
        wanted = np.array([0.6, 0.3, 0.1]) * count
        assert np.abs(np.bincount(numbers[order[:count]], minlength=3) - wanted).max() <= 1
    assert not np.array_equal(order, shared_out(numbers, np.random.default_rng(2)))


def test_pictures_taken_whole_stay_with_their_class(tmp_path: Path) -> None:
    """Every image is one picture with all of it, as often as the others of its kind, and validated on once."""
    _write(tmp_path, {"b": 20, "a": 10, "c": 3})
    found = read_folder(tmp_path, 16, 120, 500, 1, TAKEN)
    assert found.classes == ("a", "b", "c")
    assert found.labels is not None
    shares = np.bincount(found.labels[0]) - 120 / 29 * np.array([9, 18, 2])
    assert np.abs(shares).max() < 2
    assert np.bincount(found.labels[1]).tolist() == [1, 2, 1]
    for images, labels in zip((found.train, found.validation), found.labels, strict=True):
        values = np.array([60, 50, 70])[labels]
        np.testing.assert_array_equal(
            images[:, 2:-2, 2:-2], np.broadcast_to(values[:, None, None], (len(values), 12, 12))
        )
        assert images[:, 1].max() == 0
    assert len({(image.tobytes()) for image in found.validation}) == 4
    counts = np.unique(found.train.reshape(120, -1), axis=0, return_counts=True)[1]
    assert len(counts) == 29
    assert counts.max() - counts.min() <= 1
    assert "29 pictures are trained on, each about 4.14 times an epoch" in found.notes
    (uneven,) = [note for note in found.notes if note.startswith("classes differ")]
    assert uneven.startswith(
        "classes differ in size: b has 20 pictures, c has 3; whoever always says b is right for 60.6%"
    )
    again = read_folder(tmp_path, 16, 120, 500, 1, TAKEN)
    assert again.train.tobytes() == found.train.tobytes()
    fewer = read_folder(tmp_path, 16, 10, 3, 1, TAKEN)
    assert (len(fewer.train), len(fewer.validation)) == (10, 3)
    assert "10 of 29 pictures are trained on; `images` asks for no more" in fewer.notes


def test_the_middle_of_long_pictures_is_taken(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            picture = np.full((16, 40), 9, np.uint8)
            picture[:, 12:28] = _picture(200)
            picture[0, 0] = number
            Image.fromarray(picture).save(tmp_path / name / f"{number}.png")
    found = read_folder(tmp_path, 16, 4, 4, 1, TAKEN)
    np.testing.assert_array_equal(found.train[0], _picture(200))
    assert "4 of 4 pictures are not square: their middle square is taken" in found.notes


def test_measured_pictures_have_their_classes_too(tmp_path: Path) -> None:
    _write(tmp_path, {"a": 4, "b": 2})
    found = measure_folder(tmp_path, 16, 100, 1, frozenset(), TAKEN)
    assert (len(found.images), found.pictures, found.classes) == (6, 6, ("a", "b"))
    assert found.labels is not None
    np.testing.assert_array_equal(found.images[:, 5, 5], np.array([50, 60])[found.labels])
    assert sorted(found.labels.tolist()) == [0, 0, 0, 0, 1, 1]


def test_without_asking_there_are_no_classes(tmp_path: Path) -> None:
    _write(tmp_path, {"a": 4, "b": 1})
    found = read_folder(tmp_path, 16, 8, 4, 1)
    assert (found.labels, found.classes) == (None, ())
    assert measure_folder(tmp_path, 16, 8, 1, frozenset()).labels is None


def test_names_of_labels() -> None:
    """A list of names stands for the labels from 0 on; words for each picture are labels themselves."""
    pictures = np.stack([_picture(50 + number) for number in range(12)])
    numbers, words = np.arange(12) % 3, np.array(["cat", "dog", "cat"] * 4)

    def tasks(**others: NDArray[np.generic]) -> list[int | str | None]:
        return [one.task for one in pictures_of_arrays(Path("a.npz"), {"images": pictures, **others}, [])]

    assert tasks(labels=numbers) == [0, 1, 2] * 4
    assert tasks(labels=numbers, class_names=np.array(["x", "y", "z"])) == ["x", "y", "z"] * 4
    assert tasks(labels=numbers, class_names=np.array(["x", "y"])) == [0, 1, 2] * 4
    assert tasks(labels=numbers, class_names=np.array(["x", "y", "y"])) == [0, 1, 2] * 4
    assert tasks(labels=words) == ["cat", "dog", "cat"] * 4
    assert tasks(names=np.array([f"{number}.png" for number in range(12)])) == [None] * 12
