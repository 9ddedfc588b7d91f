"""Decoders, and the imaging system that joins one to an encoder."""
