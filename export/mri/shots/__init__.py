"""Non-Cartesian shots for scanners: sequences that play a design's gradients, and companions of them."""
