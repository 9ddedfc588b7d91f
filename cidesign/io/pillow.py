"""Pillow as it is used here: without its warnings."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from PIL import Image


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Pillow without its warnings and its own limit of size: what is wrong with a file is told in one line."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
