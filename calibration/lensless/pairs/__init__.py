"""A raw image and the PSF of somebody's lensless camera, in the formats in which people share them."""
