"""Files of micromirror devices."""
