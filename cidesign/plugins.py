"""What other installed packages add, by the entry points in their metadata.

A file names an addition by a word alone; which code that word stands for, the installed packages say, and it is
imported only when somebody asks for it by name.  So no profile, manifest or run can bring code along.
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from cidesign.errors import InputError

T = TypeVar("T")


def known_names(own: Mapping[str, str], group: str) -> list[str]:
    """The names of a table, then those that other packages add to it; nothing is imported."""
    return [*own, *sorted({point.name for point in entry_points(group=group)} - set(own))]


def load(name: str, own: Mapping[str, str], attribute: str, group: str, kind: type[T]) -> T:
    """What a name stands for: `attribute` of its module in the table `own`, else the object of an entry point.

    A name of the table cannot be taken by another package.  Raises `InputError` for a name that is not known, that two
    packages claim, or whose package cannot be imported or gives something else than `kind`.
    """
    if name in own:
        found: object = getattr(importlib.import_module(own[name]), attribute)
    else:
        found = _imported(_entry_point(name, own, group, kind), group)
    if not isinstance(found, kind):
        raise InputError(
            f"{name}: what its package names in the entry points {group} is no {kind.__name__}; ask its authors"
        )
    return found


def _entry_point(name: str, own: Mapping[str, str], group: str, kind: type[object]) -> EntryPoint:
    points = list(entry_points(group=group, name=name))
    if not points:
        raise InputError(
            f"{name[:60]!r} is no {kind.__name__.lower()} known here; known are {', '.join(known_names(own, group))}, "
            f"and what an installed package adds as an entry point of {group}"
        )
    if len(points) > 1:
        packages = ", ".join(sorted(_package(point) for point in points))
        raise InputError(f"{name}: the packages {packages} all claim this name in {group}; uninstall all but one")
    return points[0]


def _imported(point: EntryPoint, group: str) -> object:
    try:
        return point.load()
    except Exception as error:  # another package's code may fail in any way
        raise InputError(
            f"{point.name}: the package {_package(point)} that adds it to {group} cannot be imported "
            f"({type(error).__name__}: {error}); mend or uninstall it"
        ) from error


def _package(point: EntryPoint) -> str:
    return "without a name" if point.dist is None else f"{point.dist.name} {point.dist.version}"
