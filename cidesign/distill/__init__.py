"""Teacher, student, losses and the training loop."""

from cidesign.verbs import is_verb_too

is_verb_too(__name__)
