"""Captures of Hadamard patterns: images of the rows that were measured, and patterns compared on all of them."""
