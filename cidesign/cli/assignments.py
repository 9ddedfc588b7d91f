"""`--set NAME=VALUE`: fields of a modality that have no option of their own, and options that it does not have."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from cidesign.errors import InputError

set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the run's modality that has no option; a wrong name lists them.",
)


# Keywords of the verbs that are no settings of a modality.
TAKEN = (
    "run",
    "capture",
    "out",
    "calibration",
    "calibration_folder",
    "reader",
    "faults",
    "scene",
    "force",
    "say",
    "accept_failed",
)


def assigned(assignments: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE words as a dictionary; values are TOML (numbers, true, false), anything else is text."""
    import tomllib

    fields: dict[str, Any] = {}
    for text in assignments:
        name, equals, raw = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not raw.strip():
            raise click.UsageError(f"--set {text}: write NAME=VALUE, for example te_ms=5")
        if name in fields:
            raise click.UsageError(f"--set {text}: {name} is given twice")
        try:
            fields[name] = tomllib.loads(f"value = {raw.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            fields[name] = raw.strip()
    return fields


def options(named: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """Settings for a verb's keywords; raises `InputError` for names that are options of the command, among them
    `more`."""
    for name in named:
        if name in TAKEN or name in more:
            raise InputError(f"--set {name}: is an option of its own; write --{name.replace('_', '-')}")
    return dict(named)


def keyword_values(
    function: Callable[..., Any],
    assignments: tuple[str, ...],
    taken: tuple[str, ...],
    stored: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """The assignments as keyword arguments of `function`, less those that are `taken` by options.

    `stored` are values of a file, which the assignments overrule.  Raises `InputError` for a name that the function
    does not have, or a value of another type.
    """
    known = {
        name: str(parameter.annotation)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in taken
    }
    values = {}
    for name, value in {**stored, **assigned(assignments)}.items():
        if name not in known:
            raise InputError(f"--set {name}: no such setting here; known are {', '.join(known)}")
        values[name] = _fitting(name, value, known[name])
    return values


def _fitting(name: str, value: Any, annotation: str) -> Any:
    is_bool = isinstance(value, bool)
    if "bool" in annotation and is_bool:
        return value
    if "float" in annotation and isinstance(value, (int, float)) and not is_bool:
        return float(value)
    if "int" in annotation and isinstance(value, int) and not is_bool:
        return value
    if annotation.split("|")[0].strip() in ("str", "<class 'str'>") and isinstance(value, str):
        return value
    if "Path" in annotation and isinstance(value, str):
        return Path(value)
    if "str" in annotation and isinstance(value, (str, int)) and not is_bool:
        return str(value)  # a name may be a number
    wanted = annotation.split("|")[0].strip().removeprefix("<class '").removesuffix("'>")
    raise InputError(f"--set {name}={value}: a value of the kind {wanted} is needed")


def refuse_options(context: click.Context, allowed: tuple[str, ...], modality: str) -> None:
    """Raise `UsageError` for an option that was typed but means nothing for this modality."""
    for name in context.params:
        typed = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if typed and name not in allowed:
            raise click.UsageError(f"--{name.replace('_', '-')} means nothing for a run of the modality {modality}")
