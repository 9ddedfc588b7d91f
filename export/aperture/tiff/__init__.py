"""1-bit mask TIFF."""
