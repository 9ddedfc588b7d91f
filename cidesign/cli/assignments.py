"""`--set NAME=VALUE`: fields of a modality that have no option of their own, and options that it does not have."""

import tomllib
from collections.abc import Mapping
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


def assigned_texts(assignments: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE words as names and texts; raises `UsageError` for what is no such word, and for a name given twice."""
    fields: dict[str, str] = {}
    for text in assignments:
        name, equals, raw = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not raw.strip():
            raise click.UsageError(f"--set {text}: write NAME=VALUE, for example te_ms=5")
        if name in fields:
            raise click.UsageError(f"--set {text}: {name} is given twice")
        fields[name] = raw.strip()
    return fields


def assigned(assignments: tuple[str, ...]) -> dict[str, object]:
    """NAME=VALUE words as a dictionary; values are TOML (numbers, true, false), anything else is text."""
    fields: dict[str, object] = {}
    for name, raw in assigned_texts(assignments).items():
        try:
            fields[name] = tomllib.loads(f"value = {raw}")["value"]
        except tomllib.TOMLDecodeError:
            fields[name] = raw
    return fields


def options(named: Mapping[str, object], *more: str) -> dict[str, Any]:
    """Settings for a verb's keywords; raises `InputError` for names that are options of the command, among them
    `more`."""
    for name in named:
        if name in TAKEN or name in more:
            raise InputError(f"--set {name}: is an option of its own; write --{name.replace('_', '-')}")
    return dict(named)
