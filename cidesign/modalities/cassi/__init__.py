"""The coded-aperture spectral camera with one disperser (SD-CASSI)."""
