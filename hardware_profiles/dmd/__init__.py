"""Micromirror devices."""
