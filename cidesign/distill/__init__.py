"""Teacher, student, losses and the training loop."""
