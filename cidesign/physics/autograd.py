"""Functions with a derivative of their own, applied with their types known."""

from typing import Any

from torch import Tensor
from torch.autograd import Function


def applied(function: type[Function], *arguments: Any) -> Tensor:
    """`function.apply(*arguments)`, a tensor; torch itself does not say what it returns."""
    result: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return result
