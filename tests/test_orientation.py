"""The 8 orientations are the symmetry group of the square, and act on images as it does."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError, model_validator

from cidesign.orientation import NAMES, ORIENTATIONS, Orientation, OrientationOptions, StoredOrientation, in_one_field

# No two of its orientations are equal, and its sides differ.
IMAGE = np.array([[1, 2, 3], [4, 0, 0]], dtype=np.uint8)
AT_ALL = {
    "upright": IMAGE,
    "left and right exchanged": np.fliplr(IMAGE),
    "top and bottom exchanged": np.flipud(IMAGE),
    "turned by 180 degrees": np.rot90(IMAGE, 2),
    "rows and columns exchanged": IMAGE.T,
    "turned by 90 degrees clockwise": np.rot90(IMAGE, -1),
    "turned by 90 degrees counter-clockwise": np.rot90(IMAGE, 1),
    "rows and columns exchanged and turned by 180 degrees": np.rot90(IMAGE.T, 2),
}


@pytest.mark.parametrize("one", ORIENTATIONS)
def test_the_text_says_what_happens_to_an_image(one: Orientation) -> None:
    oriented = one.apply(IMAGE)
    assert np.array_equal(oriented, AT_ALL[one.text])
    assert oriented.dtype == IMAGE.dtype
    assert oriented.flags.c_contiguous
    # Of a stack, every image is so oriented.
    stack = np.stack([IMAGE, IMAGE + 10])[None]
    assert np.array_equal(one.apply(stack), np.stack([oriented, oriented + 10])[None])


def test_all_eight_differ() -> None:
    assert {one.text for one in ORIENTATIONS} == set(AT_ALL)
    assert len({(one.apply(IMAGE).shape, one.apply(IMAGE).tobytes()) for one in ORIENTATIONS}) == 8


@pytest.mark.parametrize(("first", "following"), list(product(ORIENTATIONS, repeat=2)))
def test_the_law_of_composition(first: Orientation, following: Orientation) -> None:
    both = first.then(following)
    assert both in ORIENTATIONS
    assert np.array_equal(both.apply(IMAGE), following.apply(first.apply(IMAGE)))
    assert both.mirrored == (first.mirrored != following.mirrored)
    assert both.inverse == following.inverse.then(first.inverse)
    for third in ORIENTATIONS:
        assert both.then(third) == first.then(following.then(third))


@pytest.mark.parametrize("one", ORIENTATIONS)
def test_the_inverse_undoes(one: Orientation) -> None:
    assert np.array_equal(one.inverse.apply(one.apply(IMAGE)), IMAGE)
    assert one.then(one.inverse).identity
    assert one.inverse.then(one).identity
    assert one.inverse.inverse == one
    assert one.then(Orientation()) == one == Orientation().then(one)


@pytest.mark.parametrize(("quarters", "mirrored"), list(product(range(4), (False, True))))
def test_quarter_turns_are_clockwise_and_follow_the_mirroring(quarters: int, mirrored: bool) -> None:
    one = Orientation.turned(quarters, mirrored)
    assert np.array_equal(one.apply(IMAGE), np.rot90(np.fliplr(IMAGE) if mirrored else IMAGE, -quarters))
    assert (one.quarter_turns, one.mirrored) == (quarters, mirrored)
    assert Orientation.turned(quarters + 4, mirrored) == Orientation.turned(quarters - 4, mirrored) == one


@pytest.mark.parametrize("one", ORIENTATIONS)
def test_options_are_the_same(one: Orientation) -> None:
    assert OrientationOptions(**vars(one)).orientation == one


class _Record(BaseModel):
    orientation: StoredOrientation

    @model_validator(mode="before")
    @classmethod
    def _earlier(cls, raw: Any) -> Any:
        return in_one_field(raw, ("transposed", "rows_reversed", "columns_reversed"))


@pytest.mark.parametrize("one", ORIENTATIONS)
def test_records_are_read_as_written_and_in_their_earlier_form(one: Orientation) -> None:
    written = _Record(orientation=one).model_dump(mode="json")
    assert written == {"orientation": vars(one)}
    assert _Record.model_validate(written).orientation == one
    earlier = dict(zip(("transposed", "rows_reversed", "columns_reversed"), vars(one).values(), strict=True))
    assert _Record.model_validate(earlier).orientation == one


@pytest.mark.parametrize(
    ("orientation", "said"),
    [
        ({"transpose": True, "flip_vertical": False}, "flip_horizontal is missing"),
        ({**dict.fromkeys(NAMES, False), "turn": 1}, "turn"),
        ({**dict.fromkeys(NAMES, False), "transpose": "sideways"}, "transpose"),
        (None, "orientation"),
    ],
)
def test_a_damaged_orientation_is_refused(orientation: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        _Record.model_validate({"orientation": orientation})
