"""The streams of random numbers of a run: what is drawn for one purpose never depends on another.

The numbers are part of every result with a seed: none is ever changed or used again.
"""

from enum import IntEnum


class Stream(IntEnum):
    """A purpose of random numbers."""

    ORDER_OF_IMAGES = 0
    FLIPS_AND_TURNS = 1
    TRAINING_NOISE = 2
    EVALUATION_NOISE = 3
    EXPLORATION = 4
    GRADIENTS = 5
    PLACES = 6
    FINE_TUNING = 10
    CHOOSING = 11
    REPORTING = 12
