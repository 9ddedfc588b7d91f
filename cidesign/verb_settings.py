"""The settings of a verb: one frozen model for each, given by name from the command line, a file or Python."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from cidesign.errors import InputError


def _as_name(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_path(value: object) -> object:
    return Path(value) if isinstance(value, str) else value


# A name may be a number, and a path is typed as text.
Name = Annotated[str, BeforeValidator(_as_name)]
InputPath = Annotated[Path, BeforeValidator(_as_path)]

_KINDS = {"string": "str", "path": "Path", "float": "float", "int": "int", "bool": "bool", "is": "Path"}


class VerbSettings(BaseModel):
    """Settings of one verb of one modality: named, typed, and within their ranges.

    Raises `InputError` for an unknown name, a value of another type, or one out of its range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def __init__(self, **values: Any) -> None:
        kind = type(self)
        for name in values:
            if name not in kind.model_fields:
                known = ", ".join(kind.model_fields) or "none"
                raise InputError(f"--set {name}: no such setting here; known are {known}")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_words(kind, error)) from error


def _words(kind: type[VerbSettings], error: ValidationError) -> str:
    problem = error.errors()[0]
    name, value = str(problem["loc"][0]), problem["input"]
    if problem["type"].startswith(("greater_than", "less_than")):
        return f"setting {name} {value}: {_range(kind, name)} is possible"
    if problem["type"] == "finite_number":
        return f"setting {name} {value}: a finite number is needed"
    wanted = _KINDS.get(problem["type"].split("_")[0])
    if wanted is None:
        return f"--set {name}={value}: {problem['msg']}"
    return f"--set {name}={value}: a value of the kind {wanted} is needed"


def _range(kind: type[VerbSettings], name: str) -> str:
    """`from 0 to 5`, `0 or more`, `more than 0`: what the field's limits allow."""
    found: dict[str, float] = {}
    for limit in _limits(kind.model_fields[name].metadata, kind.model_fields[name].annotation):
        for side in ("ge", "gt", "le", "lt"):
            value = getattr(limit, side, None)
            if value is not None:
                found[side] = value
    low, high = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
    if high is None:
        return f"{low:g} or more" if "ge" in found else f"more than {low:g}"
    below = f"{high:g}" if "le" in found else f"below {high:g}"
    if low is None:
        return f"at most {below}"
    return f"from {low:g} to {below}" if "ge" in found else f"more than {low:g}, to {below}"


def _limits(metadata: list[Any], annotation: Any) -> list[Any]:
    """The limits of a field, also of one that may be None."""
    inner = [part for one in getattr(annotation, "__args__", ()) for part in getattr(one, "__metadata__", ())]
    return [deeper for one in (*metadata, *inner) for deeper in (one, *getattr(one, "metadata", ()))]
