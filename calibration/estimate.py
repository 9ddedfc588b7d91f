"""A measured value with its error."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ConfigDict

from cidesign.records import Finite, NotNegative

# A value of fewer standard errors is not told from 0.
RESOLVED_SIGMA = 3.0


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error, both in the same unit; a field of this kind checks it when a record is made."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", revalidate_instances="always")

    value: Finite
    standard_error: NotNegative


def _not_negative(estimate: Estimate) -> Estimate:
    if estimate.value < 0:
        raise ValueError(f"the value {estimate.value:g} is below 0")
    return estimate


def _positive(estimate: Estimate) -> Estimate:
    if estimate.value <= 0:
        raise ValueError(f"the value {estimate.value:g} is not above 0")
    return estimate


# For the fields of records.
PositiveEstimate = Annotated[Estimate, AfterValidator(_positive)]
NotNegativeEstimate = Annotated[Estimate, AfterValidator(_not_negative)]
