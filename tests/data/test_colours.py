"""Pictures in colour: what is in the file, upright, and crops that keep their colours apart."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cidesign.data.colours import measured_colours, read_colours, training_colours
from cidesign.errors import FileError, InputError


def draw(path: Path, seed: int, size: tuple[int, int] = (40, 56)) -> np.ndarray:
    """A picture whose channels have nothing in common."""
    rng = np.random.default_rng(seed)
    values = np.stack([np.kron(rng.integers(0, 255, (5, 7)), np.ones((8, 8))) for _ in range(3)], axis=-1)
    picture = values[: size[0], : size[1]].astype(np.uint8)
    Image.fromarray(picture).save(path)
    return picture


def test_a_picture_is_read_as_it_is_stored(tmp_path: Path) -> None:
    wanted = draw(tmp_path / "a.png", 1)
    np.testing.assert_array_equal(read_colours(tmp_path / "a.png"), wanted)
    Image.fromarray(wanted[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_colours(tmp_path / "grey.png"), np.repeat(wanted[..., :1], 3, axis=2))


def test_a_turned_picture_is_upright(tmp_path: Path) -> None:
    picture = draw(tmp_path / "a.png", 1)
    tags = Image.Exif()
    tags[274] = 6
    Image.fromarray(picture).save(tmp_path / "turned.png", exif=tags)
    np.testing.assert_array_equal(read_colours(tmp_path / "turned.png"), np.rot90(picture, -1))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.arange(3600, dtype=np.uint16).reshape(60, 60)).save(tmp_path / "deep.png")
    with pytest.raises(FileError, match="more than 8 bits"):
        read_colours(tmp_path / "deep.png")
    draw(tmp_path / "a.png", 1)
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:100])
    with pytest.raises(FileError, match=r"cannot be read|is it cut off"):
        read_colours(tmp_path / "broken.png")
    with pytest.raises(FileError, match="convert it to PNG"):
        read_colours(tmp_path / "a.npy")


def test_crops_are_parts_of_their_picture_in_its_colours(tmp_path: Path) -> None:
    """Red, green and blue are brightest in different thirds: averaged crops keep each in its channel."""
    picture = np.full((48, 48, 3), 40, dtype=np.uint8)
    for channel in range(3):
        picture[:, 16 * channel : 16 * (channel + 1), channel] = 200
    Image.fromarray(picture).save(tmp_path / "a.png")
    found = measured_colours(tmp_path / "a.png", 16, 6, 0, frozenset())
    assert found.images.shape == (6, 3, 16, 16)
    # In every pixel one channel is bright or two share its place; the three together never change.
    np.testing.assert_allclose(found.images.astype(int).sum(axis=1), 280, atol=2)
    assert min(found.images[:, channel].max() for channel in range(3)) > 150


def test_validation_is_of_other_pictures_and_trained_ones_are_left_out(tmp_path: Path) -> None:
    for seed in range(3):
        draw(tmp_path / f"{seed}.png", seed)
    found = training_colours(tmp_path, 16, 12, 4, 1)
    assert (found.train.shape, found.validation.shape) == ((12, 3, 16, 16), (4, 3, 16, 16))
    measured = measured_colours(tmp_path, 16, 6, 1, found.trained)
    assert measured.left_out == len(found.trained) == 3 - (measured.pictures - measured.left_out)
    again = training_colours(tmp_path, 16, 12, 4, 1)
    np.testing.assert_array_equal(again.train, found.train)


def test_one_picture_is_not_enough_to_train(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 1)
    with pytest.raises(InputError, match="give two or more"):
        training_colours(tmp_path, 16, 4, 2, 1)
