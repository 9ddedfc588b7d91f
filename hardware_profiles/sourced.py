"""What every profile is made of: values that carry their source and how far they can be trusted."""

from functools import cached_property
from typing import Annotated, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from cidesign.files import canonical_json, sha256_bytes

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


class HardwareProfile(Strict):
    """What every profile says; `kind` tells the others of its fields."""

    # Fields on which no design depends, and that profiles of older runs do not name.
    outside_digest: ClassVar[frozenset[str]] = frozenset()

    schema_version: Literal[1]
    kind: str
    id: ProfileId
    name: Text
    summary: Text

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the profile's canonical JSON; designs and exports name the profile by it."""
        return sha256_bytes(canonical_json(self.model_dump(mode="json", exclude=set(self.outside_digest))))
