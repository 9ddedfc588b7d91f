"""A coded-aperture camera that was calibrated elsewhere: its description, what follows, and how captures fit."""
