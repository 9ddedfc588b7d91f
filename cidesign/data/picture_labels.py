"""Which of the arrays beside pictures are their labels: the number of a class for each picture."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.io.arrays import float64_of

# What arrays of pictures and of labels are called: without it, `x_train` and `y_train` have the same name.
ROLE = re.compile(r"images?|imgs?|pictures?|labels?|targets?|classes|class|data|(?<![a-z])[xy](?![a-z])", re.IGNORECASE)
NAMED_LABELS = re.compile(r"label|target|class|(?<![a-z])y(?![a-z])", re.IGNORECASE)
# A number for each picture without such a name is a label where pictures share it; ids are all different.
MOST_CLASSES = 0.5


@dataclass(frozen=True)
class Labels:
    """Labels (N,) and the name of the array that they are from; `names` are those of the values from 0 on, if any."""

    name: str
    values: NDArray[np.int64]
    names: tuple[str, ...] = ()

    def of(self, number: int) -> int | str:
        """The label of a picture: the name of its class where there are names, else its value."""
        value = int(self.values[number])
        return self.names[value] if self.names else value


def labels_of(name: str, count: int, others: Mapping[str, NDArray[np.generic]]) -> Labels | None:
    """The labels of the `count` pictures of an array: vectors, columns, rows and one-hot matrices of that length.

    Words (one for each picture) are labels too; a shorter list of words names the values of the others.  None where
    there are none, and where several could be meant.
    """
    found = {}
    words: dict[str, tuple[str, ...]] = {}
    for other, array in others.items():
        values = label_vector(array, count)
        if array.dtype.kind == "U" and array.size == count:
            words[other], values = _numbered(array)
        if values is not None and (NAMED_LABELS.search(other) or np.unique(values).size <= MOST_CLASSES * count):
            found[other] = values
    if len(found) > 1:
        named = {other: values for other, values in found.items() if NAMED_LABELS.search(other)}
        alike = {other: values for other, values in (named or found).items() if _bare(other) == _bare(name)}
        found = alike or named
    if len(found) != 1:
        return None
    ((other, values),) = found.items()
    return Labels(other, values, words.get(other) or _names(values, others))


def _numbered(array: NDArray[np.generic]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The different words of an array, and which of them stands where (N,)."""
    names, numbers = np.unique(array.reshape(-1), return_inverse=True)
    return tuple(map(str, names)), numbers.reshape(-1).astype(np.int64)


def _names(values: NDArray[np.int64], others: Mapping[str, NDArray[np.generic]]) -> tuple[str, ...]:
    """The names of the values from 0 on: the only list of different words that is long enough; () without one."""
    lists = [array.reshape(-1) for array in others.values() if array.dtype.kind == "U" and array.size < values.size]
    fitting = [names for names in lists if values.min() >= 0 and values.max() < names.size == np.unique(names).size]
    return tuple(map(str, fitting[0])) if len(fitting) == 1 else ()


def label_vector(array: NDArray[np.generic], count: int) -> NDArray[np.int64] | None:
    """An array as `count` whole numbers (N,): from (N,), with axes of 1, or (N, C) with a single 1 in a row."""
    if array.dtype.kind not in "uifb" or count < 1:
        return None
    values = float64_of(array)
    if not np.isfinite(values).all():
        return None
    if values.size == count and max(array.shape, default=0) == count:
        values = values.reshape(-1)
    elif array.ndim == 2 and array.shape[0] == count and array.shape[1] > 1:
        ones = (values == 1).sum(axis=1) == 1
        if not ones.all() or np.count_nonzero(values) != count:
            return None
        values = values.argmax(axis=1).astype(np.float64)
    else:
        return None
    whole = values == np.round(values)
    return values.astype(np.int64) if whole.all() and abs(values).max() < 2**53 else None


def _bare(name: str) -> str:
    return ROLE.sub("", name).strip("_-. ").lower()
