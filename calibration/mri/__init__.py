"""Calibration of an MRI scan: raw data, noise, coils, phantom."""
