"""What a check of a design or of its files found."""

from collections.abc import Callable
from typing import Literal, NamedTuple

FindingStatus = Literal["pass", "fail", "not evaluated", "remark"]


class Finding(NamedTuple):
    """One thing that was checked and found right or wrong, could not be checked, or is only told."""

    check: str
    result: str
    status: FindingStatus = "pass"


Report = Callable[[Finding], None]
