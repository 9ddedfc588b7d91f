"""A controller of micromirrors that nobody sells, as a package of its own would bring it."""
