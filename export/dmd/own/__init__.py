"""Patterns of one's own: files of arrays or pictures, read as a design for a micromirror device."""

from cidesign.export.dmd.own.describe import describe_frames
from cidesign.export.dmd.own.options import PatternOptions
from cidesign.export.dmd.own.read import read_own

__all__ = ["PatternOptions", "describe_frames", "read_own"]
