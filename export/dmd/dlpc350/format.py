"""Files for the DLPC350: images for the flash and for HDMI, its tables, and settings for the GUI of TI."""

from cidesign.export.dmd.base import Exporter
from cidesign.export.dmd.dlpc350.flash import flash_bytes
from cidesign.export.dmd.dlpc350.read import read
from cidesign.export.dmd.dlpc350.write import write_files

EXPORTER = Exporter(
    name="dlpc350",
    controllers=("dlpc350",),
    plane_order="planes 0-7 = G0-G7, 8-15 = R0-R7, 16-23 = B0-B7",
    roles=("image", "hdmi-frame", "sequence-table", "image-table", "gui-settings"),
    write=write_files,
    read=read,
    flash_bytes=flash_bytes,
)
