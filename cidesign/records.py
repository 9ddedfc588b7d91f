"""What is wrong in a record that was read from a file, said in one line."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def shown(names: Iterable[object]) -> str:
    """Names that were found in a file, for one line of an error: without control characters, or `none`."""
    texts = [str(name) for name in names]
    return ", ".join(text if text.isprintable() else repr(text) for text in texts) or "none"


def first_problem(error: "ValidationError") -> str:
    """The first thing wrong in a record, with the path of its field, and how many more there are."""
    problem = error.errors()[0]
    path = ".".join(shown([part]) for part in problem["loc"]) or "the record"
    more = f" (and {error.error_count() - 1} more problems)" if error.error_count() > 1 else ""
    return f"{path}: {problem['msg']}{more}"
