"""The export formats, and which controllers take them."""

from cidesign.errors import InputError
from cidesign.export.dmd.alp import read as alp_reader
from cidesign.export.dmd.alp import write as alp
from cidesign.export.dmd.base import Exporter
from cidesign.export.dmd.dlpc350 import read as dlpc350_reader
from cidesign.export.dmd.dlpc350 import write as dlpc350
from cidesign.export.dmd.dlpc900 import read as dlpc900_reader
from cidesign.export.dmd.dlpc900 import write as dlpc900
from cidesign.export.dmd.hdmi import read as hdmi_reader
from cidesign.export.dmd.hdmi import write as hdmi

EXPORTERS: dict[str, Exporter] = {
    exporter.name: exporter
    for exporter in (
        Exporter(
            name="dlpc350",
            controllers=("dlpc350",),
            plane_order="planes 0-7 = G0-G7, 8-15 = R0-R7, 16-23 = B0-B7",
            write=dlpc350.write_files,
            read=dlpc350_reader.read,
        ),
        Exporter(
            name="dlpc900",
            controllers=("dlpc900",),
            plane_order="bytes of a pixel: planes 16-23, 8-15, 0-7",
            write=dlpc900.write_files,
            read=dlpc900_reader.read,
        ),
        Exporter(
            name="alp",
            controllers=("dlpc410",),
            plane_order="each frame alone, most significant plane first",
            write=alp.write_files,
            read=alp_reader.read,
        ),
        Exporter(
            name="hdmi",
            controllers=("dlpc350",),
            plane_order="planes 0-7 = G0-G7, 8-15 = R0-R7, 16-23 = B0-B7",
            write=hdmi.write_files,
            read=hdmi_reader.read,
        ),
    )
}


def exporter_named(name: str) -> Exporter:
    """The exporter of a format; raises `InputError` that lists the known ones."""
    if name not in EXPORTERS:
        raise InputError(f"unknown export format {name!r}; known are {', '.join(EXPORTERS)}")
    return EXPORTERS[name]


def formats_for(controller: str) -> list[str]:
    """The formats that a controller takes, the usual one first."""
    return [name for name, exporter in EXPORTERS.items() if controller in exporter.controllers]
