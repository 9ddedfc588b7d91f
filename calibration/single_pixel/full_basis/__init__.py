"""Readings of a full Hadamard basis: other people's single-pixel captures."""
