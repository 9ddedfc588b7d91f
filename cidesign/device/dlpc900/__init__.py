"""The DLPC900 and its virtual device."""
