"""What a figure of merit can be: a number, several, an estimate, or not evaluated."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """A number that was estimated from random draws, with its standard error."""

    value: float
    standard_error: float


class NotEvaluated(NamedTuple):
    """Why there is no number."""

    why: str


Merit = float | tuple[float, ...] | Estimate | NotEvaluated
