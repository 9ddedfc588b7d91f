"""The DLPC350 and its virtual device."""
