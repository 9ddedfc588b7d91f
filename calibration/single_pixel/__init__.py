"""Calibration of a single-pixel camera."""
