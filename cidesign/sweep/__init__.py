"""Sweeps: many runs of one spec, on one machine or on many, whose run folders are the database."""

from cidesign.verbs import is_verb_too

is_verb_too(__name__)
