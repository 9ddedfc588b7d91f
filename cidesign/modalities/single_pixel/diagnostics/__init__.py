"""How far single-pixel images can be trusted: residuals of readings, and maps of what is uncertain."""
