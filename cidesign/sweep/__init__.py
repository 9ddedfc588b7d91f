"""Sweeps: many runs of one spec, on one machine or on many, whose run folders are the database."""
