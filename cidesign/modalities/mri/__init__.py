"""The 2-D Cartesian MRI scan."""
