"""Designs on their way to a device, learnt or of one's own: their folder, their device files, and all checks."""
