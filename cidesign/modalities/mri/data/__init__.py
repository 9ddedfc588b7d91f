"""Complex slices: from files, and phantoms."""
