"""Captures of points of 3-D scans: after the readout's Fourier transform every position along it is a slice."""
