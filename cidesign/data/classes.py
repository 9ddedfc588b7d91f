"""The classes of pictures: what they are called, which pictures are kept for validation, and in which order to take
them so that any number of them holds every class in its share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.data.image_sets import kept_for_validation
from cidesign.errors import InputError

# A class as a file or a folder names it.
Label = int | str
# Folders of these names part a data set; the classes are the folders below them.
PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}
MOST_CLASSES = 1000
# Told from here on: the largest class has so many times the pictures of the smallest.
UNEVEN = 3.0
MOST_NAMED = 12


@dataclass(frozen=True)
class Classes:
    """Names of classes, and the number of the class of each picture (N,)."""

    names: tuple[str, ...]
    numbers: NDArray[np.int64]

    @property
    def unevenness(self) -> str:
        """A remark where some classes are much larger than others; "" where they are not."""
        counts = np.bincount(self.numbers, minlength=len(self.names))
        least, most = int(counts.argmin()), int(counts.argmax())
        if counts[most] < UNEVEN * counts[least]:
            return ""
        return (
            f"classes differ in size: {self.names[most]} has {counts[most]} pictures, {self.names[least]} has "
            f"{counts[least]}; whoever always says {self.names[most]} is right for "
            f"{counts[most] / counts.sum():.1%} of the pictures"
        )


def named(names: Sequence[str]) -> str:
    """How many classes there are, and what they are called."""
    shown = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
    return f"{len(names)} classes ({shown})"


def classes_of(labels: Sequence[Label]) -> Classes:
    """Classes of one label a picture, numbers in the order of their values, words with their digits as numbers."""
    names = sorted(set(labels), key=_in_order)
    places = {label: number for number, label in enumerate(names)}
    return Classes(tuple(map(str, names)), np.array([places[label] for label in labels], dtype=np.int64))


def _in_order(label: Label) -> tuple[int, tuple[tuple[int, str], ...], str]:
    if isinstance(label, int):
        return label, (), ""
    words = re.split(r"(\d+)", label)
    return 0, tuple((int(word), "") if word.isdecimal() else (0, word.lower()) for word in words), label


def folder_labels(path: Path, files: Sequence[Path]) -> list[str] | None:
    """For each file the name of the folder just below `path` that it is in; None where one lies beside such folders.

    Folders that part a data set (`train`, `test`) are looked through.
    """
    if not path.is_dir():
        return None
    below = [file.relative_to(path).parts for file in files]
    depth = 1 if all(parts[0].lower() in PARTS for parts in below) else 0
    if any(len(parts) < depth + 2 for parts in below):
        return None
    return [parts[depth] for parts in below]


def require_classes(path: Path, classes: Classes) -> None:
    """Raise `InputError` for a single class, and for more than can be told apart."""
    count = len(classes.names)
    if count < 2:
        raise InputError(f"{path}: all pictures are of one class, {classes.names[0]}; at least two are needed")
    if count > MOST_CLASSES:
        raise InputError(f"{path}: {count} classes; at most {MOST_CLASSES} are told apart. Are the labels numbers?")


def split_by_class(path: Path, groups: Sequence[Sequence[int]], classes: Classes) -> tuple[list[int], list[int]]:
    """Pictures to train on, and those for validation: every tenth scene of each class, or its last.

    `groups` are the pictures of each scene.  Raises `InputError` for a class of a single scene.
    """
    require_classes(path, classes)
    train: list[int] = []
    validation: list[int] = []
    alone = []
    for number, name in enumerate(classes.names):
        own = [group for group in groups if classes.numbers[group[0]] == number]
        if len(own) < 2:
            alone.append(name)
            continue
        for group, out in zip(own, kept_for_validation(len(own)), strict=True):
            (validation if out else train).extend(group)
    if alone:
        more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
        raise InputError(
            f"{path}: class {alone[0]}{more} has one picture; each needs two or more (one is held out for validation): "
            "add pictures, or take the class away"
        )
    return sorted(train), sorted(validation)


def shared_out(numbers: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Pictures (N,) in random order, in which the first so many hold every class in its share.

    `numbers`: the class of each.
    """
    place = np.empty(len(numbers))
    for number in np.unique(numbers):
        own = rng.permutation(np.flatnonzero(numbers == number))
        place[own] = (np.arange(own.size) + rng.random()) / own.size
    return np.argsort(place, kind="stable")
