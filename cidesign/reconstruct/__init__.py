"""From captures to images, with baselines and diagnostics."""

from cidesign.verbs import is_verb_too

is_verb_too(__name__)
