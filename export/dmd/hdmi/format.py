"""Frames for the HDMI input of a DLPC350, with their timing."""

from cidesign.export.dmd.base import Exporter
from cidesign.export.dmd.hdmi.read import read
from cidesign.export.dmd.hdmi.write import write_files

EXPORTER = Exporter(
    name="hdmi",
    controllers=("dlpc350",),
    plane_order="planes 0-7 = G0-G7, 8-15 = R0-R7, 16-23 = B0-B7",
    roles=("hdmi-frame", "sidecar"),
    write=write_files,
    read=read,
    streamed=True,
)
