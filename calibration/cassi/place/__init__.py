"""Where the code lies on the detector: lines, dispersion, orientation, registration."""
