"""Mask processes and spectrographs."""
