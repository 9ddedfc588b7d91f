"""Linear operators with learnable optics, and their noise."""
