"""Records that are read from files: the types of their fields, and what is wrong in them, said in one line."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Strict(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_T = TypeVar("_T")


def gathered(kind: type[_T], /, *sources: object, **said: object) -> _T:
    """A record or dataclass whose fields are those of the same names in `said`, or else in the first source with one.

    A source is a mapping or an object with attributes.  No default is ever taken: raises `TypeError` for a field that
    nobody has, and for something said that is no field.
    """
    declared: Any = kind
    names = declared.model_fields if issubclass(kind, BaseModel) else [one.name for one in fields(declared)]
    if not_fields := set(said).difference(names):
        raise TypeError(f"{kind.__name__} has no fields {', '.join(sorted(not_fields))}")
    return kind(**{name: said[name] if name in said else _in_first(sources, name, kind) for name in names})


def _in_first(sources: Iterable[object], name: str, kind: type) -> object:
    for source in sources:
        if isinstance(source, Mapping):
            if name in source:
                return source[name]
        elif hasattr(source, name):
            return getattr(source, name)
    raise TypeError(f"{kind.__name__}: no source has a {name}")


def shown(names: Iterable[object]) -> str:
    """Names that were found in a file, for one line of an error: without control characters, or `none`."""
    texts = [str(name) for name in names]
    return ", ".join(text if text.isprintable() else repr(text) for text in texts) or "none"


def first_problem(error: ValidationError) -> str:
    """The first thing wrong in a record, with the path of its field, and how many more there are."""
    problem = error.errors()[0]
    path = ".".join(shown([part]) for part in problem["loc"]) or "the record"
    more = f" (and {error.error_count() - 1} more problems)" if error.error_count() > 1 else ""
    return f"{path}: {problem['msg']}{more}"


def now_utc() -> str:
    """The time for records; SOURCE_DATE_EPOCH, where set, replaces it (reproducible files)."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(fixed), UTC) if fixed else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
