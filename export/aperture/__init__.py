"""Mask files and orders of coded apertures."""
