"""A camera beside the micromirror device: Gray code, lens, registration."""
