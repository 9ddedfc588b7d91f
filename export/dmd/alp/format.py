"""Planes for ALP boards, with what their library has to be told."""

from cidesign.export.dmd.alp.read import read
from cidesign.export.dmd.alp.write import write_files
from cidesign.export.dmd.base import Exporter

EXPORTER = Exporter(
    name="alp",
    controllers=("dlpc410",),
    plane_order="each frame alone, most significant plane first",
    roles=("planes", "sidecar"),
    write=write_files,
    read=read,
)
