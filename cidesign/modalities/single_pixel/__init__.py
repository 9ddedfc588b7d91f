"""The single-pixel camera on a micromirror device."""
