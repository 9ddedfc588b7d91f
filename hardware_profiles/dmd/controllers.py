"""The controllers that a profile may name.

A controller is one folder below `cidesign/device/`, one below `export/dmd/`, and one line in `MODULES`; or it comes in
a package of its own (docs/hardware.md).  The table holds words alone and stands below everything that is in it, so
that a profile is refused by what reads it, without loading a driver.
"""

import difflib
from pathlib import Path

from cidesign.errors import FileError
from cidesign.plugins import known_names

GROUP = "cidesign.controllers"
# name in profiles -> module and object (see `cidesign/device/controllers.py`).
MODULES = {
    "dlpc900": "cidesign.device.dlpc900.controller:CONTROLLER",
    "dlpc350": "cidesign.device.dlpc350.controller:CONTROLLER",
    "dlpc410": "cidesign.device.dlpc410.controller:CONTROLLER",
}


def require_known(name: str, path: Path) -> None:
    """Raise `FileError` when a profile names a controller that neither cidesign nor an installed package has."""
    if name in MODULES:
        return
    known = known_names(MODULES, GROUP)
    if name in known:
        return
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}? " if near else ""
    raise FileError(
        f"{path}: controller.value: {name[:60]!r} is not known; {hint}known are {', '.join(known)}; a controller of a "
        "package of its own is known where that package is installed"
    )
