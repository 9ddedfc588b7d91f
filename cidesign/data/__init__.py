"""Training images: procedural by default, or a folder of the user's own."""
