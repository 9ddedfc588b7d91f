"""Masks of one's own: files of arrays, pictures or layouts, read as a design for a coded aperture."""

from cidesign.export.aperture.own.options import MaskOptions
from cidesign.export.aperture.own.read import read_own

__all__ = ["MaskOptions", "read_own"]
