"""Calibration of an SD-CASSI camera."""
