"""Scans of non-Cartesian shots: captures, a simulated scanner, and what a scan says of the scanner."""
