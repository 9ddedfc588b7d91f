"""The kinds of profiles, and what they have in common: every number with its unit, source and confidence."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cidesign.hardware_profiles.sourced import HardwareProfile as HardwareProfile
from cidesign.hardware_profiles.sourced import Sourced
from cidesign.plugins import load_class

SCHEMA_VERSION = 1

GROUP = "cidesign.profile_kinds"
# kind in profiles -> module and class: each folder here is a kind; imported when it is asked for.
KINDS = {
    path.parent.name: f"cidesign.hardware_profiles.{path.parent.name}.schema:PROFILE"
    for path in sorted(Path(__file__).parent.glob("*/schema.py"))
}
# Of field names, the longest ending first; what has no unit in its name is a count or a word.
_UNITS = {
    "_t_per_m_per_s": "T/m/s",
    "_mt_per_m": "mT/m",
    "_t_per_s": "T/s",
    "_um": "um",
    "_us": "us",
    "_ns": "ns",
    "_nm": "nm",
    "_mm": "mm",
    "_px": "px",
    "_hz": "Hz",
    "_bytes": "bytes",
    "_t": "T",
    "_m": "m",
}


def profile_type(kind: str) -> type[HardwareProfile]:
    """The class of profiles of a kind; raises `InputError` for one that nobody, or more than one package, offers."""
    return load_class(kind, KINDS, GROUP, HardwareProfile)


def unit_of(field: str) -> str:
    """The unit that a field name carries, for display: `pitch_x_um` -> `um`; empty for counts."""
    return next((unit for ending, unit in _UNITS.items() if field.endswith(ending)), "")


def sourced_values(profile: HardwareProfile) -> list[tuple[str, Sourced[Any]]]:
    """Every sourced value of a profile with its dotted path, in file order."""
    found: list[tuple[str, Sourced[Any]]] = []

    def visit(path: str, value: object) -> None:
        if isinstance(value, Sourced):
            found.append((path, value))
        elif isinstance(value, BaseModel):
            for name in type(value).model_fields:
                visit(f"{path}.{name}" if path else name, getattr(value, name))
        elif isinstance(value, dict):
            for key, item in value.items():
                visit(f"{path}.{key}", item)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                visit(f"{path}[{index}]", item)

    visit("", profile)
    return found
