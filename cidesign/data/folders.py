"""Training pictures from a user's files: what is unreadable or shows nothing is named and left out.

Every file is read twice, once to see what is in it and once to cut crops from it, and never more than one is held: a
folder needs the memory of its largest file, whatever their number.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.data.brightness import LOW_CONTRAST, Range, contrast, range_of, white_level, without_contrast
from cidesign.data.classes import Classes, Label, classes_of, folder_labels, shared_out, split_by_class
from cidesign.data.crops import Averaged, Window, refuse_flat, remark_on_flat, whole, windows
from cidesign.data.image_sets import (
    HELD_OUT,
    MeasuredSet,
    TrainingSet,
    content_digest,
    images_of_each,
    kept_for_validation,
    not_trained_on,
)
from cidesign.data.picture_arrays import Picture
from cidesign.data.picture_files import find_images, one_scene, read_pictures
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.io.npy import reason

__all__ = ["Taking", "find_images", "measure_folder", "read_folder"]

# Neighbours in a stack show nearly the same: one beside those for validation is used for neither.
GAP_FROM_PAGES = 10


@dataclass(frozen=True)
class _Seen:
    """A picture of the survey: the numbers of its file and in its file, and what its values mean."""

    file: int
    number: int
    label: str
    scale: str
    shape: tuple[int, int]
    dtype: np.dtype[np.generic]
    range: Range
    digest: str
    scene: str
    task: Label | None
    white: float = 0.0


class Taking(NamedTuple):
    """How images are taken of pictures.

    `whole`: the middle square of each, as large as it is, instead of random crops.  `by_class`: the classes of the
    pictures count, and every class is kept for validation in its share.
    """

    whole: bool = False
    by_class: bool = False


CROPS = Taking()


def read_folder(folder: Path, side: int, train: int, validation: int, seed: int, taking: Taking = CROPS) -> TrainingSet:
    """Random square crops (M, n, n) uint8 of every usable picture at or below `folder`, averaged down to `side`.

    The width of a crop is drawn from `side` to the whole picture, its logarithm evenly.  Every tenth picture is kept
    for validation; the pages of a TIFF are one picture in this, and of a single TIFF the last tenth of its pages is.
    Pictures that are taken whole are trained on as often as it needs for `train` images, and validated on once.
    Raises `FileError` when nothing is usable and `InputError` for fewer than two pictures, when they are flat, and for
    classes that cannot be told apart.
    """
    survey = _Survey(folder)
    classes = survey.classes() if taking.by_class else None
    parts = survey.split(classes)
    if taking.whole:
        validation = min(validation, len(parts[1]))
        survey.tell_whole(len(parts[0]), train, validation)
    wanted = [(parts[0], train, (seed, 0)), (parts[1], validation, (seed, 1))]
    crops, origins = survey.crops(side, wanted, taking.whole, classes)
    labels = None if classes is None else tuple(classes.numbers[which] for which in origins)
    refuse_flat(folder, crops[0])
    survey.notes |= remark_on_flat("training", crops[0]) | remark_on_flat("validation", crops[1])
    trained = frozenset(survey.pictures[index].digest for index in range(len(survey.pictures)) if index not in parts[1])
    copies = sum(survey.pictures[index].digest in trained for index in parts[1])
    if copies:
        survey.notes.add(
            f"{copies} of {len(parts[1])} pictures for validation are copies of others that are trained on"
        )
    skipped, notes = tuple(survey.skipped), tuple(sorted(survey.notes))
    names = () if classes is None else classes.names
    return TrainingSet(crops[0], crops[1], len(survey.pictures), skipped, notes, trained, labels, names)


def measure_folder(
    path: Path, side: int, count: int, seed: int, trained: frozenset[str], taking: Taking = CROPS
) -> MeasuredSet:
    """About `count` crops as in training of every usable picture at or below `path`, as many of each and at least one.

    Pictures that are taken whole are taken once.  Pictures whose digests are in `trained` are left out, unless all are.
    """
    survey = _Survey(path)
    classes = survey.classes() if taking.by_class else None
    chosen, held_out = not_trained_on([one.digest for one in survey.pictures], trained)
    each = images_of_each(len(chosen), len(chosen) if taking.whole else count, side * side)
    (crops,), (origins,) = survey.crops(side, [(chosen, each * len(chosen), (seed, 2))], taking.whole, classes)
    survey.notes |= remark_on_flat("measured", crops)
    return MeasuredSet(
        images=crops,
        pictures=len(survey.pictures),
        left_out=len(survey.pictures) - len(chosen),
        held_out=held_out,
        skipped=tuple(survey.skipped),
        notes=tuple(sorted(survey.notes)),
        labels=None if classes is None else classes.numbers[origins],
        classes=() if classes is None else classes.names,
    )


class _Survey:
    """What is in the files at or below a path: usable pictures, what is left out and why, and remarks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files, others = find_images(path)
        self.pictures: list[_Seen] = []
        self.skipped: list[str] = []
        self.notes: set[str] = {f"not read below {path}: {others}"} if others else set()
        remarks: dict[str, list[str]] = {}
        for file in range(len(self.files)):
            for remark in dict.fromkeys(self._look_into(file)):
                remarks.setdefault(remark, []).append(self._name(file))
        if not self.pictures:
            raise FileError(f"{path}: none of {len(self.files)} files can be used; the first: {self.skipped[0]}")
        for text, names in remarks.items():
            self.notes.add(f"{names[0]}: {text}" if len(names) == 1 else f"{text} ({len(names)} files, as {names[0]})")
        self._tell_low_contrast()

    def _name(self, file: int) -> str:
        entry = self.files[file]
        return entry.name if entry == self.path else str(entry.relative_to(self.path))

    def _look_into(self, file: int) -> list[str]:
        """Add the usable pictures of one file; returns remarks on it."""
        remarks: list[str] = []
        found: list[_Seen] = []
        bad: list[str] = []
        total = 0
        try:
            for number, picture in enumerate(read_pictures(self.files[file], remarks)):
                total = number + 1
                try:
                    found.append(_seen(file, number, picture))
                except ValueError as error:
                    bad.append(f"{picture.label}: {error}".removeprefix(": "))
        except CidesignError as error:
            self.skipped.append(f"{self._name(file)}: {reason(self.files[file], error)}")
            return []
        for scale in dict.fromkeys(one.scale for one in found):
            alike = [one for one in found if one.scale == scale]
            white, note, remark = white_level(alike[0].dtype, max(one.range.high for one in alike))
            self.notes |= {note} - {""}
            remarks += [remark] if remark else []
            for one in alike:
                why = without_contrast(one.range, white, one.dtype.kind != "f")
                if why:
                    bad.append(f"{one.label}: {why}".removeprefix(": "))
                else:
                    self.pictures.append(replace(one, white=white))
        if bad:
            several = f"{len(bad)} of {total} pictures are left out; the first, " if total > 1 else ""
            self.skipped.append(f"{self._name(file)}: {several}{bad[0]}")
        return remarks

    def _tell_low_contrast(self) -> None:
        low = [one for one in self.pictures if contrast(one.range, one.white) < LOW_CONTRAST]
        if low:
            first = f"{self._name(low[0].file)} {low[0].label}".strip()
            self.notes.add(
                f"{len(low)} of {len(self.pictures)} pictures use less than {LOW_CONTRAST:.0%} of the scale from black "
                f"to white; the first, {first}: values {low[0].range.low:g} to {low[0].range.high:g} of "
                f"{low[0].white:g}"
            )

    def split(self, classes: Classes | None) -> tuple[list[int], list[int]]:
        """The numbers of the pictures to train on, and of those for validation: of other scenes."""
        if len(self.pictures) < 2:
            others = f"; left out: {self.skipped[0]}" if self.skipped else ""
            raise InputError(
                f"{self.path}: one picture is not enough (one is held out for validation); add more{others}"
            )
        # An array's pictures are scenes of their own, a TIFF's pages show one, and so do the files of a DICOM series.
        scenes: dict[str | tuple[int, int], list[int]] = {}
        for index, one in enumerate(self.pictures):
            together = one_scene(self.files[one.file])
            scenes.setdefault(one.scene or (one.file, 0 if together else one.number), []).append(index)
        groups = list(scenes.values())
        if classes is not None:
            return split_by_class(self.path, groups, classes)
        if len(groups) > 1:
            kept = kept_for_validation(len(groups))
            return (
                [index for group, out in zip(groups, kept, strict=True) if not out for index in group],
                [index for group, out in zip(groups, kept, strict=True) if out for index in group],
            )
        count = len(self.pictures)
        start = count - max(1, count // HELD_OUT)
        first = self.pictures[start]
        what = (
            "a single series: its files" if len({one.file for one in self.pictures}) > 1 else "a single file: its pages"
        )
        self.notes.add(
            f"{what} from {first.label or self._name(first.file)} on are kept for validation; pages of one "
            "scene are alike, and other scenes may be harder"
        )
        return list(range(start - (1 if count >= GAP_FROM_PAGES else 0))), list(range(start, count))

    def classes(self) -> Classes | None:
        """The classes of all pictures: as their files say, else by the folders that they are in; None without."""
        tasks = [one.task for one in self.pictures if one.task is not None]
        if tasks and len(tasks) < len(self.pictures):
            self.notes.add(f"{len(tasks)} of {len(self.pictures)} pictures have labels: none are kept")
            return None
        found = tasks or folder_labels(self.path, [self.files[one.file] for one in self.pictures])
        if not found:
            return None
        classes = classes_of(found)
        self.notes |= {classes.unevenness} - {""}
        return classes

    def tell_whole(self, there: int, wanted: int, validation: int) -> None:
        """Remarks on pictures that are taken whole: how often, and what of them is left out."""
        self.notes.add(f"pictures are taken whole; {validation} others are kept for validation, one image each")
        if wanted > there:
            self.notes.add(f"{there} pictures are trained on, each about {wanted / there:.3g} times an epoch")
        elif wanted < there:
            self.notes.add(f"{wanted} of {there} pictures are trained on; `images` asks for no more")
        long = sum(one.shape[0] != one.shape[1] for one in self.pictures)
        if long:
            self.notes.add(f"{long} of {len(self.pictures)} pictures are not square: their middle square is taken")

    def crops(
        self,
        side: int,
        parts: list[tuple[list[int], int, tuple[int, int]]],
        entire: bool = False,
        classes: Classes | None = None,
    ) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.intp]]]:
        """Crops (M, side, side) of several parts (numbers of pictures, how many crops, a seed), and their pictures.

        `entire` pictures are taken instead, each class in its share.
        """
        origins = [np.empty(count, dtype=np.intp) for _, count, _ in parts]
        images = [np.empty((count, side, side), dtype=np.uint8) for _, count, _ in parts]
        wanted: dict[int, dict[int, list[tuple[int, Window]]]] = {}
        for part, (chosen, count, seed) in enumerate(parts):
            shapes = [self.pictures[index].shape for index in chosen]
            if min(min(shape) for shape in shapes) < side:
                self.notes.add(f"pictures smaller than {side} x {side} are enlarged")
            if entire:
                numbers = np.zeros(len(chosen), np.int64) if classes is None else classes.numbers[chosen]
                squares = whole(shapes, shared_out(numbers, np.random.default_rng(seed)), count)
            else:
                squares = windows(shapes, side, count, seed)
            for index, cuts in zip(chosen, squares, strict=True):
                of_file = wanted.setdefault(self.pictures[index].file, {})
                of_file.setdefault(index, []).extend([(part, window) for window in cuts])
                origins[part][[window.image for window in cuts]] = index
        for file in sorted(wanted):
            here = [(self.pictures[index], cuts) for index, cuts in wanted[file].items()]
            self._cut(file, side, {seen.number: (seen, cuts) for seen, cuts in here if cuts}, images)
        return images, origins

    def _cut(
        self,
        file: int,
        side: int,
        wanted: dict[int, tuple[_Seen, list[tuple[int, Window]]]],
        images: list[NDArray[np.uint8]],
    ) -> None:
        """Read a file again and fill in what is wanted of it: by the number of the picture, which part and window."""
        if not wanted:
            return
        changed = FileError(f"{self.files[file]}: it changed while it was read; repeat")
        for number, picture in enumerate(read_pictures(self.files[file], [])):
            if number not in wanted:
                continue
            seen, cuts = wanted.pop(number)
            if picture.values.shape != seen.shape or content_digest(picture.values) != seen.digest:
                raise changed
            averaged = Averaged(picture.values, seen.white)
            for part, window in cuts:
                square = np.float32(255) * averaged.square(window, side)
                images[part][window.image] = np.round(square).clip(0, 255).astype(np.uint8)
            if not wanted:
                return
        raise changed


def _seen(file: int, number: int, picture: Picture) -> _Seen:
    values = picture.values
    found = range_of(values)
    return _Seen(
        file=file,
        number=number,
        label=picture.label,
        scale=picture.scale,
        shape=(values.shape[0], values.shape[1]),
        dtype=values.dtype,
        range=found,
        digest=content_digest(values),
        scene=picture.scene,
        task=picture.task,
    )
