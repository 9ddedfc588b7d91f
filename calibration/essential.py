"""What a verdict rests on: the checks without which nobody knows whether an operator is that of the bench.

A check of one of these names that is `not checked` leaves a calibration, or a result, *not verified*.  Each folder here
says itself which of its checks they are: its `ESSENTIAL`.
"""

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Essential(NamedTuple):
    """`target`: the calibration target that the check takes; `unseen`: what goes unseen without it; `or_else`: checks
    that show it as well; `earlier`: names that the check has in older calibrations."""

    target: str
    unseen: str
    or_else: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()


Essentials = Mapping[str, Essential]


@cache
def essentials() -> Essentials:
    """The essential checks of all folders, by name; raises `ValueError` where two claim one name."""
    found: dict[str, Essential] = {}
    for path in sorted(Path(__file__).parent.glob("*/__init__.py")):
        own: Essentials = importlib.import_module(f"cidesign.calibration.{path.parent.name}").ESSENTIAL
        if shared := set(own) & set(found):
            raise ValueError(f"{path}: {', '.join(sorted(shared))}: another folder has an essential check of that name")
        found |= own
    return found


def essential_check(name: str) -> tuple[str, Essential] | None:
    """An essential check by its name or an earlier one, with its name of today; None for checks that are not."""
    known = essentials()
    if name in known:
        return name, known[name]
    return next(((today, one) for today, one in known.items() if name in one.earlier), None)
