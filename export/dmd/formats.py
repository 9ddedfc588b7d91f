"""The export formats, and which controllers take them.

A format is one folder below `export/dmd/` and one line in `MODULES`; or it comes in a package of its own
(docs/hardware.md).
"""

from functools import cache

from cidesign.errors import InputError
from cidesign.export.dmd.base import Exporter
from cidesign.plugins import known_names, load

GROUP = "cidesign.dmd_formats"
# name -> module and object; of the formats of one controller the usual one first.
MODULES = {
    "dlpc350": "cidesign.export.dmd.dlpc350.format:EXPORTER",
    "dlpc900": "cidesign.export.dmd.dlpc900.format:EXPORTER",
    "alp": "cidesign.export.dmd.alp.format:EXPORTER",
    "hdmi": "cidesign.export.dmd.hdmi.format:EXPORTER",
}


@cache
def exporter_named(name: str) -> Exporter:
    """The exporter of a format; raises `InputError` that lists the known ones."""
    known = known_names(MODULES, GROUP) if name not in MODULES else MODULES
    if name not in known:
        raise InputError(f"unknown export format {name!r}; known are {', '.join(known)}")
    found = load(name, MODULES, GROUP, Exporter)
    if found.name != name:
        raise InputError(f"export format {name}: its package calls it {found.name!r}; both names must be the same")
    return found


def formats_for(controller: str) -> list[str]:
    """The formats that a controller takes, the usual one first: cidesign's own, else those that other packages add.

    Raises `InputError` where there is none.
    """
    own = [name for name in MODULES if controller in exporter_named(name).controllers]
    found = own or [name for name in known_names(MODULES, GROUP) if controller in exporter_named(name).controllers]
    if not found:
        raise InputError(
            f"no export format is for the controller {controller}; known formats are "
            f"{', '.join(known_names(MODULES, GROUP))}, and those that an installed package adds as an entry point of "
            f"{GROUP}"
        )
    return found
