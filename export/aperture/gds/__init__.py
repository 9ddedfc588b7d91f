"""GDSII and OASIS."""
