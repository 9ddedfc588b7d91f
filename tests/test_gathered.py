"""Records and dataclasses made of one another by the names of their fields."""

from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from cidesign.records import Finite, Strict, gathered


@dataclass(frozen=True)
class Place:
    """A dataclass with a default that must never be taken."""

    down_px: float
    right_px: float
    kind: str = "usual"


class PlaceRecord(Strict):
    """Its record, with one field more."""

    kind: str
    down_px: Finite
    right_px: Finite
    unit: str = "px"


def test_there_and_back() -> None:
    place = Place(1.5, -2.0, "own")
    record = gathered(PlaceRecord, place, unit="mm")
    assert record.model_dump() == {"kind": "own", "down_px": 1.5, "right_px": -2.0, "unit": "mm"}
    assert gathered(Place, record) == place


def test_what_is_said_goes_before_the_first_source_and_that_before_the_next() -> None:
    first, second = {"down_px": 3.0}, Place(1.0, 2.0, "second")
    assert gathered(Place, first, second, kind="said") == Place(3.0, 2.0, "said")
    assert gathered(Place, second, first) == second


def test_nothing_is_defaulted_and_nothing_is_lost() -> None:
    with pytest.raises(TypeError, match="Place: no source has a kind"):
        gathered(Place, {"down_px": 1.0, "right_px": 2.0})
    with pytest.raises(TypeError, match="Place has no fields left_px"):
        gathered(Place, Place(1.0, 2.0), left_px=3.0)
    with pytest.raises(ValidationError):
        gathered(PlaceRecord, Place(float("nan"), 0.0), unit="px")
