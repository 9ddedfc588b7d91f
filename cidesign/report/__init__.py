"""Figures and the self-contained report page."""

from cidesign.verbs import is_verb_too

is_verb_too(__name__)
