"""Device files: writers, their manifests, and readers that share no code with the writers."""

from cidesign.verbs import is_verb_too

is_verb_too(__name__)
