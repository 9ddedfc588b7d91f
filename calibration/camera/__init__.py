"""A camera beside the micromirror device: Gray code, lens, registration."""

from cidesign.calibration.essential import Essentials

# The bench that it stands beside says what a verdict rests on.
ESSENTIAL: Essentials = {}
