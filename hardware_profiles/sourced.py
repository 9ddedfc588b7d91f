"""What every profile is made of: values that carry their source and how far they can be trusted."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")
Confidence = Literal["P", "2", "M", "T", "D"]
CONFIDENCE_MEANING = {
    "P": "read in a primary source",
    "2": "two independent sources agree",
    "M": "measured or computed",
    "T": "third-party statement only",
    "D": "chosen for this generic profile; put your own instrument's value in its place",
}

Count = Annotated[int, Field(ge=1, le=100_000_000)]
Text = Annotated[str, Field(min_length=1, max_length=500)]
ProfileId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]


class Strict(BaseModel):
    """Unknown fields, wrong types and later changes are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sourced(Strict, Generic[T]):
    """A value with where it was found and how far it can be trusted."""

    value: T
    source: Text
    confidence: Confidence
