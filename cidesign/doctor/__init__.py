"""What this computer has of what cidesign can use; it works where nothing but Python is there."""

from cidesign.verbs import is_verb_too

is_verb_too(__name__)
