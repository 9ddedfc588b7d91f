"""Spectral cubes: from files, and procedural."""
