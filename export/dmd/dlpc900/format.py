"""Files for the DLPC900: compressed images, the sequence table, and a batch file for the GUI of TI."""

from typing import get_args

from cidesign.export.dmd.base import Exporter
from cidesign.export.dmd.dlpc900.compression import Compression
from cidesign.export.dmd.dlpc900.read import read
from cidesign.export.dmd.dlpc900.write import write_files

EXPORTER = Exporter(
    name="dlpc900",
    controllers=("dlpc900",),
    plane_order="bytes of a pixel: planes 16-23, 8-15, 0-7",
    roles=("image", "sequence-table", "batch"),
    write=write_files,
    read=read,
    compressions=get_args(Compression),
)
