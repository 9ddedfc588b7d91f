"""The operator of a lensless camera as an encoder: of a mask that is learnt, and of a PSF that was measured."""
