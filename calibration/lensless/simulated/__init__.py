"""The digital twin of a lensless camera, whose light is finer than that of any calibration."""
