"""What other installed packages add, by the entry points in their metadata.

A file names an addition by a word alone; which code that word stands for, a table of cidesign or the installed packages
say, and it is imported only when somebody asks for it by name.  So no profile, manifest or run can bring code along.
Both say it in the same words: `module:object`.
"""

import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import TypeVar

from cidesign.errors import InputError

T = TypeVar("T")


def known_names(own: Mapping[str, str], group: str) -> list[str]:
    """The names of a table, then those that other packages add to it; nothing is imported."""
    return [*own, *sorted(_added(group).names - set(own))]


def load(name: str, own: Mapping[str, str], group: str, kind: type[T]) -> T:
    """The object that a name stands for, in the table `own` or in the entry points of a group.

    Raises `InputError` for a name that is not known, that two packages claim (a name of the table is claimed by
    cidesign), or whose package cannot be imported or gives something else than a `kind`.
    """
    point = _entry_point(name, own, group, kind)
    found = _imported(point, group)
    if not isinstance(found, kind):
        raise _no_such(point, group, kind)
    return found


def load_class(name: str, own: Mapping[str, str], group: str, kind: type[T]) -> type[T]:
    """The class that a name stands for, a subclass of `kind`; raises `InputError` as `load` does."""
    point = _entry_point(name, own, group, kind)
    found = _imported(point, group)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise _no_such(point, group, kind)
    return found


def _entry_point(name: str, own: Mapping[str, str], group: str, kind: type[object]) -> EntryPoint:
    # A package that is on the path twice claims a name once.
    points = {point.value: point for point in _added(group).select(name=name)}
    if name in own:
        points.setdefault(own[name], EntryPoint(name, own[name], group))
    if not points:
        raise InputError(
            f"{name[:60]!r} is no {kind.__name__.lower()} known here; known are {', '.join(known_names(own, group))}, "
            f"and what an installed package adds as an entry point of {group}"
        )
    if len(points) > 1:
        packages = ", ".join(sorted(_package(point) for point in points.values()))
        raise InputError(f"{name}: the packages {packages} all claim this name in {group}; uninstall all but one")
    return next(iter(points.values()))


def _added(group: str) -> EntryPoints:
    """The entry points of a group in all installed packages."""
    return _read(group, tuple((place, _changed_ns(place or os.curdir)) for place in sys.path))


@lru_cache(maxsize=32)
def _read(group: str, places: tuple[tuple[str, int], ...]) -> EntryPoints:
    """Read again when packages came to the places where Python looks, or left: the metadata of all of them takes long.

    `places` are known by the time at which each was last changed.
    """
    return entry_points(group=group)


def _changed_ns(place: str) -> int:
    try:
        return os.stat(place).st_mtime_ns
    except OSError:  # Python looks in places that do not exist, too
        return 0


def _imported(point: EntryPoint, group: str) -> object:
    if point.dist is None:  # of a table, whose modules are sound
        return point.load()
    try:
        return point.load()
    except Exception as error:  # another package's code may fail in any way
        raise InputError(
            f"{point.name}: the package {_package(point)} that adds it to {group} cannot be imported "
            f"({type(error).__name__}: {error}); mend or uninstall it"
        ) from error


def _no_such(point: EntryPoint, group: str, kind: type[object]) -> InputError:
    return InputError(
        f"{point.name}: {point.value}, which the package {_package(point)} adds to {group}, is no {kind.__name__}; ask "
        "its authors"
    )


def _package(point: EntryPoint) -> str:
    return "cidesign" if point.dist is None else f"{point.dist.name} {point.dist.version}"
