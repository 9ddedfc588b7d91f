"""Lensless cameras: a mask in front of a bare sensor."""
