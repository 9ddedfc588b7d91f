"""A measured value with its error."""

from typing import NamedTuple

# A value of fewer standard errors is not told from 0.
RESOLVED_SIGMA = 3.0


class Estimate(NamedTuple):
    """A value with its standard error, both in the same unit."""

    value: float
    standard_error: float
