"""Images to train lensless cameras on: procedural ones in colour, and pictures."""
