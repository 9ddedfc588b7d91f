"""Options given by name: the names and types are those of a dataclass, and what does not fit is said in one line."""

from collections.abc import Mapping
from dataclasses import fields
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from cidesign.errors import InputError

_M = TypeVar("_M", bound=BaseModel)


def names_of(record: type[Any]) -> list[str]:
    """The options that a dataclass has, in its order."""
    return [field.name for field in fields(record)]


def fitting(record: type[Any], values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The values as arguments of a dataclass; whole numbers become floats, and names may be numbers.

    `what` is said to have no such field (`an order`).  Raises `InputError` for a name that it does not have, with
    those that it has, and for a value of another type.
    """
    known, types = names_of(record), get_type_hints(record)
    for name in values:
        if name not in known:
            raise InputError(f"--set {name}: {what} has no such field; known are {', '.join(known) or 'none'}")
    return {name: _fitting(name, value, types[name]) for name, value in values.items()}


def read_options(model: type[_M], values: Mapping[str, Any], what: str) -> _M:
    """The options of a strict model by name; `what` is said to have no such one (`a file of patterns`).

    Raises `InputError`, one line, for a name that there is not, with those that there are, and for a wrong value.
    """
    for name in values:
        if name not in model.model_fields:
            raise InputError(
                f"--set {name}: {what} leaves no such thing open; known are {', '.join(model.model_fields)}"
            )
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise InputError(
            f"--set {name}={problem['input']!r}: {problem['msg'][:1].lower()}{problem['msg'][1:]}"
        ) from error


def _fitting(name: str, value: Any, hint: Any) -> Any:
    allowed = [_plain(part) for part in get_args(hint) or (hint,)] if get_origin(hint) is not Literal else [str]
    if type(value) in allowed or (value is None and NoneType in allowed):
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and float in allowed:
        return float(value)
    if number and str in allowed and isinstance(value, int):
        return str(value)
    wanted = next(one for one in allowed if one is not NoneType)
    raise InputError(f"--set {name}={value}: a value of the kind {wanted.__name__} is needed")


def _plain(hint: Any) -> Any:
    """The type that a part of a hint stands for: words, where it lists them."""
    return str if get_origin(hint) is Literal else hint
